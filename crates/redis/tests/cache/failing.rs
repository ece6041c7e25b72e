//! What goes wrong is told with key and command, and an append happens once.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Error, ErrorKind, EventCache, Topic};
use bowline_redis::{RedisCache, Server};
use bowline_testkit::{Direction, FaultProxy, RedisServer, skips_redis};

use crate::support::{all, builder, cache, elements, event, indices, list, numbers};

fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_named() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    server.command(&["SET", &list("t"), "7"]).await.unwrap();
    let key = list("t");
    let error = cache.append(&topic, event(0)).await.expect_err("no list");
    says(
        &error,
        ErrorKind::InvalidInput,
        &["EVALSHA", &key, "WRONGTYPE", "cache append"],
    );
    let error = cache.read(&topic, 0, 1).await.expect_err("no list");
    says(
        &error,
        ErrorKind::InvalidInput,
        &["LRANGE", &key, "WRONGTYPE", "cache read"],
    );
    let error = cache.trim(&topic, 1).await.expect_err("no list");
    says(
        &error,
        ErrorKind::InvalidInput,
        &["EVALSHA", &key, "WRONGTYPE", "cache trim"],
    );
    let counter = server.command(&["EXISTS", &format!("{key}:counter")]).await;
    assert_eq!(counter.unwrap().int(), Some(0), "nothing was changed");
    assert_eq!(cache.topics().await.unwrap(), []);

    cache.clear(&topic).await.unwrap();
    server
        .command(&["SET", &format!("{key}:counter"), "x"])
        .await
        .unwrap();
    let error = cache.append(&topic, event(0)).await.expect_err("no number");
    says(
        &error,
        ErrorKind::Protocol,
        &["EVALSHA", &key, "not an integer"],
    );
    assert!(elements(&server, "t").await.is_empty());
}

#[tokio::test]
async fn a_full_server_refuses_appends_and_answers_reads() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .max_memory("3mb", "noeviction")
        .start()
        .await
        .unwrap();
    let cache = cache(&server);
    let topic = Topic::from("t");
    let mut kept = 0;
    let error = loop {
        match cache.append(&topic, event_of(100_000)).await {
            Ok(position) => assert_eq!(position.index, kept),
            Err(error) => break error,
        }
        kept += 1;
        assert!(kept < 100);
    };
    says(&error, ErrorKind::Full, &["EVALSHA", &list("t"), "OOM"]);
    assert!(error.is_retryable());
    let page = all(&*cache, &topic).await;
    assert_eq!((indices(&page), page.end), ((0..kept).collect(), kept));
}

fn event_of(bytes: usize) -> bowline_events::Event {
    let data = format!("{:?}", "x".repeat(bytes));
    let new = bowline_events::NewEvent::new("chunk", "r").with_json(data);
    new.unwrap().stamp()
}

#[tokio::test]
async fn logins_and_addresses_that_are_wrong_are_told_apart() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .password("secret")
        .start()
        .await
        .unwrap();
    let topic = Topic::from("t");
    let url = server.url_with("default", "wrong-word", 0);
    for url in [url, format!("redis://127.0.0.1:{}", server.port())] {
        let cache = RedisCache::new(&url).unwrap();
        let error = cache.append(&topic, event(0)).await.expect_err("no login");
        says(&error, ErrorKind::PermissionDenied, &[&list("t")]);
        assert!(!format!("{error} {error:?} {cache:?}").contains("wrong-word"));
        let error = cache.read(&topic, 0, 1).await.expect_err("no login");
        says(&error, ErrorKind::PermissionDenied, &[&list("t")]);
    }
    let address = server.url();
    server.kill();
    let cache = RedisCache::builder(&address)
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = cache.append(&topic, event(0)).await.expect_err("no server");
    says(&error, ErrorKind::Unavailable, &[&list("t")]);
    let error = cache.topics().await.expect_err("no server");
    says(&error, ErrorKind::Unavailable, &["mastra:cache:pubsub:"]);

    for url in ["http://x", "redis://", "redis://h?x=1", ""] {
        let error = RedisCache::new(url).expect_err("a wrong URL");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
    }
    for timeout in [Duration::ZERO, Duration::MAX] {
        let error = RedisCache::builder("redis://h").timeout(timeout).build();
        says(
            &error.expect_err("a wrong time"),
            ErrorKind::InvalidInput,
            &["timeout"],
        );
    }
}

