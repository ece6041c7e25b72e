//! Keys, values and lifetimes are those of the reference, so that processes of both languages keep one history.

use std::time::Duration;

use crate::support::{
    all, builder, cache, elements, event, indices, keys, list, node_append, node_record, numbers,
};
use bowline_events::{Dialect, Event, EventCache, NewEvent, Payload, Topic};
use bowline_redis::RedisCache;
use bowline_testkit::{RedisServer, skips_redis};
use bytes::Bytes;

const STREAM: &str = "agent.stream.r1";

#[tokio::test]
async fn a_list_holds_what_the_reference_would_write() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::agent_stream("r1");
    let data = r#"{"type":"text-delta","when":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"m":{"__m_codec__":"Map","v":[]},"e":{"__m_codec__":"Error","v":{"name":"Error","message":"no"}}}"#;
    let mut chunk = NewEvent::new("chunk", "r1")
        .with_json(data)
        .unwrap()
        .stamp();
    chunk.index = Some(99);
    let undefined = NewEvent::new("finish", "r1").with_json(r#"{"u":{"__m_codec__":"Undefined"}}"#);
    let mut finish = undefined.unwrap().stamp();
    finish.generation = Some("of somebody else".into());
    for (event, index) in [(&chunk, 0), (&finish, 1)] {
        let position = cache.append(&topic, event.clone()).await.unwrap();
        assert_eq!(position.index, index);
        assert_eq!(position.generation.as_deref(), Some(&*chunk.id.to_string()));
    }

    let at = |event: &Event| bowline_events::codec::date::format_iso(event.created_at.as_millis());
    assert_eq!(
        elements(&server, STREAM).await,
        [
            format!(
                r#"{{"index":0,"type":"chunk","runId":"r1","data":{{"type":"text-delta","when":"1970-01-01T00:00:00.000Z","m":{{}},"e":{{}}}},"id":"{}","createdAt":"{}"}}"#,
                chunk.id,
                at(&chunk)
            ),
            format!(
                r#"{{"index":1,"type":"finish","runId":"r1","data":{{}},"id":"{}","createdAt":"{}"}}"#,
                finish.id,
                at(&finish)
            ),
        ]
    );
    let (counter, list) = keys(STREAM);
    let count = server.command(&["GET", &counter]).await.unwrap();
    assert_eq!(count.text().as_deref(), Some("2"));
    let mut found = server.command(&["KEYS", "*"]).await.unwrap().texts();
    found.sort();
    assert_eq!(found, [list, counter]);
}

#[tokio::test]
async fn both_keys_expire_together_or_never() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let expiry = async |topic: &str| {
        let (counter, list) = keys(topic);
        let list = server.command(&["PEXPIRETIME", &list]).await.unwrap();
        let counter = server.command(&["PEXPIRETIME", &counter]).await.unwrap();
        let (list, counter) = (list.int().unwrap(), counter.int().unwrap());
        // Redis 7.0 looks at its clock for each of them.
        assert!(list.abs_diff(counter) < 1000, "{topic}: {list} {counter}");
        list
    };
    let topic = Topic::from("kept for a while");
    let usual = cache(&server);
    usual.append(&topic, event(0)).await.unwrap();
    let seconds = server.command(&["TTL", &list(&topic)]).await.unwrap();
    assert!((1..=300).contains(&seconds.int().unwrap()), "{seconds:?}");
    let first = expiry(&topic).await;
    server
        .command(&["EXPIRE", &list(&topic), "10"])
        .await
        .unwrap();
    usual.append(&topic, event(1)).await.unwrap();
    assert!(expiry(&topic).await >= first, "an append renews it");

    let forever = builder(&server).ttl(None).build().unwrap();
    let topic = Topic::from("kept for ever");
    forever.append(&topic, event(0)).await.unwrap();
    assert_eq!(expiry(&topic).await, -1);

    let fraction = builder(&server).ttl(Some(Duration::from_millis(86_400_500)));
    let topic = Topic::from("rounded up");
    fraction
        .build()
        .unwrap()
        .append(&topic, event(0))
        .await
        .unwrap();
    let expires = expiry(&topic).await;
    let now = server.command(&["TIME"]).await.unwrap();
    let now = now.items()[0].int().unwrap() * 1000;
    assert!(expires - now <= 86_402_000 && expires - now > 86_300_000);
}

