//! Connections that break and servers that die.

use std::time::Duration;

use bowline_events::{PubSubExt, StartFrom};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::{Direction, FaultProxy, RedisServer};

use crate::support::*;

async fn behind(proxy: &FaultProxy) -> RedisStreamsPubSub {
    RedisStreamsPubSub::new(format!("redis://{}", proxy.address())).expect("a bus")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn severed_connections_lose_nothing_and_repeat_nothing() {
    need_redis!();
    const EVENTS: u64 = 2_000;
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let (reads, writes) = (behind(&proxy).await, bus(&server));
    let mut readers = [listen(&reads, "t").await, listen(&reads, "t").await];
    let mut other = listen(&reads, "other").await;
    let publishing = tokio::spawn(async move {
        publish(&writes, "t", 0..EVENTS).await;
        publish(&writes, "other", 0..3).await;
    });
    while !publishing.is_finished() {
        tokio::time::sleep(Duration::from_millis(40)).await;
        proxy.cut_all().await;
    }
    publishing.await.expect("published");
    for reader in &mut readers {
        for n in 0..EVENTS {
            let delivery = delivery(reader).await;
            assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
        }
        expect_quiet(reader).await;
    }
    expect(&mut other, 0..3).await;
}

#[tokio::test]
async fn what_a_lost_reply_assigned_is_read_again() {
    need_redis!();
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let (reads, writes) = (behind(&proxy).await, bus(&server));
    let mut reader = listen(&reads, "t").await;
    publish(&writes, "t", 0..3).await;
    expect(&mut reader, 0..3).await;
    for round in 0..5 {
        let n = 3 + 2 * round;
        // Nothing of the reply arrives.
        proxy.cut_after(Direction::ToClient, 0);
        publish(&writes, "t", n..n + 2).await;
        expect(&mut reader, n..n + 2).await;
    }
    expect_quiet(&mut reader).await;
}

#[tokio::test]
async fn a_server_that_swallows_everything_is_noticed() {
    need_redis!();
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let reads = RedisStreamsPubSub::builder(format!("redis://{}", proxy.address()))
        .block(Duration::from_millis(100))
        .build()
        .expect("a bus");
    let writes = bus(&server);
    let mut reader = listen(&reads, "t").await;
    proxy.half_open(true).await;
    publish(&writes, "t", 0..3).await;
    proxy.half_open(false).await;
    expect(&mut reader, 0..3).await;
}

#[tokio::test]
async fn subscribers_survive_a_restart_of_the_server() {
    need_redis!();
    let server = RedisServer::builder()
        .append_only()
        .start()
        .await
        .expect("a server");
    let (reads, writes) = (bus(&server), bus(&server));
    let mut reader = listen(&reads, "t").await;
    let mut late = read_from(&reads, "t", StartFrom::Earliest).await;
    publish(&writes, "t", 0..50).await;
    expect(&mut reader, 0..50).await;
    expect(&mut late, 0..20).await;
    server.kill();
    server.restart().await.expect("restarted");
    publish(&writes, "t", 50..100).await;
    expect(&mut reader, 50..100).await;
    expect(&mut late, 20..100).await;
    expect_quiet(&mut reader).await;
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_told_as_a_clear() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut reader = listen(&reads, "t").await;
    publish(&writes, "t", 0..5).await;
    expect(&mut reader, 0..5).await;
    server.kill();
    server.restart().await.expect("restarted");
    publish(&writes, "t", 5..8).await;
    let notice = item(&mut reader).await.expect_err("a notice");
    assert_eq!(notice.kind(), bowline_events::ErrorKind::Cleared);
    expect(&mut reader, 5..8).await;
    let mut again = reads
        .subscribe(
            "t",
            bowline_events::SubscribeOptions::new().start(StartFrom::Earliest),
        )
        .await
        .expect("subscribed");
    expect(&mut again, 5..8).await;
}
