//! The life of a broker: accepting clients, reading from them, watching over its socket.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::Result;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep_until;

use crate::broker::{Broker, ClientId};
use crate::client::Recent;
use crate::election::{self, Bound, Standing};
use crate::hub::{Conn, Pressure};
use crate::line::{LineBuffer, is_blank, lines, utf8_block};
use crate::participant::{Participant, Role};
use crate::race::{First, first};
use crate::stats::add;

/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Bytes of one read while receivers are behind.
const CONGESTED_READ: usize = 8 * 1024;

/// Serves as broker until another one is found in its place or the bus is closed.
pub(crate) async fn run(
    participant: &Arc<Participant>,
    bound: Bound,
    was_client: bool,
    recent: &mut Recent,
) -> Result<()> {
    let mut broker = Serving {
        listener: listen(participant, &bound)?,
        bound,
    };
    begin(participant, was_client, recent);
    let replaced = broker.serve(participant).await;
    end(participant, recent);
    if !replaced {
        election::remove_own(&participant.path, &broker.bound);
    }
    Ok(())
}

fn listen(participant: &Participant, bound: &Bound) -> Result<UnixListener> {
    bound
        .listener
        .try_clone()
        .and_then(UnixListener::from_std)
        .map_err(|error| participant.path.io("listen on the socket", error))
}

/// Takes the role, with everything that this process subscribed to and still has to send.
fn begin(participant: &Participant, was_client: bool, recent: &mut Recent) {
    let mut link = participant.link();
    let mut broker = Broker::new(participant.options.limits());
    if was_client {
        broker.open_horizon(Instant::now(), participant.options.recovery_horizon);
    }
    broker.set_own(participant.publisher);
    link.memberships.disconnected();
    for membership in link.memberships.active() {
        broker.join_local(&membership);
    }
    participant
        .hub
        .open(broker, was_client.then(|| std::mem::take(recent)));
    let mut frames: Vec<_> = link.window.drain().collect();
    frames.extend(std::iter::from_fn(|| link.pending.next()));
    for block in frames.into_iter().map(bytes::Bytes::from) {
        let routed = participant
            .hub
            .route(&participant.local, |broker, now, out| {
                for line in lines(&block) {
                    broker.line(ClientId::OWN, &block, line, now, out);
                }
            });
        // Nobody is connected yet, and own readers that are slow are not waited for under the lock.
        drop(routed);
    }
    link.role = Role::Broker;
    link.failure = None;
    drop(link);
    add(&participant.counters.promotions, 1);
    participant.changed.notify_waiters();
}

/// Gives the role back: clients are cut off and look for the next broker.
fn end(participant: &Participant, recent: &mut Recent) {
    let mut link = participant.link();
    if let Some((mut broker, kept)) = participant.hub.shut() {
        participant.count(broker.take_counters());
        *recent = kept.unwrap_or_default();
    }
    link.role = Role::Starting;
    drop(link);
    participant.changed.notify_waiters();
}

struct Serving {
    listener: UnixListener,
    bound: Bound,
}

impl Serving {
    /// True when another broker took the path, false when the bus is closed.
    async fn serve(&mut self, participant: &Arc<Participant>) -> bool {
        let interval = participant.options.path_check_interval;
        let mut check_at = tokio::time::Instant::now() + interval;
        loop {
            // In this order: own events may wake us all the time, and must not keep peers out.
            let next = first(
                participant.shutdown.notified(),
                first(
                    self.listener.accept(),
                    first(sleep_until(check_at), participant.hub.wake.notified()),
                ),
            )
            .await;
            match next {
                First::Left(()) => return false,
                First::Right(First::Left(Ok((stream, _)))) => admit(participant, stream),
                First::Right(First::Left(Err(error))) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                First::Right(First::Right(First::Left(()))) => {}
                First::Right(First::Right(First::Right(()))) => {
                    participant.hub.flush_own();
                    continue;
                }
            }
            match election::review(&participant.path, &self.bound) {
                Ok(Standing::Fine) => check_at = tokio::time::Instant::now() + interval,
                Ok(Standing::Unclear) => check_at = tokio::time::Instant::now() + ACCEPT_PAUSE,
                Ok(Standing::Replaced) => {
                    tracing::warn!(socket = %participant.path.socket.display(), "another broker serves the socket; joining it");
                    return true;
                }
                Ok(Standing::Restored(bound)) => {
                    tracing::warn!(socket = %participant.path.socket.display(), "the socket was removed; made it again");
                    self.restore(participant, bound);
                    check_at = tokio::time::Instant::now() + interval;
                }
                Err(error) => {
                    tracing::warn!(%error, "the socket could not be checked");
                    check_at = tokio::time::Instant::now() + interval;
                }
            }
        }
    }

