//! Raw peers and small helpers.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_events::{Delivery, NewEvent, PubSubExt, SubscribeOptions, Subscription};
use bowline_unix::{UnixSocketBuilder, UnixSocketPubSub};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Long enough for anything that is to happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Short enough to show that something does not happen.
pub(crate) const SHORT: Duration = Duration::from_millis(60);

/// A folder with a socket path in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) socket: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        Self { folder, socket }
    }

    pub(crate) fn bus(&self) -> UnixSocketPubSub {
        UnixSocketPubSub::new(&self.socket).unwrap()
    }

    pub(crate) fn builder(&self) -> UnixSocketBuilder {
        UnixSocketPubSub::builder(&self.socket)
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(&self.socket).await
    }

    /// Names of the files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A peer that speaks lines.
pub(crate) struct Raw {
    reader: BufReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
}

impl Raw {
    pub(crate) async fn connect(path: &Path) -> Self {
        let connect = async {
            loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return Self::new(stream),
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        timeout(SOON, connect).await.unwrap()
    }

    pub(crate) fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: BufReader::new(reader),
            writer,
        }
    }

    pub(crate) async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        Self::new(stream)
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.writer.write_all(line.as_bytes()).await.unwrap();
        self.writer.write_all(b"\n").await.unwrap();
    }

    /// Reads exactly so many bytes.
    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) {
        timeout(SOON, self.reader.read_exact(bytes))
            .await
            .expect("bytes in time")
            .unwrap();
    }

    /// The next line that does not belong to the greeting of our clients; `None` at the end of the stream.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            let line = self.any_line().await?;
            if !line.starts_with(r#"{"type":"hello""#) && !line.contains("bowline.probe") {
                return Some(line);
            }
        }
    }

    /// The next line; `None` at the end of the stream.
    pub(crate) async fn any_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(SOON, self.reader.read_line(&mut line));
        match read.await.expect("a line in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => line.ends_with('\n').then(|| line.trim_end().to_owned()),
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        let line = self.line().await.expect("a frame");
        serde_json::from_str(&line).unwrap()
    }

    /// Expects this line next.
    pub(crate) async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await.as_deref(), Some(line));
    }

    /// Sends a frame and expects this line back.
    pub(crate) async fn ask(&mut self, line: &str, answer: &str) {
        self.send(line).await;
        self.expect(answer).await;
    }

    /// Subscribes to `topic` without a group.
    pub(crate) async fn subscribe(&mut self, topic: &str) {
        self.ask(
            &format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#),
            &format!(r#"{{"type":"subscribed","topic":"{topic}"}}"#),
        )
        .await;
    }

    /// Expects a frame and answers it with this line.
    pub(crate) async fn answer(&mut self, line: &str, answer: &str) {
        self.expect(line).await;
        self.send(answer).await;
    }

    /// Asserts that everything sent so far led to no frame: the answer to a last request is the next line.
    pub(crate) async fn nothing_before_probe(&mut self) {
        self.ask(
            r#"{"type":"unsubscribe","topic":"probe"}"#,
            r#"{"type":"unsubscribed","topic":"probe"}"#,
        )
        .await;
    }

    /// Whether the other side ends the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while let Some(_line) = self.line().await {}
        true
    }
}

pub(crate) fn event(kind: &str, data: &str) -> NewEvent {
    NewEvent::new(kind.to_owned(), "run-1")
        .with_json(data.to_owned())
        .unwrap()
}

/// A subscription to `topic` without a group.
pub(crate) async fn subscribe(bus: &UnixSocketPubSub, topic: &'static str) -> Subscription {
    let subscribing = bus.subscribe(topic, SubscribeOptions::new());
    subscribing.await.unwrap()
}

/// The next delivery.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let item = timeout(SOON, subscription.next())
        .await
        .expect("a delivery in time");
    item.expect("the subscription is open").expect("no notice")
}

/// The types of the next `count` deliveries.
pub(crate) async fn types(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut types = Vec::new();
    for _ in 0..count {
        let delivery = next(subscription).await;
        types.push(delivery.event_type.to_string());
        delivery.ack().await.unwrap();
    }
    types
}

/// Asserts that nothing arrives for a while.
pub(crate) async fn silent(subscription: &mut Subscription) {
    let item = timeout(SHORT, subscription.next()).await;
    assert!(item.is_err(), "unexpected {item:?}");
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, wait)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"));
}

/// Waits until exactly one of `buses` is broker and serves all others.
pub(crate) async fn settled(buses: &[&UnixSocketPubSub]) {
    until("one broker that serves all others", || {
        let brokers = buses.iter().filter(|bus| bus.is_broker()).count();
        let clients: usize = buses.iter().map(|bus| bus.remote_client_count()).sum();
        brokers == 1 && clients == buses.len() - 1
    })
    .await;
}