#[tokio::test]
async fn what_a_user_may_not_do_is_named_and_worked_around_where_that_can_be() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .user("nohash on >pw ~* &* +@all -evalsha")
        .user("hash on >pw ~* &* +@all -eval -evalsha")
        .user("inside on >pw ~* &* +@all -expire")
        .user("reader on >pw ~* &* +@all -@write -@scripting")
        .user("elsewhere on >pw ~other:* &* +@all")
        .start()
        .await
        .unwrap();
    let cache = |user: &str| RedisCache::new(server.url_with(user, "pw", 0)).unwrap();
    let topic = Topic::from("t");

    let nohash = cache("nohash");
    for n in 0..3 {
        assert_eq!(nohash.append(&topic, event(n)).await.unwrap().index, n);
    }
    let hash = cache("hash");
    for n in 3..6 {
        let position = hash.append(&topic, event(n)).await.unwrap();
        assert_eq!(position.index, n);
        assert!(position.generation.is_some());
    }
    let page = all(&hash, &topic).await;
    assert_eq!(numbers(&page), [0, 1, 2, 3, 4, 5]);
    assert!(elements(&server, "t").await[5].ends_with(",\"index\":5}"));
    assert_eq!(nohash.append(&topic, event(6)).await.unwrap().index, 6);
    assert_eq!(
        numbers(&all(&nohash, &topic).await),
        (0..7).collect::<Vec<_>>()
    );

    let key = list("t");
    let error = cache("inside")
        .append(&topic, event(0))
        .await
        .expect_err("no EXPIRE");
    says(&error, ErrorKind::PermissionDenied, &["EVALSHA", &key]);
    let reader = cache("reader");
    assert_eq!(all(&reader, &topic).await.end, 8);
    let error = reader.append(&topic, event(0)).await.expect_err("no INCR");
    says(&error, ErrorKind::PermissionDenied, &["INCR", &key]);
    let error = reader.clear(&topic).await.expect_err("no DEL");
    says(&error, ErrorKind::PermissionDenied, &["DEL", &key]);
    let error = cache("elsewhere")
        .read(&topic, 0, 1)
        .await
        .expect_err("no such key");
    says(&error, ErrorKind::PermissionDenied, &["LRANGE", &key]);
    let error = cache("elsewhere")
        .append(&topic, event(0))
        .await
        .expect_err("no such key");
    says(&error, ErrorKind::PermissionDenied, &["EVALSHA", &key]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_happens_once_although_the_connection_breaks() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let cache = RedisCache::new(url).unwrap();
    let topic = Topic::from("t");
    cache.append(&topic, event(1_000_000)).await.unwrap();
    for round in 0..30_u64 {
        // Now the request is lost, now the reply.
        let direction = match round % 2 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        proxy.cut_after(direction, 40 + round * 97);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (cache, topic) = (cache.clone(), topic.clone());
            tasks.spawn(async move {
                let sent = round * 100 + n;
                (sent, cache.append(&topic, event(sent)).await.unwrap())
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (sent, position) = done.unwrap();
            let page = cache.read(&topic, position.index, 1).await.unwrap();
            assert_eq!(numbers(&page), [sent]);
            assert_eq!(page.generation, position.generation);
        }
    }
    let page = all(&cache, &topic).await;
    assert_eq!(indices(&page), (0..601).collect::<Vec<_>>());
    let mut sent = numbers(&page);
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), 601);
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder()
        .append_only()
        .config("appendfsync always")
        .start()
        .await
        .unwrap();
    let cache = Arc::new(builder(&server).build().unwrap());
    let topic = Topic::from("t");
    for n in 0..3 {
        cache.append(&topic, event(n)).await.unwrap();
    }
    server.kill();
    let error = cache.topics().await;
    assert!(
        error.is_err() || error.is_ok(),
        "either way the link recovers"
    );
    server.restart().await.unwrap();
    assert_eq!(cache.append(&topic, event(3)).await.unwrap().index, 3);
    assert_eq!(numbers(&all(&*cache, &topic).await), [0, 1, 2, 3]);
}

#[tokio::test]
async fn tls_and_a_database_of_its_own() {
    if skips_redis() {
        return;
    }
    let server = RedisServer::builder().tls().start().await.unwrap();
    let url = format!("{}/3", server.tls_url().trim_end_matches('/'));
    let address = Server::from_url(&url).unwrap().tls_ca_pem(server.ca_pem());
    let cache = RedisCache::builder_on(address).build().unwrap();
    cache.append(&"t".into(), event(0)).await.unwrap();
    let keys = server.command(&["INFO", "keyspace"]).await.unwrap();
    assert!(keys.text().unwrap().contains("db3:keys=2"));
}
