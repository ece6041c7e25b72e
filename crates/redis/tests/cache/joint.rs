//! Cache and bus on one server: kept and published in one round trip, in one order.

use std::sync::Arc;

use bowline_events::{
    CachingPubSub, ErrorKind, NewEvent, PubSub, PubSubExt, StartFrom, SubscribeOptions, Topic,
};
use bowline_redis::{RedisCache, RedisStreamsPubSub};
use bowline_testkit::{Direction, FaultProxy, RedisServer, skips_redis};
use serde_json::Value;

use crate::support::{elements, list};

fn caching(url: &str) -> CachingPubSub {
    let bus = RedisStreamsPubSub::builder(url).max_event_bytes(100_000);
    let cache = RedisCache::new(url).unwrap();
    CachingPubSub::new(Arc::new(bus.build().unwrap()), Arc::new(cache))
}

fn chunk(n: u64) -> NewEvent {
    NewEvent::new("chunk", "r1")
        .with_json(n.to_string())
        .unwrap()
}

/// The events in the stream of `topic`.
async fn entries(server: &RedisServer, topic: &str) -> Vec<Value> {
    let key = format!("mastra:topic:{topic}");
    let entries = server.command(&["XRANGE", &key, "-", "+"]).await.unwrap();
    let entries = entries.items().iter().map(|entry| {
        let fields = entry.items()[1].texts();
        assert_eq!((fields.len(), fields[0].as_str()), (2, "event"));
        serde_json::from_str(&fields[1]).unwrap()
    });
    entries.collect()
}

