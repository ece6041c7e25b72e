//! Our client does on the wire what the captured one did: the scenarios of the capture, played on a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod groups;
mod normal;
mod scene;

use std::time::Duration;

use bowline_events::{PubSub, PubSubExt, StartFrom, SubscribeOptions, Topic};
use bowline_testkit::{RedisServer, skips_redis};

use crate::scene::{Scene, event, event_of, next};

pub(crate) const TTL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn publishing_and_fan_out() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let first = event_of("workflow.start", r#"{"a":1}"#);
    bus.publish("t.pub", first).await.unwrap();
    scene.is("1").await;
    let untrimmed = scene.bus(|bus| bus.max_stream_length(None));
    untrimmed.publish("t.pub", event("x")).await.unwrap();
    untrimmed.close().await.unwrap();
    scene.is("1b").await;
    let ttl = scene.bus(|bus| bus.stream_idle_ttl(Some(TTL)));
    ttl.publish("t.ttl", event("x")).await.unwrap();
    scene.is("1c").await;

    let earliest = || SubscribeOptions::new().start(StartFrom::Earliest);
    let mut one = bus.subscribe("t.pub", earliest()).await.unwrap();
    for kind in ["workflow.start", "x"] {
        assert_eq!(next(&mut one).await.event_type, kind);
    }
    scene.is("2").await;
    let mut two = bus.subscribe("t.pub", earliest()).await.unwrap();
    for kind in ["workflow.start", "x"] {
        assert_eq!(next(&mut two).await.event_type, kind);
    }
    scene.is("2b").await;
    let mut three = bus
        .subscribe("t.pub", SubscribeOptions::new())
        .await
        .unwrap();
    scene.is("2c").await;
    bus.publish("t.pub", event("fan")).await.unwrap();
    for subscription in [&mut one, &mut two, &mut three] {
        assert_eq!(next(subscription).await.event_type, "fan");
    }
    scene.is("2d").await;
    for subscription in [one, two, three] {
        subscription.unsubscribe().await.unwrap();
    }
    scene.is("2e").await;
}

#[tokio::test]
async fn clearing() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let topic = Topic::new("t.clr");
    let mut all = bus
        .subscribe(&topic, SubscribeOptions::new().start(StartFrom::Earliest))
        .await
        .unwrap();
    bus.publish(&topic, event("c1")).await.unwrap();
    assert_eq!(next(&mut all).await.event_type, "c1");
    scene.is("8").await;
    bus.clear_topic(&topic).await.unwrap();
    scene.is("8a").await;
    bus.publish(&topic, event("c2")).await.unwrap();
    // Told of the clear first.
    while next_item(&mut all).await.as_deref() != Some("c2") {}
    scene.is("8b").await;
}

async fn next_item(subscription: &mut bowline_events::Subscription) -> Option<String> {
    let item = subscription.next().await.expect("the bus is open");
    item.ok().map(|delivery| delivery.event_type.to_string())
}

#[tokio::test]
async fn leases() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let mut scene = Scene::begin(&server).await;
    let bus = scene.bus(|bus| bus);
    let leases = bus.lease_provider().unwrap();
    let time = Duration::from_secs(30);
    let acquire = async |owner| {
        let outcome = leases.acquire("thread-1", owner, time).await.unwrap();
        (outcome.acquired, outcome.owner.unwrap().to_string())
    };
    assert_eq!(acquire("owner-A").await, (true, "owner-A".to_owned()));
    scene.is("10").await;
    assert_eq!(acquire("owner-A").await, (true, "owner-A".to_owned()));
    scene.is("10b").await;
    assert_eq!(acquire("owner-B").await, (false, "owner-A".to_owned()));
    scene.is("10c").await;
    assert!(leases.renew("thread-1", "owner-A", time).await.unwrap());
    assert!(!leases.renew("thread-1", "owner-B", time).await.unwrap());
    scene.is("10d").await;
    let transferred = leases.transfer("thread-1", "owner-A", "owner-B", time);
    assert!(transferred.await.unwrap());
    scene.is("10e").await;
    let owner = leases.owner("thread-1").await.unwrap();
    assert_eq!(owner.as_deref(), Some("owner-B"));
    scene.is("10f").await;
    leases.release("thread-1", "owner-A").await.unwrap();
    leases.release("thread-1", "owner-B").await.unwrap();
    scene.is("10g").await;
}
