//! The cache behind a REST API: the same histories, in few requests.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachingPubSub, Error, ErrorKind, EventCache, InProcessPubSub, NewEvent, PubSubExt, StartFrom,
    SubscribeOptions, Topic,
};
use bowline_redis::UpstashCache;
use bowline_testkit::{RedisServer, UpstashServer, skips_redis};

use crate::support::{
    all, cache, elements, event, indices, list, node_append, node_record, numbers, push,
};

const TOKEN: &str = "AbC-secret_9";

struct Stage {
    server: RedisServer,
    upstash: UpstashServer,
    cache: UpstashCache,
}

impl Stage {
    async fn set() -> Self {
        let server = RedisServer::start().await.unwrap();
        let upstash = UpstashServer::start(server.address(), TOKEN).await.unwrap();
        let cache = UpstashCache::new(upstash.url(), TOKEN).unwrap();
        Self {
            server,
            upstash,
            cache,
        }
    }

    /// The number of commands in each request since the last call.
    fn requests(&self) -> Vec<usize> {
        let requests = self.upstash.take_requests();
        requests
            .iter()
            .map(|request| request.commands.len())
            .collect()
    }
}

fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn histories_are_shared_with_redis_and_node() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let redis = cache(&stage.server);
    let topic = Topic::from("agent.stream.\"r\" \u{1f980}");
    for round in 0..5_u64 {
        let record = node_record("chunk", &format!("node {round}"));
        assert_eq!(
            node_append(&stage.server, &topic, &record, 300).await as u64,
            round * 3
        );
        let caches: [&dyn EventCache; 2] = [&*redis, &stage.cache];
        for (which, cache) in caches.into_iter().enumerate() {
            let position = cache.append(&topic, event(round)).await.unwrap();
            assert_eq!(position.index, round * 3 + 1 + which as u64);
            assert_eq!(position.generation.as_deref(), Some("node 0"));
        }
    }
    push(&stage.server, &topic, r#"{"no": "index"}"#).await;
    push(&stage.server, &topic, "7").await;
    let (one, other) = (all(&*redis, &topic).await, all(&stage.cache, &topic).await);
    assert_eq!(indices(&one), (0..15).collect::<Vec<_>>());
    assert_eq!(
        (one.first, one.end, &one.generation),
        (other.first, other.end, &other.generation)
    );
    for (one, other) in one.events.iter().zip(&other.events) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
    let texts = elements(&stage.server, &topic).await;
    assert!(
        texts[2].starts_with("{\"index\":2,\"type\":\"chunk\",\"runId\":\"r1\",\"data\":0,\"id\":")
    );
    let ttl = stage.server.command(&["TTL", &list(&topic)]).await.unwrap();
    assert!((1..=300).contains(&ttl.int().unwrap()));

    let topics = stage.cache.topics().await.unwrap();
    assert_eq!(topics, redis.topics().await.unwrap());
    assert_eq!(topics[0].topic, topic);
    stage.cache.trim(&topic, 13).await.unwrap();
    assert_eq!(indices(&all(&*redis, &topic).await), [13, 14]);
    stage.cache.clear(&topic).await.unwrap();
    assert_eq!(
        stage.server.command(&["DBSIZE"]).await.unwrap().int(),
        Some(0)
    );
}

#[tokio::test]
async fn appends_that_are_under_way_together_share_a_request() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    let mut appends: Vec<_> = (0..200)
        .map(|n| stage.cache.append(&topic, event(n)))
        .collect();
    appends.extend((200..300).map(|n| stage.cache.append(&topic, event(n))));
    let positions = join_in_order(appends).await;
    assert_eq!(positions, (0..300).collect::<Vec<_>>());
    let requests = stage.requests();
    assert_eq!(requests.iter().sum::<usize>(), 300);
    assert!(requests.len() <= 2, "{requests:?}");

    for n in 300..303 {
        stage.cache.append(&topic, event(n)).await.unwrap();
    }
    assert_eq!(stage.requests(), [1, 1, 1]);
    assert_eq!(
        numbers(&all(&stage.cache, &topic).await),
        (0..303).collect::<Vec<_>>()
    );
}

