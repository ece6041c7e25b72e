//! Entries of processes that died, and of those that did not.

use std::time::Duration;

use bowline_events::{PubSubExt, Subscription};
use bowline_redis::{Redelivery, RedisStreamsPubSub};
use bowline_testkit::RedisServer;

use crate::support::*;

#[tokio::test]
async fn a_dead_consumers_entries_are_taken_over() {
    let server = server!();
    let bus = bus(&server);
    publish(&bus, 0..250).await;
    read_and_die(&server).await;
    let mut member = join(&bus).await;
    for n in 0..250 {
        let delivery = next(&mut member).await;
        assert_eq!((number(&delivery), delivery.delivery_attempt), (n, 2));
        delivery.ack().await.expect("acked");
    }
    assert!(pending(&server).await.is_empty());
    assert_eq!(bus.stats().reclaimed, 250);
}

/// Idle entries are taken over after this time: long enough for a machine that is busy with other tests.
const IDLE: Duration = Duration::from_secs(2);

fn unhurried(server: &RedisServer) -> RedisStreamsPubSub {
    builder(server).reclaim_idle(IDLE).build().expect("a bus")
}

/// Watches for longer than an entry may be idle that the members get nothing.
async fn expect_quiet_for_long(members: &mut [&mut Subscription]) {
    let began = tokio::time::Instant::now();
    while began.elapsed() < IDLE + IDLE / 4 {
        for member in &mut *members {
            expect_quiet(member).await;
        }
    }
}

#[tokio::test]
async fn held_entries_are_renewed_and_stay_with_their_holder() {
    let server = server!();
    let (one, two) = (unhurried(&server), unhurried(&server));
    let mut holds = join(&one).await;
    publish(&one, 0..3).await;
    let held = [
        next(&mut holds).await,
        next(&mut holds).await,
        next(&mut holds).await,
    ];
    let mut waits = join(&two).await;
    expect_quiet_for_long(&mut [&mut holds, &mut waits]).await;
    let lines = pending(&server).await;
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.deliveries == 1), "{lines:?}");
    for delivery in held {
        delivery.ack().await.expect("acked");
    }
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn what_waits_for_a_member_is_renewed_too() {
    let server = server!();
    let (one, two) = (unhurried(&server), unhurried(&server));
    let mut slow = join(&one).await;
    publish(&one, 0..4).await;
    until("the entries to be read", async || {
        pending(&server).await.len() == 4
    })
    .await;
    let mut waits = join(&two).await;
    expect_quiet_for_long(&mut [&mut waits]).await;
    assert_eq!(take(&mut slow, 4).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn crashes_count_as_deliveries() {
    let server = server!();
    publish(&bus(&server), 0..1).await;
    read_and_die(&server).await;
    let id = pending(&server).await[0].id.clone();
    for _ in 0..3 {
        let claim = ["XCLAIM", KEY, GROUP, "dead", "0", &id];
        server.command(&claim).await.expect("XCLAIM");
    }
    assert_eq!(pending(&server).await[0].deliveries, 4);
    // The fifth delivery of five.
    let one = bus(&server);
    let mut member = join(&one).await;
    let delivery = next(&mut member).await;
    assert_eq!(delivery.delivery_attempt, 5);
    std::mem::forget(delivery);
    let claim = [
        "XCLAIM",
        KEY,
        GROUP,
        "dead",
        "0",
        &id,
        "IDLE",
        "100000",
        "RETRYCOUNT",
        "5",
    ];
    server.command(&claim).await.expect("XCLAIM");
    let two = builder(&server)
        .dead_letters("letters")
        .build()
        .expect("a bus");
    let mut other = join(&two).await;
    until("it to be buried", async || {
        one.stats().dropped + two.stats().dead_lettered == 1
    })
    .await;
    until("nothing to be pending", async || {
        pending(&server).await.is_empty()
    })
    .await;
    expect_quiet(&mut other).await;
}

#[tokio::test]
async fn refusals_and_crashes_count_together() {
    let server = server!();
    let delay = Duration::ZERO;
    let local = || builder(&server).redelivery(Redelivery::GroupLocal { delay });
    let bus = local().build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    next(&mut member).await.nack().await.expect("nacked");
    let held = next(&mut member).await;
    assert_eq!(held.delivery_attempt, 2);
    until("the server to count", async || {
        pending(&server).await[0].deliveries == 2
    })
    .await;
    let id = pending(&server).await[0].id.clone();
    let claim = [
        "XCLAIM", KEY, GROUP, "dead", "0", &id, "IDLE", "100000", "JUSTID",
    ];
    server.command(&claim).await.expect("XCLAIM");
    let other = local().build().expect("a bus");
    drop(member);
    let mut heir = join(&other).await;
    let delivery = next(&mut heir).await;
    assert_eq!(delivery.delivery_attempt, 3);
    delivery.ack().await.expect("acked");
    drop(held.ack());
}

#[tokio::test]
async fn an_entry_that_was_trimmed_while_it_was_pending_blocks_nothing() {
    let server = server!();
    let bus = bus(&server);
    publish(&bus, 0..5).await;
    read_and_die(&server).await;
    server
        .command(&["XTRIM", KEY, "MAXLEN", "2"])
        .await
        .expect("XTRIM");
    let mut member = join(&bus).await;
    assert_eq!(take(&mut member, 2).await, [3, 4]);
    until("nothing to be pending", async || {
        pending(&server).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn without_an_interval_nothing_is_taken_over() {
    let server = server!();
    let bus = builder(&server)
        .reclaim_interval(None)
        .build()
        .expect("a bus");
    publish(&bus, 0..1).await;
    read_and_die(&server).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut member = join(&bus).await;
    expect_quiet(&mut member).await;
    assert_eq!(pending(&server).await[0].consumer, "dead");
}

#[tokio::test]
async fn idle_consumers_are_swept() {
    let server = server!();
    publish(&bus(&server), 0..2).await;
    read_and_die(&server).await;
    for name in ["idle-1", "idle-2"] {
        let create = ["XGROUP", "CREATECONSUMER", KEY, GROUP, name];
        server
            .command(&create)
            .await
            .expect("XGROUP CREATECONSUMER");
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let sweeps = builder(&server)
        .sweep_idle(Some(Duration::from_millis(50)))
        .reclaim_interval(None)
        .build()
        .expect("a bus");
    let _member = join(&sweeps).await;
    until("the idle ones to be gone", async || {
        let left = consumers(&server).await;
        // The dead one has something pending.
        !left.iter().any(|name| name.starts_with("idle")) && left.iter().any(|name| name == "dead")
    })
    .await;
    let other = sweeps
        .subscribe("unrelated", group())
        .await
        .expect("a member");
    other.unsubscribe().await.expect("unsubscribed");
}
