//! Publishing through a connection that breaks: nothing is lost, and nothing is doubled where that can be found out.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bowline_events::{ErrorKind, NewEvent, PubSub, PubSubExt};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::{Direction, FaultProxy, RedisServer};

fn event(n: u32) -> NewEvent {
    NewEvent::new("test", "run-1")
        .with_json(n.to_string())
        .expect("JSON")
}

async fn numbers(server: &RedisServer, topic: &str) -> Vec<u32> {
    let key = format!("mastra:topic:{topic}");
    let entries = server
        .command(&["XRANGE", &key, "-", "+"])
        .await
        .expect("XRANGE");
    let records = entries.items().iter().map(|entry| {
        let fields = entry.items()[1].texts();
        let record: serde_json::Value = serde_json::from_str(&fields[1]).expect("JSON");
        record["data"].as_u64().expect("a number") as u32
    });
    records.collect()
}

struct Setup {
    server: RedisServer,
    proxy: FaultProxy,
    bus: RedisStreamsPubSub,
}

async fn setup() -> Option<Setup> {
    if bowline_testkit::skips_redis() {
        return None;
    }
    let server = RedisServer::start().await.expect("a server");
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let bus = RedisStreamsPubSub::builder(format!("redis://127.0.0.1:{}", proxy.port()))
        .publish_timeout(Duration::from_secs(20))
        .build()
        .expect("a bus");
    Some(Setup { server, proxy, bus })
}

#[tokio::test]
async fn a_cut_before_or_behind_the_server_doubles_nothing() {
    let Some(Setup { server, proxy, bus }) = setup().await else {
        return;
    };
    bus.publish("t", event(0)).await.expect("published");
    let mut wanted = vec![0];
    for n in 1..20 {
        // Either the command is cut on its way, or only its answer.
        match n % 2 {
            0 => proxy.cut_after(Direction::ToServer, 40),
            _ => proxy.cut_after(Direction::ToClient, 1),
        }
        bus.publish("t", event(n)).await.expect("published");
        wanted.push(n);
    }
    assert_eq!(numbers(&server, "t").await, wanted);
}

#[tokio::test]
async fn concurrent_publishes_survive_cuts_exactly_once() {
    let Some(Setup { server, proxy, bus }) = setup().await else {
        return;
    };
    bus.publish("t", event(0)).await.expect("published");
    let mut tasks = Vec::new();
    for task in 0..16 {
        let bus = bus.clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..60 {
                bus.publish("t", event(1 + task * 60 + n))
                    .await
                    .expect("published");
            }
        }));
    }
    for cut in 0..8 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        if cut % 2 == 0 {
            proxy.cut_all().await;
        } else {
            proxy.cut_after(Direction::ToClient, 100);
        }
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let mut seen = numbers(&server, "t").await;
    let order: Vec<u32> = seen
        .iter()
        .copied()
        .filter(|n| (1..=60).contains(n))
        .collect();
    assert!(order.is_sorted(), "one publisher's events are in order");
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..961), "{} entries", seen.len());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_in_time() {
    let Some(Setup { proxy, server, .. }) = setup().await else {
        return;
    };
    let bus = RedisStreamsPubSub::builder(format!("redis://127.0.0.1:{}", proxy.port()))
        .publish_timeout(Duration::from_millis(600))
        .build()
        .expect("a bus");
    bus.publish("t", event(0)).await.expect("published");
    proxy.refuse(true);
    proxy.cut_all().await;
    let error = bus
        .publish("t", event(1))
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    proxy.refuse(false);
    bus.publish("t", event(2)).await.expect("published");
    assert_eq!(numbers(&server, "t").await, [0, 2]);
}

#[tokio::test]
async fn a_demoted_server_is_left_for_the_promoted_one() {
    let Some(Setup { server, proxy, bus }) = setup().await else {
        return;
    };
    let replica = RedisServer::builder()
        .replica_of(&server)
        .start()
        .await
        .expect("a replica");
    bus.publish("t", event(0)).await.expect("published");
    while numbers(&replica, "t").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replica.promote().await.expect("promoted");
    server.demote(&replica).await.expect("demoted");
    proxy.set_upstream(replica.address());
    // The old connection still leads to the demoted server, which refuses to write.
    bus.publish("t", event(1)).await.expect("published");
    assert_eq!(numbers(&replica, "t").await, [0, 1]);
    bus.close().await.expect("closed");
}

#[tokio::test]
async fn slices_and_delays_change_nothing() {
    let Some(Setup { server, proxy, bus }) = setup().await else {
        return;
    };
    proxy.slice(Some(3));
    proxy.delay(Direction::ToClient, Duration::from_millis(5));
    let publishes = (0..100).map(|n| {
        let bus = bus.clone();
        tokio::spawn(async move { bus.publish("t", event(n)).await })
    });
    for publish in publishes.collect::<Vec<_>>() {
        publish.await.expect("no panic").expect("published");
    }
    let mut seen = numbers(&server, "t").await;
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..100));
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up_and_replaced() {
    let Some(Setup { server, proxy, bus }) = setup().await else {
        return;
    };
    bus.publish("t", event(0)).await.expect("published");
    proxy.half_open(true).await;
    let swallowed = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish("t", event(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.half_open(false).await;
    swallowed.await.expect("no panic").expect("published");
    assert_eq!(numbers(&server, "t").await, [0, 1]);
}

#[tokio::test]
async fn a_publish_that_is_not_polled_does_not_keep_the_bus_open() {
    let Some(Setup { server, proxy, .. }) = setup().await else {
        return;
    };
    let bus = RedisStreamsPubSub::builder(format!("redis://127.0.0.1:{}", proxy.port()))
        .publish_timeout(Duration::from_millis(100))
        .build()
        .expect("a bus");
    bus.publish("t", event(0)).await.expect("published");
    let mut stopped = pin!(bus.publish("t", event(1)));
    let polled = stopped
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it waits for the server");
    let closed = tokio::time::timeout(Duration::from_secs(20), bus.close()).await;
    closed.expect("closed in time").expect("closed");
    let error = bus.publish("t", event(2)).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!numbers(&server, "t").await.contains(&2));
}
