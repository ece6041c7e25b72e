//! A proxy that holds every byte for a while, as a long way to the server does.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::Result;
use crate::settings::{Flavor, span};
use crate::subject::runtime;

/// What a way may hold in chunks of a read, so that a stuck side ends in backpressure and not in memory.
const CHUNKS: usize = 4096;
const READ: usize = 64 << 10;

/// A running proxy. Dropping it ends the process.
pub(super) struct Proxy {
    child: Child,
    /// `host:port` to connect to instead of the server.
    pub(super) address: String,
}

impl Proxy {
    /// Starts `program` as a proxy to `target`, a `host:port`, that adds `round_trip` to every round trip.
    pub(super) fn start(program: &[OsString], target: &str, round_trip: Duration) -> Result<Self> {
        let (executable, prefix) = program.split_first().ok_or("the program has no name")?;
        let mut child = Command::new(executable)
            .args(prefix)
            .args(["--delay-proxy", target, "--added-ms"])
            .arg((round_trip.as_secs_f64() * 1e3).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("a child has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let proxy = Self { child, address };
        if proxy.address.is_empty() {
            return Err("the delaying proxy did not start".into());
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A process that has ended already is as dead as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the proxy: prints the address to connect to, and serves until the input ends.
pub(crate) fn serve(target: &str, added_ms: f64) -> ExitCode {
    let target = target.to_owned();
    let serving = span(added_ms / 1e3).map_err(Into::into).and_then(|added| {
        let runtime = runtime(Flavor::CurrentThread)?;
        std::thread::spawn(|| {
            // Whoever started the proxy is gone when its input ends.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            std::process::exit(0);
        });
        runtime.block_on(accept(target, added / 2))
    });
    match serving {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::complain(&format!("the delaying proxy: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn accept(target: String, delay: Duration) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    crate::print(&listener.local_addr()?.to_string())?;
    loop {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect(&target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(carry(from_client, to_server, delay));
        tokio::spawn(carry(from_server, to_client, delay));
    }
}

/// Passes on what comes, each chunk `delay` after it came; ends with either side.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    delay: Duration,
) {
    let (chunks, mut due) = mpsc::channel::<(Instant, Bytes)>(CHUNKS);
    let writing = tokio::spawn(async move {
        while let Some((at, chunk)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; READ];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let chunk = Bytes::copy_from_slice(&buffer[..length]);
        if chunks.send((Instant::now() + delay, chunk)).await.is_err() {
            break;
        }
    }
    drop(chunks);
    // Nothing is left to be told: the writer has ended, or will when it has written what is due.
    let _ = writing.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in_but_not_before_their_time() {
        let (near, proxied) = tokio::io::duplex(64);
        let (out, mut far) = tokio::io::duplex(64);
        tokio::spawn(carry(proxied, out, Duration::from_millis(30)));
        let (mut near, begun) = (near, Instant::now());
        for part in [&b"kno"[..], b"ts ", b"hold"] {
            near.write_all(part).await.expect("open");
        }
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).await.expect("UTF-8");
        assert_eq!(text, "knots hold");
        // A timer is never early: this cannot fail on a slow machine.
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
