//! What the tests share.

use std::ops::Range;
use std::time::Duration;

use bowline_events::{
    Delivery, Error, NewEvent, PubSubExt, StartFrom, SubscribeOptions, Subscription,
};
use bowline_redis::{RedisStreamsPubSub, RedisStreamsPubSubBuilder};
use bowline_testkit::{PATIENCE, RedisServer, Reply};

/// Leaves a test that needs a server where there is none.
macro_rules! need_redis {
    () => {
        if bowline_testkit::skips_redis() {
            return;
        }
    };
}
pub(crate) use need_redis;

pub(crate) async fn server() -> RedisServer {
    RedisServer::start().await.expect("a server")
}

pub(crate) fn builder(server: &RedisServer) -> RedisStreamsPubSubBuilder {
    RedisStreamsPubSub::builder(server.url())
}

pub(crate) fn bus(server: &RedisServer) -> RedisStreamsPubSub {
    builder(server).build().expect("a bus")
}

pub(crate) fn event(n: u64) -> NewEvent {
    let event = NewEvent::new("test", "run-1");
    event.with_json(n.to_string()).expect("JSON")
}

pub(crate) async fn publish(bus: &RedisStreamsPubSub, topic: &str, numbers: Range<u64>) {
    for n in numbers {
        bus.publish(topic, event(n)).await.expect("published");
    }
}

pub(crate) async fn listen(bus: &RedisStreamsPubSub, topic: &str) -> Subscription {
    read_from(bus, topic, StartFrom::Latest).await
}

pub(crate) async fn read_from(
    bus: &RedisStreamsPubSub,
    topic: &str,
    start: StartFrom,
) -> Subscription {
    let options = SubscribeOptions::new().start(start);
    bus.subscribe(topic, options).await.expect("subscribed")
}

/// The next delivery or notice.
pub(crate) async fn item(reader: &mut Subscription) -> Result<Delivery, Error> {
    tokio::time::timeout(PATIENCE, reader.next())
        .await
        .expect("something comes in time")
        .expect("the stream goes on")
}

pub(crate) async fn delivery(reader: &mut Subscription) -> Delivery {
    item(reader).await.expect("a delivery")
}

pub(crate) fn number(delivery: &Delivery) -> u64 {
    delivery.data.parse().expect("a number")
}

/// Reads exactly these numbers, each once, in order.
pub(crate) async fn expect(reader: &mut Subscription, numbers: Range<u64>) {
    for n in numbers {
        assert_eq!(number(&delivery(reader).await), n);
    }
}

/// Nothing more is on its way.
pub(crate) async fn expect_quiet(reader: &mut Subscription) {
    let more = tokio::time::timeout(Duration::from_millis(100), reader.next()).await;
    assert!(more.is_err(), "there is more: {more:?}");
}

pub(crate) async fn command(server: &RedisServer, command: &[&str]) -> Reply {
    server.command(command).await.expect("a reply")
}

/// The private groups on a stream.
pub(crate) async fn private_groups(server: &RedisServer, topic: &str) -> Vec<String> {
    let key = format!("mastra:topic:{topic}");
    let Ok(groups) = server.command(&["XINFO", "GROUPS", &key]).await else {
        return Vec::new();
    };
    let names = groups.items().iter();
    names
        .filter_map(|group| group.field("name")?.text())
        .filter(|name| name.starts_with("__fanout-"))
        .collect()
}

pub(crate) async fn keys(server: &RedisServer) -> Vec<String> {
    command(server, &["KEYS", "*"]).await.texts()
}

/// Repeats `ask` until it says yes.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let ends = tokio::time::Instant::now() + PATIENCE;
    while !ask().await {
        assert!(
            tokio::time::Instant::now() < ends,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