#[tokio::test]
async fn processes_of_both_languages_append_to_one_history() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let caches = [cache(&server), cache(&server)];
    let topic = Topic::agent_stream("r1");
    for round in 0..10_u64 {
        let record = node_record("chunk", &format!("id-{round}"));
        let index = node_append(&server, STREAM, &record, 300).await;
        assert_eq!(index, round as i64 * 3);
        for (which, cache) in caches.iter().enumerate() {
            let position = cache.append(&topic, event(round)).await.unwrap();
            assert_eq!(position.index, round * 3 + 1 + which as u64);
            assert_eq!(position.generation.as_deref(), Some("id-0"));
        }
    }
    for cache in &caches {
        let page = all(&**cache, &topic).await;
        assert_eq!(indices(&page), (0..30).collect::<Vec<_>>());
        assert_eq!((page.first, page.end), (0, 30));
        assert_eq!(page.generation.as_deref(), Some("id-0"));
        let node = &page.events[0];
        assert_eq!(node.created_at.as_millis(), 1_795_144_460_681);
        assert_eq!(node.id.to_string(), "id-0");
        assert_eq!(node.generation.as_deref(), Some("id-0"));
    }
    for (place, element) in elements(&server, STREAM).await.iter().enumerate() {
        assert!(element.starts_with(&format!("{{\"index\":{place},")));
        serde_json::from_str::<serde_json::Value>(element).unwrap();
    }
}

#[tokio::test]
async fn prefixes_are_those_of_the_options() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = builder(&server)
        .key_prefix("a*b[c]:")
        .topic_prefix("t?:")
        .build()
        .unwrap();
    let neighbour = builder(&server)
        .key_prefix("aXb[c]:")
        .topic_prefix("t?:")
        .build()
        .unwrap();
    for topic in ["one", "two: three", "höher", ""] {
        cache.append(&topic.into(), event(1)).await.unwrap();
    }
    cache.append(&"one".into(), event(1)).await.unwrap();
    neighbour
        .append(&"next door".into(), event(1))
        .await
        .unwrap();
    let topics = cache.topics().await.unwrap();
    let listed: Vec<_> = topics
        .iter()
        .map(|info| (info.topic.as_str(), info.events))
        .collect();
    assert_eq!(
        listed,
        [
            ("", Some(1)),
            ("höher", Some(1)),
            ("one", Some(2)),
            ("two: three", Some(1))
        ]
    );
    let exists = server
        .command(&["EXISTS", "a*b[c]:t?:one", "a*b[c]:t?:one:counter"])
        .await;
    assert_eq!(exists.unwrap().int(), Some(2));
    cache.clear(&"one".into()).await.unwrap();
    let exists = server
        .command(&["EXISTS", "a*b[c]:t?:one", "a*b[c]:t?:one:counter"])
        .await;
    assert_eq!(exists.unwrap().int(), Some(0));
}

#[tokio::test]
async fn an_append_is_one_command() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    cache.append(&topic, event(0)).await.unwrap();
    let before = commands(&server).await;
    for n in 0..20 {
        cache.append(&topic, event(n)).await.unwrap();
    }
    assert_eq!(commands(&server).await - before, 20);

    server.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    assert_eq!(cache.append(&topic, event(0)).await.unwrap().index, 21);
    assert_eq!(cache.append(&topic, event(0)).await.unwrap().index, 22);
}

/// Scripts that the server has executed or refused.
async fn commands(server: &RedisServer) -> i64 {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let stats = stats.text().unwrap();
    let calls = |name: &str| {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let calls =
            line.and_then(|line| line.split_once("calls=")?.1.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    };
    calls("eval") + calls("evalsha") + calls("multi")
}

#[tokio::test]
async fn unknown_members_and_odd_numbers_survive() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    let mut odd = NewEvent::new("x", "r");
    odd.data = Payload::json(r#"{"big":12345678901234567890.10,"lone":"\ud83d"}"#).unwrap();
    odd.extra = Some(Box::new(vec![(
        "parentId".into(),
        Bytes::from_static(b"[1,2]"),
    )]));
    cache.append(&topic, odd.stamp()).await.unwrap();
    let page = all(&*cache, &topic).await;
    let read = &page.events[0];
    let extra = read.extra.as_ref().unwrap();
    assert_eq!(
        (extra[0].0.as_str(), &extra[0].1[..]),
        ("parentId", &b"[1,2]"[..])
    );
    let data = read.data.to_json_in(Dialect::Plain).unwrap();
    assert_eq!(
        &data[..],
        br#"{"big":12345678901234567890.10,"lone":"\ud83d"}"#
    );
}

#[tokio::test]
async fn concurrent_appends_stand_in_the_order_of_their_indices() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let caches = [
        builder(&server).build().unwrap(),
        builder(&server).build().unwrap(),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let cache: RedisCache = caches[task as usize % 2].clone();
        tasks.spawn(async move {
            let topic = Topic::from("t");
            let mut last = None;
            for n in 0..125 {
                let position = cache.append(&topic, event(task * 1000 + n)).await.unwrap();
                assert!(last < Some(position.index));
                last = Some(position.index);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for (place, element) in elements(&server, "t").await.iter().enumerate() {
        assert!(element.starts_with(&format!("{{\"index\":{place},")));
    }
    let page = all(&caches[0], &"t".into()).await;
    assert_eq!(indices(&page), (0..1000).collect::<Vec<_>>());
    let mut sent = numbers(&page);
    for task in 0..8 {
        let own: Vec<_> = sent
            .iter()
            .filter(|n| **n / 1000 == task)
            .copied()
            .collect();
        assert_eq!(own, (task * 1000..task * 1000 + 125).collect::<Vec<_>>());
    }
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), 1000);
}
