//! After many runs nothing is left on the server: no key, no group, no consumer.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachingPubSub, NewEvent, PubSub, PubSubExt, StartFrom, SubscribeOptions, Topic,
};
use bowline_redis::{RedisCache, RedisStreamsPubSub};
use bowline_testkit::RedisServer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const RUNS: usize = 1_000;
const AT_ONCE: usize = 20;

async fn keys(server: &RedisServer) -> Vec<String> {
    server.command(&["KEYS", "*"]).await.expect("KEYS").texts()
}

/// One stream: observed from its beginning while it is written, worked on by a group, and left.
async fn run(bus: &CachingPubSub, topic: Topic, clear: bool) {
    let from_the_start = SubscribeOptions::new().start(StartFrom::Offset(0));
    let mut observer = bus
        .subscribe(&topic, from_the_start)
        .await
        .expect("subscribed");
    let options = SubscribeOptions::new()
        .group("workers")
        .start(StartFrom::Latest);
    let mut worker = bus.subscribe("work", options).await.expect("joined");
    for n in 0..3 {
        let event = NewEvent::new("chunk", "run")
            .with_json(n.to_string())
            .expect("JSON");
        bus.publish(&topic, event).await.expect("published");
    }
    bus.publish("work", NewEvent::new("task", "run"))
        .await
        .expect("published");
    for n in 0..3 {
        let delivery = observer.next().await.expect("open").expect("an event");
        assert_eq!(delivery.index, Some(n));
    }
    worker
        .next()
        .await
        .expect("open")
        .expect("a task")
        .ack()
        .await
        .expect("acknowledged");
    worker.unsubscribe().await.expect("left");
    observer.unsubscribe().await.expect("left");
    if clear {
        bus.clear_topic(&topic).await.expect("cleared");
    }
}

async fn many_runs(bus: &Arc<CachingPubSub>, clear: bool) {
    let mut runs = JoinSet::new();
    for n in 0..RUNS {
        if runs.len() == AT_ONCE {
            runs.join_next().await.expect("a run").expect("no panic");
        }
        let bus = Arc::clone(bus);
        let topic = Topic::agent_stream(&format!("run-{n}"));
        runs.spawn(async move { run(&bus, topic, clear).await });
    }
    while let Some(ended) = runs.join_next().await {
        ended.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleared_runs_leave_nothing_behind() {
    if bowline_testkit::skips_redis() {
        return;
    }
    let server = RedisServer::start().await.expect("a server");
    let streams = RedisStreamsPubSub::new(server.url()).expect("a bus");
    let cache = RedisCache::builder(server.url()).build().expect("a cache");
    let bus = Arc::new(CachingPubSub::new(Arc::new(streams), Arc::new(cache)));
    many_runs(&bus, true).await;
    // What stays is the work topic and its group, which is there for others; its members are gone.
    bus.close().await.expect("closed");
    let left = keys(&server).await;
    let work: Vec<&String> = left.iter().filter(|key| !key.contains("work")).collect();
    assert!(work.is_empty(), "left behind: {work:?}");
    let groups = server
        .command(&["XINFO", "GROUPS", "mastra:topic:work"])
        .await
        .expect("XINFO");
    for group in groups.items() {
        let name = group
            .field("name")
            .and_then(|name| name.text())
            .expect("a name");
        assert_eq!(name, "workers");
        assert_eq!(
            group.field("consumers").and_then(|count| count.int()),
            Some(0)
        );
        assert_eq!(
            group.field("pending").and_then(|count| count.int()),
            Some(0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_leaves_nothing_behind() {
    if bowline_testkit::skips_redis() {
        return;
    }
    let server = RedisServer::start().await.expect("a server");
    let streams = RedisStreamsPubSub::builder(server.url())
        .stream_idle_ttl(Some(Duration::from_secs(3)))
        .build()
        .expect("a bus");
    let cache = RedisCache::builder(server.url())
        .ttl(Some(Duration::from_secs(3)))
        .build()
        .expect("a cache");
    let bus = Arc::new(CachingPubSub::new(Arc::new(streams), Arc::new(cache)));
    many_runs(&bus, false).await;
    bus.close().await.expect("closed");
    let started = Instant::now();
    loop {
        let left = keys(&server).await;
        if left.is_empty() {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "left behind: {left:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}
