//! Every fault of the proxy is the fault that it says, on bare TCP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bowline_testkit::{Direction, FaultProxy, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Listens; the test takes the other ends of the connections.
struct Upstream(TcpListener);

impl Upstream {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn proxy(&self) -> FaultProxy {
        FaultProxy::start(self.address()).await.unwrap()
    }

    /// Both ends of a new connection through `proxy`.
    async fn connect(&self, proxy: &FaultProxy) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = timeout(PATIENCE, self.0.accept()).await.unwrap().unwrap();
        (client, server)
    }
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut read))
        .await
        .unwrap()
        .unwrap();
    read
}

/// What still comes until the stream ends, and the error it ends with, if any.
async fn drain(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut read = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut read))
        .await
        .unwrap();
    (read, end.err().map(|error| error.kind()))
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < end);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bytes_and_ends_pass_in_both_directions_and_are_counted() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(drain(&mut server).await, (b"question".to_vec(), None));
    assert_eq!(proxy.stats().open, 1, "one direction is still open");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(drain(&mut client).await, (b"answer".to_vec(), None));
    eventually(|| proxy.stats().open == 0).await;
    let stats = proxy.stats();
    assert_eq!((stats.accepted, stats.refused), (1, 0));
    assert_eq!((stats.to_server, stats.to_client), (8, 6));
}

#[tokio::test]
async fn much_passes_whole() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    let sent: Vec<u8> = (0..8_u32 << 20)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2])
        .collect();
    let expected = sent.clone();
    tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
    });
    let (received, error) = drain(&mut server).await;
    assert!(received == expected && error.is_none());
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_nothing_else() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut one, mut server) = upstream.connect(&proxy).await;
    let (mut two, _server) = upstream.connect(&proxy).await;
    proxy.cut_all().await;
    assert_eq!(proxy.stats().open, 0);
    for client in [&mut one, &mut two] {
        assert_eq!(drain(client).await.1, Some(ErrorKind::ConnectionReset));
    }
    assert!(drain(&mut server).await.0.is_empty());
    let (mut client, mut server) = upstream.connect(&proxy).await;
    client.write_all(b"again").await.unwrap();
    assert_eq!(read(&mut server, 5).await, b"again");
}

#[tokio::test]
async fn a_refusing_proxy_resets_new_connections_and_keeps_the_open_ones() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(
        drain(&mut refused).await.1,
        Some(ErrorKind::ConnectionReset)
    );
    client.write_all(b"open").await.unwrap();
    assert_eq!(read(&mut server, 4).await, b"open");
    assert_eq!((proxy.stats().accepted, proxy.stats().refused), (1, 1));
    proxy.refuse(false);
    upstream.connect(&proxy).await;
}

#[tokio::test]
async fn exactly_the_allowed_bytes_pass_before_the_cut() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let upstream = Upstream::new().await;
        let proxy = upstream.proxy().await;
        let (client, server) = upstream.connect(&proxy).await;
        let (mut bystander, _server) = upstream.connect(&proxy).await;
        let (mut from, mut to) = match direction {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
        };
        from.write_all(b"before").await.unwrap();
        assert_eq!(read(&mut to, 6).await, b"before");
        proxy.cut_after(direction, 5);
        from.write_all(b"123").await.unwrap();
        assert_eq!(read(&mut to, 3).await, b"123");
        from.write_all(b"4567").await.unwrap();
        assert_eq!(drain(&mut to).await.0, b"45");
        assert_eq!(drain(&mut from).await.0, b"");
        assert_eq!(drain(&mut bystander).await.0, b"");
        upstream.connect(&proxy).await;
    }
}

