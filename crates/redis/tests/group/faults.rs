//! Deleted streams and broken connections.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_events::{ErrorKind, PubSub, Topic};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::{Direction, FaultProxy};

use crate::support::*;

#[tokio::test]
async fn a_deleted_stream_begins_anew() {
    let server = server!();
    let bus = bus(&server);
    let (mut one, mut two) = (join(&bus).await, join(&bus).await);
    publish(&bus, 0..3).await;
    let held = next(&mut one).await;
    server.command(&["DEL", KEY]).await.expect("DEL");
    for member in [&mut one, &mut two] {
        loop {
            let item = tokio::time::timeout(bowline_testkit::PATIENCE, member.next()).await;
            match item.expect("a notice").expect("open") {
                Ok(before) => drop(before.ack()),
                Err(notice) => break assert_eq!(notice.kind(), ErrorKind::Cleared),
            }
        }
    }
    publish(&bus, 10..13).await;
    // An entry of the stream that is gone: whatever is decided about it, nothing comes of it.
    held.nack().await.expect("ignored");
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        let delivery = tokio::select! {
            item = one.next() => item,
            item = two.next() => item,
        };
        let delivery = delivery.expect("open").expect("a delivery");
        seen.insert(number(&delivery));
        delivery.ack().await.expect("acked");
    }
    assert!(seen.into_iter().eq(10..13));
    assert_eq!(length(&server).await, 3);
    expect_quiet(&mut one).await;
    expect_quiet(&mut two).await;
}

#[tokio::test]
async fn a_clear_is_seen_while_reading_waits_for_members() {
    let server = server!();
    let bus = builder(&server).max_in_flight(2).build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..5).await;
    let held = [next(&mut member).await, next(&mut member).await];
    bus.clear_topic(&Topic::from(TOPIC)).await.expect("cleared");
    assert_eq!(notice(&mut member).await.kind(), ErrorKind::Cleared);
    publish(&bus, 5..7).await;
    assert_eq!(take(&mut member, 2).await, [5, 6]);
    drop(held);
    expect_quiet(&mut member).await;
    assert_eq!(length(&server).await, 2, "nothing old was appended again");
}

#[tokio::test]
async fn a_group_that_was_made_again_by_somebody_else_is_noticed() {
    let server = server!();
    let bus = builder(&server).max_in_flight(2).build().expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..5).await;
    let held = [next(&mut member).await, next(&mut member).await];
    let mut other = server.connect().await.expect("a connection");
    for command in [
        &["MULTI"][..],
        &["DEL", KEY],
        &["XGROUP", "CREATE", KEY, GROUP, "0", "MKSTREAM"],
        &["EXEC"],
    ] {
        other.call(command).await.expect("executed");
    }
    publish(&bus, 5..7).await;
    // Nothing is read until there is room: what is done with the old ones is of no interest.
    for delivery in held {
        delivery.ack().await.expect("ignored");
    }
    assert_eq!(take(&mut member, 2).await, [5, 6]);
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn nobody_makes_a_stream_again_that_nobody_needs() {
    let server = server!();
    let bus = bus(&server);
    for _ in 0..20 {
        let member = join(&bus).await;
        drop(member);
        server.command(&["DEL", KEY]).await.expect("DEL");
    }
    bus.close().await.expect("closed");
    let keys = server.command(&["KEYS", "*"]).await.expect("KEYS");
    assert!(keys.items().is_empty(), "{keys:?}");
}

#[tokio::test]
async fn everything_deleted_at_once_is_survived() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    for round in 0..5 {
        publish(&bus, round..round + 1).await;
        assert_eq!(take(&mut member, 1).await, [round]);
        server.command(&["FLUSHALL"]).await.expect("FLUSHALL");
        assert_eq!(notice(&mut member).await.kind(), ErrorKind::Cleared);
    }
}

#[tokio::test]
async fn a_destroyed_group_goes_on_where_it_was() {
    let server = server!();
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    // The last entry of the old stream is to be of a later millisecond than its first.
    tokio::time::sleep(Duration::from_millis(3)).await;
    publish(&bus, 1..5).await;
    assert_eq!(take(&mut member, 5).await, [0, 1, 2, 3, 4]);
    server
        .command(&["XGROUP", "DESTROY", KEY, GROUP])
        .await
        .expect("XGROUP DESTROY");
    publish(&bus, 5..8).await;
    assert_eq!(take(&mut member, 3).await, [5, 6, 7]);
    expect_quiet(&mut member).await;
}