async fn records(server: &RedisServer, topic: &str) -> Vec<Value> {
    let elements = elements(server, topic).await;
    elements
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[tokio::test]
async fn one_command_keeps_and_publishes() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let bus = caching(&server.url());
    let topic = Topic::agent_stream("r1");
    let mut reader = bus
        .subscribe(&topic, SubscribeOptions::new())
        .await
        .unwrap();
    bus.publish(&topic, chunk(0)).await.unwrap();
    let mut monitor = server.monitor().await.unwrap();
    let published = bus.publish(&topic, chunk(1)).await.unwrap();
    assert_eq!(published.seq, Some(1));
    let lines = monitor.take().await.unwrap();
    let sent = lines.iter().filter(|line| line.client != "lua");
    let sent: Vec<_> = sent
        .map(|line| line.command())
        .filter(|name| name.starts_with("EVAL") || name == "XADD" || name == "RPUSH")
        .collect();
    assert_eq!(sent, ["EVALSHA"]);
    let inside = lines.iter().filter(|line| line.client == "lua");
    let inside: Vec<_> = inside.map(|line| line.command()).collect();
    assert_eq!(
        inside,
        ["LINDEX", "INCR", "EXPIRE", "RPUSH", "EXPIRE", "XADD"]
    );

    let (mut live, kept) = (
        entries(&server, &topic).await,
        records(&server, &topic).await,
    );
    let name = kept[0]["id"].clone();
    for (n, (live, kept)) in live.iter_mut().zip(&kept).enumerate() {
        let members = live.as_object_mut().unwrap();
        assert_eq!(members.remove("deliveryAttempt"), Some(1.into()));
        assert_eq!(members.remove("logGeneration"), Some(name.clone()));
        assert_eq!(live, kept);
        assert_eq!(kept["index"], n as u64);
    }
    assert_eq!(
        published.id.unwrap().to_string(),
        kept[1]["id"].as_str().unwrap()
    );
    for n in 0..2 {
        let delivery = reader.next().await.unwrap().unwrap();
        assert_eq!(delivery.event().index, Some(n));
        assert_eq!(delivery.event().data.parse::<u64>().unwrap(), n);
    }
    let options = SubscribeOptions::new().start(StartFrom::Offset(1));
    let mut replay = bus.subscribe(&topic, options).await.unwrap();
    assert_eq!(replay.next().await.unwrap().unwrap().event().index, Some(1));
    bus.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_has_the_order_of_the_indices() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let buses = [caching(&server.url()), caching(&server.url())];
    let topic = Topic::agent_stream("r1");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let (bus, topic) = (buses[task as usize % 2].clone(), topic.clone());
        tasks.spawn(async move {
            for n in 0..50 {
                bus.publish(&topic, chunk(task * 50 + n)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let (live, kept) = (
        entries(&server, &topic).await,
        records(&server, &topic).await,
    );
    assert_eq!((live.len(), kept.len()), (400, 400));
    for (n, (live, kept)) in live.iter().zip(&kept).enumerate() {
        assert_eq!(
            (&live["index"], &kept["index"]),
            (&Value::from(n), &Value::from(n))
        );
        assert_eq!(live["id"], kept["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_kept_and_published_once_although_the_connection_breaks() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let bus = caching(&format!("redis://127.0.0.1:{}", proxy.port()));
    let topic = Topic::agent_stream("r1");
    bus.publish(&topic, chunk(10_000)).await.unwrap();
    for round in 0..20_u64 {
        let direction = match round % 2 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        proxy.cut_after(direction, 40 + round * 83);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (bus, topic) = (bus.clone(), topic.clone());
            tasks.spawn(async move { bus.publish(&topic, chunk(round * 20 + n)).await });
        }
        while let Some(done) = tasks.join_next().await {
            assert!(done.unwrap().unwrap().seq.is_some());
        }
    }
    let (live, kept) = (
        entries(&server, &topic).await,
        records(&server, &topic).await,
    );
    assert_eq!((live.len(), kept.len()), (401, 401));
    for (n, (live, kept)) in live.iter().zip(&kept).enumerate() {
        assert_eq!(
            (&live["index"], &kept["index"]),
            (&Value::from(n), &Value::from(n))
        );
        assert_eq!(live["id"], kept["id"]);
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_kept_stops_nothing_and_a_refused_event_is_not_kept() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let bus = caching(&server.url());
    let topic = Topic::from("t");
    server
        .command(&["SET", &list(&topic), "taken"])
        .await
        .unwrap();
    let published = bus.publish(&topic, chunk(0)).await.unwrap();
    assert_eq!((published.seq, published.id.is_some()), (None, true));
    let live = entries(&server, &topic).await;
    assert_eq!((live.len(), live[0].get("index")), (1, None));

    bus.clear_topic(&topic).await.unwrap();
    let large = format!("{:?}", "x".repeat(100_000));
    let large = NewEvent::new("chunk", "r1").with_json(large).unwrap();
    let error = bus.publish(&topic, large).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = bus.publish("lease:x", chunk(0)).await.expect_err("a lease");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let keys = server.command(&["KEYS", "*"]).await.unwrap().texts();
    assert_eq!(keys, Vec::<String>::new());

    server
        .command(&["SET", "mastra:topic:t", "taken"])
        .await
        .unwrap();
    let error = bus.publish(&topic, chunk(1)).await.expect_err("no stream");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("XADD") && error.to_string().contains("mastra:topic:t"));
    let kept = bus.history(&topic, 0, 10).await.unwrap();
    assert_eq!(kept.len(), 1, "the bus failed after the cache");

    bus.close().await.unwrap();
    let error = bus.publish(&topic, chunk(2)).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn elsewhere_and_without_scripts_it_takes_two_steps() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .user("plain on >pw ~* &* +@all -@scripting")
        .start()
        .await
        .unwrap();
    let topic = Topic::agent_stream("r1");
    let plain = server.url_with("plain", "pw", 0);
    let other = server.url_with("plain", "pw", 1);
    for (bus, cache) in [(&plain, &plain), (&plain, &other)] {
        let bus = RedisStreamsPubSub::new(bus).unwrap();
        let cache = RedisCache::new(cache).unwrap();
        let bus = CachingPubSub::new(Arc::new(bus), Arc::new(cache));
        for n in 0..3 {
            assert_eq!(bus.publish(&topic, chunk(n)).await.unwrap().seq, Some(n));
        }
        let live = entries(&server, &topic).await;
        let indices: Vec<_> = live.iter().map(|event| event["index"].as_u64()).collect();
        assert_eq!(indices, [Some(0), Some(1), Some(2)]);
        assert_eq!(bus.history(&topic, 0, 10).await.unwrap().len(), 3);
        bus.clear_topic(&topic).await.unwrap();
    }
}