#[tokio::test]
async fn a_cut_on_a_pattern_leaves_no_time_for_a_reply() {
    for pieces in [&["..XADD 1"][..], &["..XA", "DD", " 1"]] {
        let upstream = Upstream::new().await;
        let proxy = upstream.proxy().await;
        let (mut client, mut server) = upstream.connect(&proxy).await;
        client.write_all(b"XADD before;").await.unwrap();
        assert_eq!(read(&mut server, 12).await, b"XADD before;");
        proxy.cut_on(Direction::ToServer, "DD 1");
        for piece in pieces {
            client.write_all(piece.as_bytes()).await.unwrap();
            assert_eq!(read(&mut server, piece.len()).await, piece.as_bytes());
        }
        // The reply may meet a closed connection.
        let _ = server.write_all(b"reply").await;
        assert_eq!(drain(&mut client).await.0, b"");
        // Once: the next one passes.
        let (mut client, mut server) = upstream.connect(&proxy).await;
        client.write_all(b"XADD 1").await.unwrap();
        assert_eq!(read(&mut server, 6).await, b"XADD 1");
        server.write_all(b"reply").await.unwrap();
        assert_eq!(read(&mut client, 5).await, b"reply");
    }
}

#[tokio::test(start_paused = true)]
async fn latency_delays_each_byte_and_does_not_throttle() {
    const LATENCY: Duration = Duration::from_secs(10);
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    proxy.delay(Direction::ToServer, LATENCY);
    let start = Instant::now();
    for n in 0..50_u8 {
        client.write_all(&[n]).await.unwrap();
        // The next byte is a chunk of its own.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(proxy.stats().to_server, 0);
    server.write_all(b"undelayed").await.unwrap();
    read(&mut client, 9).await;
    assert_eq!(proxy.stats().to_server, 0);
    let received = read(&mut server, 50).await;
    assert_eq!(received, (0..50).collect::<Vec<u8>>());
    // On the paused clock: one latency and the time of sending, not fifty latencies.
    let elapsed = start.elapsed();
    assert!((LATENCY..2 * LATENCY).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test]
async fn slices_change_nothing_but_the_sizes() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    proxy.slice(Some(1));
    client.write_all(b"abc").await.unwrap();
    let mut buffer = [0; 3];
    let mut received = Vec::new();
    let mut reads = 0;
    while received.len() < 3 {
        let read = server.read(&mut buffer).await.unwrap();
        received.extend_from_slice(&buffer[..read]);
        reads += 1;
    }
    assert_eq!((received.as_slice(), reads), (&b"abc"[..], 3));
    proxy.slice(None);
    client.write_all(b"def").await.unwrap();
    assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
}

#[tokio::test]
async fn behind_a_half_open_connection_nothing_is_heard() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let (mut client, mut server) = upstream.connect(&proxy).await;
    proxy.half_open(true).await;
    client.write_all(b"lost").await.unwrap();
    server.shutdown().await.unwrap();
    let mut byte = [0];
    for stream in [&mut client, &mut server] {
        let silent = timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        assert!(silent.is_err(), "{silent:?}");
    }
    proxy.half_open(false).await;
    assert_eq!(
        drain(&mut client).await,
        (vec![], Some(ErrorKind::ConnectionReset))
    );
    assert_eq!(drain(&mut server).await.0, b"");
    let (mut client, mut server) = upstream.connect(&proxy).await;
    client.write_all(b"heard").await.unwrap();
    assert_eq!(read(&mut server, 5).await, b"heard");
}

#[tokio::test]
async fn new_connections_go_to_the_new_upstream() {
    let (first, second) = (Upstream::new().await, Upstream::new().await);
    let proxy = first.proxy().await;
    let (mut old, mut old_server) = first.connect(&proxy).await;
    proxy.set_upstream(second.address());
    let (mut new, mut new_server) = second.connect(&proxy).await;
    old.write_all(b"old").await.unwrap();
    new.write_all(b"new").await.unwrap();
    assert_eq!(read(&mut old_server, 3).await, b"old");
    assert_eq!(read(&mut new_server, 3).await, b"new");
}

#[tokio::test]
async fn without_an_upstream_the_client_is_closed() {
    let gone = Upstream::new().await.address();
    let proxy = FaultProxy::start(gone).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(drain(&mut client).await.0, b"");
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() {
    let upstream = Upstream::new().await;
    let proxy = upstream.proxy().await;
    let address = proxy.address();
    let (mut client, mut server) = upstream.connect(&proxy).await;
    drop(proxy);
    assert_eq!(drain(&mut client).await.0, b"");
    assert_eq!(drain(&mut server).await.0, b"");
    let end = std::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(std::time::Instant::now() < end);
    }
}