    fn restore(&mut self, participant: &Participant, bound: Bound) {
        match listen(participant, &bound) {
            Ok(listener) => {
                self.listener = listener;
                self.bound = bound;
            }
            Err(error) => tracing::error!(%error, "the new socket cannot be served"),
        }
    }
}

/// Lets a client in, unless it is a stranger or the bus is being closed.
fn admit(participant: &Arc<Participant>, stream: UnixStream) {
    if participant.is_closing() {
        return;
    }
    if let Err(error) = election::check_peer(&participant.path, &stream) {
        tracing::warn!(%error, "a client was refused");
        add(&participant.counters.refused_connections, 1);
        return;
    }
    if let Some((id, conn)) = participant.hub.connect(stream) {
        tokio::spawn(connection(Arc::clone(participant), id, conn));
    }
}

async fn connection(participant: Arc<Participant>, id: ClientId, conn: Arc<Conn>) {
    let talk = first(
        read(&participant, id, &conn),
        write(&participant, id, &conn),
    );
    first(conn.removed.notified(), talk).await;
    participant.hub.disconnect(id);
}

/// Writes what could not be written at once.
async fn write(participant: &Participant, id: ClientId, conn: &Conn) {
    loop {
        conn.writable.notified().await;
        while !participant.hub.write_ready(id) {
            if conn.stream.writable().await.is_err() {
                return;
            }
        }
    }
}

/// Reads until the client goes or sends too long a line.
async fn read(participant: &Participant, id: ClientId, conn: &Conn) {
    let limit = participant.options.max_frame_bytes;
    let mut buffer = LineBuffer::new(limit);
    let mut congested = false;
    loop {
        if conn.stream.readable().await.is_err() {
            return;
        }
        match read_some(&conn.stream, &mut buffer, congested) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        let taken = buffer.take();
        let mut too_long = taken.too_long;
        if let Some(block) = taken.block {
            let Some((pressure, all)) = route(participant, id, block, limit) else {
                return;
            };
            too_long |= !all;
            congested = !pressure.is_none();
            if congested {
                participant.hub.wait(pressure).await;
            }
        }
        if too_long {
            tracing::warn!(
                limit,
                "a client that sent a line over the limit was cut off"
            );
            add(&participant.counters.refused_connections, 1);
            return;
        }
    }
}

fn read_some(stream: &UnixStream, buffer: &mut LineBuffer, congested: bool) -> io::Result<usize> {
    use bytes::BufMut;
    let space = buffer.space();
    if congested {
        return stream.try_read_buf(&mut space.limit(CONGESTED_READ));
    }
    stream.try_read_buf(space)
}

/// Routes all lines, up to one that is too long.
fn route(
    participant: &Participant,
    id: ClientId,
    block: bytes::Bytes,
    limit: usize,
) -> Option<(Pressure, bool)> {
    let block = utf8_block(block);
    let mut all = true;
    let pressure = participant
        .hub
        .route(&participant.local, |broker, now, out| {
            for line in lines(&block) {
                if line.len() > limit {
                    all = false;
                    break;
                }
                if !is_blank(&block[line.clone()]) {
                    broker.line(id, &block, line, now, out);
                }
            }
            broker.confirm(id, now, out);
        })?;
    Some((pressure, all))
}
