//! What the tests share.

use std::time::Duration;

use bowline_events::{
    Delivery, Event, NewEvent, PubSubExt, StartFrom, SubscribeOptions, Subscription,
};
use bowline_redis::{RedisStreamsPubSub, RedisStreamsPubSubBuilder};
use bowline_testkit::{Connection, PATIENCE, RedisServer, Reply};

pub(crate) const KEY: &str = "mastra:topic:t";
pub(crate) const TOPIC: &str = "t";
pub(crate) const GROUP: &str = "g";

/// How long a test watches that nothing happens.
const QUIET: Duration = Duration::from_millis(150);

/// Ends the test where no server can be started.
macro_rules! server {
    () => {
        match crate::support::start().await {
            Some(server) => server,
            None => return,
        }
    };
}
pub(crate) use server;

pub(crate) async fn start() -> Option<RedisServer> {
    if bowline_testkit::skips_redis() {
        return None;
    }
    Some(RedisServer::start().await.expect("a server"))
}

/// A bus that looks for abandoned entries often.
pub(crate) fn builder(server: &RedisServer) -> RedisStreamsPubSubBuilder {
    quick(RedisStreamsPubSub::builder(server.url()))
}

pub(crate) fn quick(builder: RedisStreamsPubSubBuilder) -> RedisStreamsPubSubBuilder {
    builder
        .block(Duration::from_millis(100))
        .reclaim_interval(Some(Duration::from_millis(50)))
        .reclaim_idle(Duration::from_millis(300))
}

pub(crate) fn bus(server: &RedisServer) -> RedisStreamsPubSub {
    builder(server).build().expect("a bus")
}

pub(crate) fn event(n: u64) -> NewEvent {
    NewEvent::new("test", "run-1")
        .with_json(n.to_string())
        .expect("JSON")
}

pub(crate) fn number(event: &Event) -> u64 {
    event.data.parse().expect("a number")
}

pub(crate) fn group() -> SubscribeOptions {
    SubscribeOptions::new()
        .group(GROUP)
        .start(StartFrom::Earliest)
}

pub(crate) async fn join(bus: &RedisStreamsPubSub) -> Subscription {
    bus.subscribe(TOPIC, group()).await.expect("a member")
}

pub(crate) async fn publish(bus: &RedisStreamsPubSub, numbers: std::ops::Range<u64>) {
    for n in numbers {
        bus.publish(TOPIC, event(n)).await.expect("published");
    }
}

/// The next item, which must be a delivery.
pub(crate) async fn next(member: &mut Subscription) -> Delivery {
    let item = tokio::time::timeout(PATIENCE, member.next()).await;
    let item = item.expect("nothing came").expect("the stream ended");
    item.expect("a delivery")
}

/// The next item, which must be a notice or an error.
pub(crate) async fn notice(member: &mut Subscription) -> bowline_events::Error {
    let item = tokio::time::timeout(PATIENCE, member.next()).await;
    let item = item.expect("nothing came").expect("the stream ended");
    item.expect_err("a notice")
}

/// The numbers of the next `count` events, which are acked, in ascending order.
pub(crate) async fn take(member: &mut Subscription, count: usize) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let delivery = next(member).await;
        numbers.push(number(&delivery));
        delivery.ack().await.expect("acked");
    }
    numbers.sort_unstable();
    numbers
}

pub(crate) async fn expect_quiet(member: &mut Subscription) {
    let item = tokio::time::timeout(QUIET, member.next()).await;
    assert!(item.is_err(), "wanted nothing, saw {item:?}");
}

/// Repeats `ask` until it is true.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ask().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A line of the pending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) consumer: String,
    pub(crate) deliveries: i64,
}

pub(crate) async fn pending(server: &RedisServer) -> Vec<Pending> {
    let list = ["XPENDING", KEY, GROUP, "-", "+", "10000"];
    let list = server.command(&list).await.expect("XPENDING");
    let line = |line: &Reply| Pending {
        id: line.items()[0].text().expect("an id"),
        consumer: line.items()[1].text().expect("a consumer"),
        deliveries: line.items()[3].int().expect("a number"),
    };
    list.items().iter().map(line).collect()
}

pub(crate) async fn consumers(server: &RedisServer) -> Vec<String> {
    let list = server.command(&["XINFO", "CONSUMERS", KEY, GROUP]).await;
    let list = list.expect("XINFO CONSUMERS");
    let name = |consumer: &Reply| consumer.field("name").and_then(Reply::text);
    list.items().iter().filter_map(name).collect()
}

pub(crate) async fn length(server: &RedisServer) -> i64 {
    let length = server.command(&["XLEN", KEY]).await.expect("XLEN");
    length.int().expect("a number")
}

/// Has a consumer that will never be heard of again read everything that the group has not read.
pub(crate) async fn read_and_die(server: &RedisServer) {
    let mut dead: Connection = server.connect().await.expect("a connection");
    // The group may be there already.
    let _ = dead
        .call(&["XGROUP", "CREATE", KEY, GROUP, "0", "MKSTREAM"])
        .await;
    dead.call(&[
        "XREADGROUP",
        "GROUP",
        GROUP,
        "dead",
        "COUNT",
        "1000",
        "STREAMS",
        KEY,
        ">",
    ])
    .await
    .expect("read");
}
