//! What members leave behind.

use std::time::Duration;

use bowline_events::{ErrorKind, PubSub};
use bowline_redis::{Redelivery, RedisStreamsPubSub, RedisStreamsPubSubBuilder};
use bowline_testkit::{Direction, FaultProxy, RedisServer};

use crate::support::*;

/// Nothing is taken over because it is idle: only what was handed back.
fn patient(server: &RedisServer) -> RedisStreamsPubSubBuilder {
    RedisStreamsPubSub::builder(server.url())
        .block(Duration::from_millis(100))
        .reclaim_interval(Some(Duration::from_millis(50)))
        .reclaim_idle(Duration::from_secs(3_600))
}

#[tokio::test]
async fn the_last_member_hands_over_to_other_processes() {
    let server = server!();
    let leaves = patient(&server).build().expect("a bus");
    let mut member = join(&leaves).await;
    publish(&leaves, 0..30).await;
    let done = next(&mut member).await;
    assert_eq!(number(&done), 0);
    done.ack().await.expect("acked");
    until("some to be read", async || pending(&server).await.len() > 5).await;
    let stays = patient(&server).build().expect("a bus");
    let mut heir = join(&stays).await;
    member.unsubscribe().await.expect("unsubscribed");
    for n in 1..30 {
        let delivery = next(&mut heir).await;
        assert!((1..30).contains(&number(&delivery)), "event {n}");
        assert_eq!(delivery.delivery_attempt, 1, "not delivered before");
        delivery.ack().await.expect("acked");
    }
    expect_quiet(&mut heir).await;
    // Whoever took over removed the consumer that left.
    until("one consumer", async || consumers(&server).await.len() == 1).await;
}

#[tokio::test]
async fn a_later_member_of_the_same_process_gets_what_was_handed_back() {
    let server = server!();
    let bus = patient(&server)
        .reclaim_interval(None)
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..10).await;
    let held = next(&mut member).await;
    drop(member);
    let mut heir = join(&bus).await;
    assert_eq!(take(&mut heir, 9).await, (1..10).collect::<Vec<_>>());
    // What is in somebody's hands stays there.
    expect_quiet(&mut heir).await;
    held.ack().await.expect("acked");
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_outlives_its_member_is_settled() {
    let server = server!();
    let delay = Duration::from_millis(10);
    for redelivery in [Redelivery::Republish, Redelivery::GroupLocal { delay }] {
        let bus = patient(&server)
            .redelivery(redelivery)
            .build()
            .expect("a bus");
        let mut member = join(&bus).await;
        publish(&bus, 0..3).await;
        let (one, two, three) = (
            next(&mut member).await,
            next(&mut member).await,
            next(&mut member).await,
        );
        member.unsubscribe().await.expect("unsubscribed");
        one.ack().await.expect("acked");
        two.nack().await.expect("nacked");
        three.release().await.expect("released");
        let mut heir = join(&bus).await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let delivery = next(&mut heir).await;
            seen.push((number(&delivery), delivery.delivery_attempt));
            delivery.ack().await.expect("acked");
        }
        seen.sort_unstable();
        assert_eq!(seen, [(1, 2), (2, 1)], "{redelivery:?}");
        expect_quiet(&mut heir).await;
        heir.unsubscribe().await.expect("unsubscribed");
        until("no consumer", async || consumers(&server).await.is_empty()).await;
    }
}

#[tokio::test]
async fn coming_and_going_leaves_no_consumer() {
    let server = server!();
    let bus = patient(&server).build().expect("a bus");
    for n in 0..20 {
        let mut member = join(&bus).await;
        publish(&bus, n..n + 1).await;
        assert_eq!(take(&mut member, 1).await, [n]);
        match n % 2 {
            0 => member.unsubscribe().await.expect("unsubscribed"),
            _ => drop(member),
        }
    }
    until("no consumer", async || consumers(&server).await.is_empty()).await;
    assert!(pending(&server).await.is_empty());
    bus.close().await.expect("closed");
    assert!(consumers(&server).await.is_empty());
}

#[tokio::test]
async fn closing_ends_streams_and_hands_everything_back() {
    let server = server!();
    let bus = patient(&server).build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..10).await;
    let acked = next(&mut member).await;
    let held = next(&mut member).await;
    drop(acked.ack());
    bus.close().await.expect("closed");
    while let Some(item) = member.next().await {
        drop(item.expect("a delivery").release());
    }
    let late = held.ack().await.expect_err("too late");
    assert_eq!(late.kind(), ErrorKind::Closed);
    let other = patient(&server).build().expect("a bus");
    let mut heir = join(&other).await;
    let mut seen = Vec::new();
    for _ in 0..9 {
        let delivery = next(&mut heir).await;
        // Only what was in a handler's hands was delivered before.
        let attempt = if number(&delivery) == 1 { 2 } else { 1 };
        seen.push(number(&delivery));
        assert!(delivery.delivery_attempt <= attempt.max(2));
        delivery.ack().await.expect("acked");
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..10).collect::<Vec<_>>());
    expect_quiet(&mut heir).await;
    until("one consumer", async || consumers(&server).await.len() == 1).await;
}

#[tokio::test]
async fn what_is_being_taken_over_while_the_member_leaves_is_handed_back() {
    let server = server!();
    let stays = patient(&server).build().expect("a bus");
    publish(&stays, 0..5).await;
    read_and_die(&server).await;
    let ids = pending(&server).await.into_iter().map(|line| line.id);
    let ids: Vec<String> = ids.collect();
    let mut abandon = vec!["XCLAIM", KEY, GROUP, "dead", "0"];
    abandon.extend(ids.iter().map(String::as_str));
    abandon.extend(["IDLE", "63244800000", "RETRYCOUNT", "0", "JUSTID"]);
    server.command(&abandon).await.expect("XCLAIM");
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    proxy.delay(Direction::ToClient, Duration::from_millis(100));
    let leaves = RedisStreamsPubSub::builder(format!("redis://127.0.0.1:{}", proxy.port()))
        .block(Duration::from_millis(20))
        .reclaim_idle(Duration::from_secs(3_600))
        .build()
        .expect("a bus");
    let member = join(&leaves).await;
    until("the entries to be claimed", async || {
        pending(&server)
            .await
            .iter()
            .all(|line| line.consumer != "dead")
    })
    .await;
    member.unsubscribe().await.expect("unsubscribed");
    let mut heir = join(&stays).await;
    assert_eq!(take(&mut heir, 5).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_server_that_is_away_does_not_hold_up_the_close() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..3).await;
    let held = next(&mut member).await;
    server.kill();
    drop(held.ack());
    let closed = tokio::time::timeout(bowline_testkit::PATIENCE, bus.close()).await;
    closed.expect("closed in time").expect("closed");
}