#[tokio::test]
async fn entries_of_a_lost_reply_are_recovered_at_once() {
    let server = server!();
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let url = format!("redis://{}", proxy.address());
    // Nothing is taken over because it is idle, and no read ends because its time is up.
    let bus = RedisStreamsPubSub::builder(url)
        .block(Duration::from_secs(300))
        .reclaim_idle(Duration::from_secs(3_600))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    let publisher = RedisStreamsPubSub::new(server.url()).expect("a bus");
    for round in 0..8 {
        until("a blocked read", async || blocked_reads(&server).await == 1).await;
        let made = proxy.stats().accepted;
        // The next reply breaks off in the middle of the entry.
        proxy.cut_after(Direction::ToClient, 60);
        publish(&publisher, round..round + 1).await;
        let delivery = next(&mut member).await;
        assert_eq!((number(&delivery), delivery.delivery_attempt), (round, 1));
        delivery.ack().await.expect("acked");
        assert!(proxy.stats().accepted > made, "nothing was cut");
    }
    expect_quiet(&mut member).await;
    assert!(pending(&server).await.is_empty());
    member.unsubscribe().await.expect("unsubscribed");
    assert!(consumers(&server).await.is_empty());
}

async fn blocked_reads(server: &bowline_testkit::RedisServer) -> usize {
    let clients = server.command(&["CLIENT", "LIST"]).await;
    let clients = clients.expect("CLIENT LIST").text().expect("text");
    let blocked = |line: &&str| line.contains("flags=b") && line.contains("cmd=xreadgroup");
    clients.lines().filter(blocked).count()
}

#[tokio::test]
async fn acks_wait_for_a_server_that_comes_back() {
    let server = server!();
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let url = format!("redis://{}", proxy.address());
    let bus = quick(RedisStreamsPubSub::builder(url))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..10).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&mut member).await);
    }
    proxy.refuse(true);
    proxy.cut_all().await;
    let acks: Vec<_> = held
        .into_iter()
        .map(|delivery| tokio::spawn(delivery.ack()))
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(pending(&server).await.len(), 10);
    proxy.refuse(false);
    for ack in acks {
        ack.await.expect("joined").expect("acked");
    }
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn an_ack_that_cannot_be_made_says_so() {
    let server = server!();
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let url = format!("redis://{}", proxy.address());
    let bus = quick(RedisStreamsPubSub::builder(url))
        .publish_timeout(Duration::from_millis(200))
        .build()
        .expect("a bus");
    let mut member = join(&bus).await;
    publish(&bus, 0..1).await;
    let held = next(&mut member).await;
    proxy.refuse(true);
    proxy.cut_all().await;
    let error = held.ack().await.expect_err("the server is away");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(KEY), "{error}");
    proxy.refuse(false);
    // The server does not know that it was done.
    assert_eq!(take(&mut member, 1).await, [0]);
    assert!(pending(&server).await.is_empty());
}

#[tokio::test]
async fn nothing_is_lost_while_connections_break() {
    let server = server!();
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let url = format!("redis://{}", proxy.address());
    let bus = quick(RedisStreamsPubSub::builder(url))
        .build()
        .expect("a bus");
    let publisher = RedisStreamsPubSub::new(server.url()).expect("a bus");
    let mut member = join(&bus).await;
    let publish = publish(&publisher, 0..500);
    let work = async {
        let mut seen = BTreeSet::new();
        while seen.len() < 500 {
            let delivery = next(&mut member).await;
            seen.insert(number(&delivery));
            drop(delivery.ack());
            if seen.len() % 50 == 0 {
                proxy.cut_all().await;
            }
        }
    };
    tokio::join!(publish, work);
    until("all to be settled", async || {
        pending(&server).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_restarts_goes_on() {
    if bowline_testkit::skips_redis() {
        return;
    }
    let server = bowline_testkit::RedisServer::builder()
        .append_only()
        .start()
        .await
        .expect("a server");
    let bus = bus(&server);
    let mut member = join(&bus).await;
    publish(&bus, 0..3).await;
    assert_eq!(take(&mut member, 3).await, [0, 1, 2]);
    server.kill();
    server.restart().await.expect("a server");
    publish(&bus, 3..6).await;
    assert_eq!(take(&mut member, 3).await, [3, 4, 5]);
}