/// Polls all at once; the indices in the order of the calls.
async fn join_in_order(
    appends: Vec<bowline_events::OpFuture<'_, bowline_events::CachePosition>>,
) -> Vec<u64> {
    let mut waiting: Vec<_> = appends.into_iter().map(Some).collect();
    let mut done = vec![None; waiting.len()];
    std::future::poll_fn(|cx| {
        for (slot, done) in waiting.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(position) = std::pin::Pin::new(future).poll(cx)
            {
                *done = Some(position.unwrap().index);
                *slot = None;
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn large_events_go_in_several_requests() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    let large = || {
        let data = format!("{:?}", "x".repeat(300_000));
        NewEvent::new("chunk", "r").with_json(data).unwrap().stamp()
    };
    let appends = (0..10)
        .map(|_| stage.cache.append(&topic, large()))
        .collect();
    assert_eq!(join_in_order(appends).await, (0..10).collect::<Vec<_>>());
    let requests = stage.requests();
    assert!(
        requests.iter().all(|commands| *commands <= 2),
        "{requests:?}"
    );
    assert_eq!(all(&stage.cache, &topic).await.events.len(), 10);
}

#[tokio::test]
async fn an_abandoned_append_takes_nobody_with_it() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    let abandoned = tokio::time::timeout(Duration::ZERO, stage.cache.append(&topic, event(0)));
    assert!(abandoned.await.is_err());
    let position = stage.cache.append(&topic, event(1)).await.unwrap();
    assert_eq!(position.index, 1);
    assert_eq!(numbers(&all(&stage.cache, &topic).await), [0, 1]);
}

#[tokio::test]
async fn a_limit_that_passes_is_waited_for_and_one_that_stays_is_told() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    stage
        .upstash
        .fail_next(2, 429, "ERR max requests limit exceeded");
    assert_eq!(stage.cache.append(&topic, event(0)).await.unwrap().index, 0);
    stage
        .upstash
        .fail_next(1, 429, "ERR max requests limit exceeded");
    assert_eq!(all(&stage.cache, &topic).await.end, 1);

    let builder = UpstashCache::builder(stage.upstash.url(), TOKEN);
    let hasty = builder.timeout(Duration::from_millis(400)).build().unwrap();
    stage
        .upstash
        .fail_next(1_000, 429, "ERR max requests limit exceeded");
    let error = hasty.append(&topic, event(1)).await.expect_err("a limit");
    says(
        &error,
        ErrorKind::Unavailable,
        &["EVALSHA", &list("t"), "429", "limit exceeded"],
    );
    assert!(error.is_retryable());
    let error = hasty.read(&topic, 0, 1).await.expect_err("a limit");
    says(
        &error,
        ErrorKind::Unavailable,
        &["LRANGE", &list("t"), "429"],
    );
    stage.upstash.fail_next(0, 429, "");
    assert_eq!(hasty.append(&topic, event(1)).await.unwrap().index, 1);
}

#[tokio::test]
async fn an_append_without_an_answer_happens_once() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    let proxy = bowline_testkit::FaultProxy::start(stage.upstash.address())
        .await
        .unwrap();
    let cache = UpstashCache::new(format!("http://127.0.0.1:{}", proxy.port()), TOKEN).unwrap();
    for n in 0..20_u64 {
        // Now the request is lost, now the answer, now the service has no answer.
        match n % 4 {
            0 => proxy.cut_after(bowline_testkit::Direction::ToServer, 100 + n * 10),
            1 => proxy.cut_after(bowline_testkit::Direction::ToClient, 10 + n * 5),
            2 => stage.upstash.fail_next(1, 503, "ERR try again"),
            _ => {}
        }
        let position = cache.append(&topic, event(n)).await.unwrap();
        assert_eq!(position.index, n);
    }
    assert_eq!(
        numbers(&all(&cache, &topic).await),
        (0..20).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_token_is_not() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let topic = Topic::from("t");
    let key = list("t");
    let wrong = UpstashCache::new(stage.upstash.url(), "a-wrong-word").unwrap();
    let failures = [
        wrong.append(&topic, event(0)).await.expect_err("no access"),
        wrong.read(&topic, 0, 1).await.expect_err("no access"),
        wrong.clear(&topic).await.expect_err("no access"),
    ];
    for error in failures {
        says(&error, ErrorKind::PermissionDenied, &[&key, "token"]);
        assert!(!format!("{error} {error:?} {wrong:?}").contains("a-wrong-word"));
    }

    stage.server.command(&["SET", &key, "x"]).await.unwrap();
    let error = stage
        .cache
        .append(&topic, event(0))
        .await
        .expect_err("no list");
    says(
        &error,
        ErrorKind::InvalidInput,
        &["EVALSHA", &key, "WRONGTYPE"],
    );
    let error = stage.cache.read(&topic, 0, 1).await.expect_err("no list");
    says(
        &error,
        ErrorKind::InvalidInput,
        &["LRANGE", &key, "WRONGTYPE"],
    );

    stage
        .upstash
        .fail_next(1, 403, "NOPERM this token is read-only");
    let error = stage.cache.clear(&topic).await.expect_err("read-only");
    says(&error, ErrorKind::PermissionDenied, &["DEL", &key]);

    stage.server.kill();
    let gone = UpstashCache::builder("http://127.0.0.1:9", TOKEN);
    let gone = gone.timeout(Duration::from_millis(300)).build().unwrap();
    let error = gone.append(&topic, event(0)).await.expect_err("no service");
    says(&error, ErrorKind::Unavailable, &[&key]);

    let options = [
        (UpstashCache::new("http://example.com", TOKEN), "https"),
        (UpstashCache::new("https://h", ""), "token"),
        (
            UpstashCache::builder("https://h", TOKEN)
                .timeout(Duration::ZERO)
                .build(),
            "timeout",
        ),
        (
            UpstashCache::builder("https://h", TOKEN)
                .ttl(Some(Duration::ZERO))
                .build(),
            "ttl",
        ),
        (
            UpstashCache::builder("https://h", TOKEN)
                .max_events(Some(0))
                .build(),
            "max_events",
        ),
    ];
    for (built, word) in options {
        let error = built.expect_err(word);
        says(&error, ErrorKind::InvalidInput, &[word]);
        assert!(!format!("{error:?}").contains(TOKEN));
    }
    let builder = UpstashCache::builder("https://h", TOKEN);
    assert!(!format!("{builder:?} {:?}", builder.clone().build()).contains(TOKEN));
}

#[tokio::test]
async fn https_trusts_whom_it_is_told_to() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let upstash = UpstashServer::start_tls(server.address(), TOKEN)
        .await
        .unwrap();
    let topic = Topic::from("t");
    let builder = UpstashCache::builder(upstash.url(), TOKEN).tls_ca_pem(upstash.ca_pem());
    let cache = builder.build().unwrap();
    assert_eq!(cache.append(&topic, event(0)).await.unwrap().index, 0);
    let stranger = UpstashCache::builder(upstash.url(), TOKEN);
    let stranger = stranger
        .timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let error = stranger
        .append(&topic, event(0))
        .await
        .expect_err("a stranger");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::InvalidInput
        ),
        "{error:?}"
    );
    let nonsense = UpstashCache::builder(upstash.url(), TOKEN).tls_ca_pem("nonsense");
    let error = nonsense.build().unwrap().append(&topic, event(0)).await;
    says(
        &error.expect_err("no authority"),
        ErrorKind::InvalidInput,
        &["authorities"],
    );
}

#[tokio::test]
async fn a_stream_can_be_resumed() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let bus = InProcessPubSub::builder().no_replay().build();
    let bus = CachingPubSub::new(Arc::new(bus), Arc::new(stage.cache.clone()));
    let topic = Topic::agent_stream("r1");
    for n in 0..10 {
        let chunk = NewEvent::new("chunk", "r1")
            .with_json(n.to_string())
            .unwrap();
        bus.publish(&topic, chunk).await.unwrap();
    }
    let options = SubscribeOptions::new().start(StartFrom::Offset(4));
    let mut reader = bus.subscribe(&topic, options).await.unwrap();
    bus.publish(&topic, NewEvent::new("finish", "r1"))
        .await
        .unwrap();
    for n in 4..=10 {
        let delivery = reader.next().await.unwrap().unwrap();
        assert_eq!(delivery.event().index, Some(n));
    }
}
