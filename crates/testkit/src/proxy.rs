//! Faults on the way to a server.

mod controls;
mod pipe;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use controls::{Controls, Cut};

use crate::{Error, Result};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What has passed a [`FaultProxy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Connections that are open now.
    pub open: usize,
    /// Connections since the start, the refused ones left out.
    pub accepted: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Bytes handed to the server.
    pub to_server: u64,
    /// Bytes handed to the client.
    pub to_client: u64,
}

/// A TCP proxy on a loopback port that passes everything on, until it is told of a fault.
///
/// It lives on the runtime that started it and ends with its handle; what is open then is closed.
///
/// ```no_run
/// # use bowline_testkit::{Connection, Direction, FaultProxy, RedisServer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline_testkit::Error> {
/// let server = RedisServer::start().await?;
/// let proxy = FaultProxy::start(server.address()).await?;
/// let mut client = Connection::open(proxy.address()).await?;
/// // The command arrives, its reply does not.
/// proxy.cut_on(Direction::ToServer, "INCR");
/// client.call(&["INCR", "key"]).await.unwrap_err();
/// assert_eq!(server.command(&["GET", "key"]).await?.int(), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    controls: Arc<Controls>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a scratch port, and connects to `upstream` for every connection that comes.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let failed = |error| Error::io("the proxy cannot listen", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let controls = Arc::new(Controls::new(upstream));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&controls)));
        Ok(Self {
            address,
            controls,
            accepting,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has passed so far.
    pub fn stats(&self) -> ProxyStats {
        self.controls.stats()
    }

    /// Resets every open connection, and returns when all are closed. What is on its way is lost.
    ///
    /// A connection is open here when it is counted in [`stats`](Self::stats): a client may believe so a moment before.
    pub async fn cut_all(&self) {
        self.controls.cut(Cut::Reset).closed().await;
    }

    /// Cuts every connection when `bytes` more have passed in `direction`: these arrive, and on the connection that the last of
    /// them took nothing does after it, in neither direction. Once; a second call replaces the first.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.controls.lane(direction).set_allowance(bytes);
    }

    /// Cuts every connection when `pattern` has passed in `direction`, together with what was received along with it, up to
    /// 16 KiB. Once; a second call replaces the first.
    ///
    /// `cut_on(ToServer, "XADD")` is a cut between a command and its reply.
    pub fn cut_on(&self, direction: Direction, pattern: impl AsRef<[u8]>) {
        self.controls
            .lane(direction)
            .set_pattern(pattern.as_ref().to_vec());
    }

    /// Whether new connections are reset as soon as they are made. The open ones stay.
    pub fn refuse(&self, refuse: bool) {
        self.controls.set_refusing(refuse);
    }

    /// Delivers what is received from now on in `direction` later by `delay`. This is latency, not a limit of throughput, up
    /// to 16 MiB on the way.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.controls.lane(direction).set_delay(delay);
    }

    /// Writes at most so many bytes at once, in both directions; `None` writes what there is.
    pub fn slice(&self, bytes: Option<usize>) {
        self.controls.set_slice(bytes);
    }

    /// Whether bytes, and the ends of connections, are swallowed in both directions while connections stay open, as behind a
    /// router that forgot them.
    ///
    /// The connections that were open in between are reset at the end of it, since bytes of theirs are missing.
    pub async fn half_open(&self, half_open: bool) {
        self.controls.set_half_open(half_open);
        if !half_open {
            self.cut_all().await;
        }
    }

    /// Connects to another server from now on. The open connections stay with the former.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.controls.set_upstream(upstream);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        drop(self.controls.cut(Cut::Reset));
    }
}

async fn accept(listener: TcpListener, controls: Arc<Controls>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // The connection is gone already, or there are too many open files.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if controls.is_refusing() {
            controls.count_refused();
            // The client is refused either way.
            let _ = client.set_zero_linger();
            continue;
        }
        let (connection, cut) = controls.connect();
        tokio::spawn(pipe::run(client, connection, cut));
    }
}
