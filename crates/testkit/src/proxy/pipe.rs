//! One connection through a proxy: two pipes, each with its latency.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Direction;
use super::controls::{Controls, Cut, Open};

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// How many chunks may be on their way in one direction.
const ON_THE_WAY: usize = 1 << 10;

/// Passes on between `client` and a new connection to the server, until both have ended or one of them is cut.
///
/// The connection stops being counted before the cut is confirmed by dropping `cut`.
pub(super) async fn run(mut client: TcpStream, controls: Open, mut cut: watch::Receiver<Cut>) {
    let how = tokio::select! {
        () = between(&mut client, &controls) => Cut::Close,
        // The channel outlives its connections, or ends in a cut.
        how = cut.wait_for(|how| *how != Cut::None) => how.map_or(Cut::Reset, |how| *how),
    };
    if how == Cut::Reset {
        // Where it cannot be reset it is closed.
        let _ = client.set_zero_linger();
    }
    drop(client);
    drop(controls);
}

async fn between(client: &mut TcpStream, controls: &Controls) {
    let Ok(mut server) = TcpStream::connect(controls.upstream()).await else {
        return;
    };
    // Both are matters of speed only.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let ended = tokio::try_join!(
        lane(from_client, to_server, controls, Direction::ToServer),
        lane(from_server, to_client, controls, Direction::ToClient),
    );
    if ended.is_err() && controls.is_half_open() {
        // Neither side hears of the end of the other.
        std::future::pending::<()>().await;
    }
}

/// One direction: what is read is delivered after the delay.
async fn lane(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    controls: &Controls,
    direction: Direction,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    tokio::try_join!(
        read(from, sender, controls, direction),
        deliver(to, receiver, controls, direction),
    )
    .map(drop)
}

type Chunk = (Instant, Vec<u8>);

async fn read(
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<Chunk>,
    controls: &Controls,
    direction: Direction,
) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if from.read_buf(&mut chunk).await? == 0 {
            return Ok(());
        }
        let due = Instant::now() + controls.lane(direction).delay();
        if sender.send((due, chunk)).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

async fn deliver(
    mut to: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Chunk>,
    controls: &Controls,
    direction: Direction,
) -> io::Result<()> {
    let lane = controls.lane(direction);
    let mut tail = Vec::new();
    // Once a byte is missing, none may follow.
    let mut swallows = false;
    while let Some((due, chunk)) = receiver.recv().await {
        tokio::time::sleep_until(due).await;
        swallows |= controls.is_half_open();
        if swallows {
            continue;
        }
        let (allowed, last) = lane.pass(chunk.len());
        let passed = &chunk[..allowed];
        write(&mut to, passed, controls).await?;
        lane.count(allowed);
        if lane.finds(&mut tail, passed) || last {
            // Nothing is awaited from the last byte to here, so that no reply can have passed.
            drop(controls.cut(Cut::Close));
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    if swallows || controls.is_half_open() {
        std::future::pending::<()>().await;
    }
    to.shutdown().await
}

/// Writes `bytes` in slices, each on its way before the next.
async fn write(to: &mut WriteHalf<'_>, bytes: &[u8], controls: &Controls) -> io::Result<()> {
    for (index, slice) in bytes.chunks(controls.slice()).enumerate() {
        if index > 0 {
            tokio::task::yield_now().await;
        }
        to.write_all(slice).await?;
    }
    Ok(())
}
