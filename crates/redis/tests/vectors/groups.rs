//! The scenarios with groups.

use std::time::Duration;

use bowline_events::{PubSub, PubSubExt, StartFrom, SubscribeOptions};
use bowline_testkit::{RedisServer, skips_redis};

use crate::TTL;
use crate::scene::{Scene, event, next};

fn group(name: &'static str) -> SubscribeOptions {
    SubscribeOptions::new()
        .group(name)
        .start(StartFrom::Earliest)
}

#[tokio::test]
async fn joining_and_acknowledging() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let mut worker = bus.subscribe("t.grp", group("workers")).await.unwrap();
    scene.is("3").await;
    bus.publish("t.grp", event("g1")).await.unwrap();
    next(&mut worker).await.ack().await.unwrap();
    scene.is("3b").await;
    let second = scene.bus(|bus| bus);
    let other = second.subscribe("t.grp", group("workers")).await.unwrap();
    scene.is("3c").await;
    let live = scene.bus(|bus| bus);
    let options = SubscribeOptions::new().group("live");
    let latest = live.subscribe("t.grp", options).await.unwrap();
    for subscription in [other, latest, worker] {
        subscription.unsubscribe().await.unwrap();
    }
    for bus in [second, live] {
        bus.close().await.unwrap();
    }
    scene.is("3d").await;
}

#[tokio::test]
async fn refusing() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let mut refuses = bus.subscribe("t.nack", group("w")).await.unwrap();
    bus.publish("t.nack", event("n")).await.unwrap();
    for attempt in 1..3 {
        let delivery = next(&mut refuses).await;
        assert_eq!(delivery.delivery_attempt, attempt);
        delivery.nack().await.unwrap();
    }
    next(&mut refuses).await.ack().await.unwrap();
    refuses.unsubscribe().await.unwrap();
    scene.is("4").await;

    let capped = scene.bus(|bus| bus.max_deliveries(Some(2)));
    let mut never = capped.subscribe("t.cap", group("w")).await.unwrap();
    capped.publish("t.cap", event("poison")).await.unwrap();
    for _ in 0..2 {
        next(&mut never).await.nack().await.unwrap();
    }
    capped.close().await.unwrap();
    scene.is("4b").await;

    let ttl = scene.bus(|bus| bus.stream_idle_ttl(Some(TTL)));
    let mut once = ttl.subscribe("t.ttl2", group("w")).await.unwrap();
    ttl.publish("t.ttl2", event("n")).await.unwrap();
    next(&mut once).await.nack().await.unwrap();
    next(&mut once).await.ack().await.unwrap();
    once.unsubscribe().await.unwrap();
    scene.is("4c").await;

    let mut once = bus.subscribe("t.nack2", group("w")).await.unwrap();
    bus.publish("t.nack2", event("n")).await.unwrap();
    next(&mut once).await.nack().await.unwrap();
    next(&mut once).await.ack().await.unwrap();
    once.unsubscribe().await.unwrap();
    scene.is("12").await;
}

#[tokio::test]
async fn refusing_before_other_groups() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let mut refuses = bus.subscribe("t.x", group("A")).await.unwrap();
    let mut content = bus.subscribe("t.x", group("B")).await.unwrap();
    let options = SubscribeOptions::new().start(StartFrom::Earliest);
    let mut all = bus.subscribe("t.x", options).await.unwrap();
    bus.publish("t.x", event("x")).await.unwrap();
    next(&mut refuses).await.nack().await.unwrap();
    for attempt in 1..=2 {
        assert_eq!(next(&mut all).await.delivery_attempt, attempt);
        let delivery = next(&mut content).await;
        assert_eq!(delivery.delivery_attempt, attempt);
        delivery.ack().await.unwrap();
    }
    next(&mut refuses).await.ack().await.unwrap();
    bus.close().await.unwrap();
    scene.is("13").await;
}

#[tokio::test]
async fn taking_over() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let left_behind = async |topic: &str, consumer: &str, text: &str| {
        let key = format!("mastra:topic:{topic}");
        for command in [
            &["XADD", &key, "*", "event", text][..],
            &["XGROUP", "CREATE", &key, "w", "0"],
            &[
                "XREADGROUP",
                "GROUP",
                "w",
                consumer,
                "COUNT",
                "10",
                "STREAMS",
                &key,
                ">",
            ],
        ] {
            server.command(command).await.unwrap();
        }
    };
    let quick = |idle| {
        scene.bus(|bus| {
            bus.reclaim_interval(Some(Duration::from_millis(300)))
                .reclaim_idle(Duration::from_millis(idle))
        })
    };
    let (heir, quick) = (quick(500), quick(100));
    let lost = r#"{"type":"lost","data":{},"runId":"r","id":"id-lost","createdAt":"2026-01-01T00:00:00.000Z","deliveryAttempt":1}"#;
    left_behind("t.rec", "dead-consumer", lost).await;
    let mut worker = heir.subscribe("t.rec", group("w")).await.unwrap();
    let delivery = next(&mut worker).await;
    assert_eq!(delivery.id.to_string(), "id-lost");
    delivery.ack().await.unwrap();
    heir.close().await.unwrap();
    scene.is("5").await;

    left_behind("t.rec2", "dead", "{}").await;
    let trim = ["XTRIM", "mastra:topic:t.rec2", "MAXLEN", "0"];
    server.command(&trim).await.unwrap();
    let _worker = quick.subscribe("t.rec2", group("w")).await.unwrap();
    scene.is("5b").await;
    let left = server
        .command(&["XPENDING", "mastra:topic:t.rec2", "w"])
        .await
        .unwrap();
    assert_eq!(left.items()[0].int(), Some(0));
}
