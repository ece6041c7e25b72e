//! Publishing against real servers: what is written, what is refused, what survives.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bowline_events::{ErrorKind, NewEvent, PubSub, PubSubExt, Topic};
use bowline_redis::{RedisStreamsPubSub, RedisStreamsPubSubBuilder, Server};
use bowline_testkit::RedisServer;

async fn server() -> RedisServer {
    RedisServer::start().await.expect("a server")
}

fn event(n: u32) -> NewEvent {
    NewEvent::new("test", "run-1")
        .with_json(format!(r#"{{"n":{n}}}"#))
        .expect("JSON")
}

fn builder(server: &RedisServer) -> RedisStreamsPubSubBuilder {
    RedisStreamsPubSub::builder(server.url())
}

async fn length(server: &RedisServer, key: &str) -> i64 {
    let reply = server.command(&["XLEN", key]).await.expect("XLEN");
    reply.int().expect("a number")
}

macro_rules! need_redis {
    () => {
        if bowline_testkit::skips_redis() {
            return;
        }
    };
}

#[tokio::test]
async fn an_entry_has_one_field_with_the_record() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server).build().expect("a bus");
    let receipt = bus.publish("orders", event(1)).await.expect("published");
    let entries = server
        .command(&["XRANGE", "mastra:topic:orders", "-", "+"])
        .await
        .expect("XRANGE");
    let fields = entries.items()[0].items()[1].texts();
    assert_eq!(fields.len(), 2);
    assert_eq!(fields[0], "event");
    let record: serde_json::Value = serde_json::from_str(&fields[1]).expect("JSON");
    assert_eq!(record["type"], "test");
    assert_eq!(record["runId"], "run-1");
    assert_eq!(record["data"]["n"], 1);
    assert_eq!(record["deliveryAttempt"], 1);
    assert_eq!(record["id"], receipt.id.expect("an id").to_string());
    let created = record["createdAt"].as_str().expect("text");
    assert_eq!((created.len(), &created[23..]), (24, "Z"));
    assert_eq!(record.as_object().expect("an object").len(), 6);
}

#[tokio::test]
async fn the_stream_is_trimmed_and_expires_as_set() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server)
        .max_stream_length(Some(100))
        .stream_idle_ttl(Some(Duration::from_secs(60)))
        .build()
        .expect("a bus");
    for n in 0..500 {
        bus.publish("t", event(n)).await.expect("published");
    }
    let kept = length(&server, "mastra:topic:t").await;
    assert!((100..300).contains(&kept), "{kept} entries are kept");
    let ttl = server
        .command(&["PTTL", "mastra:topic:t"])
        .await
        .expect("PTTL");
    let ttl = ttl.int().expect("a number");
    assert!((1..=60_000).contains(&ttl), "the time to live is {ttl}");
    let untrimmed = builder(&server)
        .max_stream_length(None)
        .build()
        .expect("a bus");
    for n in 0..500 {
        untrimmed.publish("u", event(n)).await.expect("published");
    }
    assert_eq!(length(&server, "mastra:topic:u").await, 500);
    let ttl = server
        .command(&["PTTL", "mastra:topic:u"])
        .await
        .expect("PTTL");
    assert_eq!(ttl.int(), Some(-1));
}

#[tokio::test]
async fn history_counts_from_the_first_entry_ever() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server).build().expect("a bus");
    let topic = Topic::from("h");
    for n in 0..1_200 {
        bus.publish(&topic, event(n)).await.expect("published");
    }
    bus.trim_topic(&topic, 1_000).await.expect("trimmed");
    assert_eq!(length(&server, "mastra:topic:h").await, 200);
    let page = bus.history(&topic, 1_100, 3).await.expect("history");
    let numbers: Vec<String> = page
        .iter()
        .map(|event| {
            event
                .data
                .to_json()
                .map(|json| String::from_utf8_lossy(&json).into_owned())
                .expect("JSON")
        })
        .collect();
    assert_eq!(numbers, [r#"{"n":1100}"#, r#"{"n":1101}"#, r#"{"n":1102}"#]);
    assert_eq!(
        bus.history(&topic, 0, 5_000).await.expect("history").len(),
        200
    );
    bus.trim_topic(&topic, 5_000).await.expect("trimmed");
    assert_eq!(bus.history(&topic, 0, 10).await.expect("history").len(), 0);
    bus.publish(&topic, event(1_200)).await.expect("published");
    assert_eq!(
        bus.history(&topic, 1_200, 10).await.expect("history").len(),
        1
    );
}

#[tokio::test]
async fn topics_are_listed_with_their_groups_and_no_others() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server).key_prefix("a*b").build().expect("a bus");
    bus.publish("one", event(1)).await.expect("published");
    bus.publish("two", event(1)).await.expect("published");
    server
        .command(&["XGROUP", "CREATE", "a*b:two", "workers", "0"])
        .await
        .expect("a group");
    server
        .command(&["XGROUP", "CREATE", "a*b:two", "__fanout-x", "0"])
        .await
        .expect("a group");
    server
        .command(&["XADD", "aXb:three", "*", "event", "{}"])
        .await
        .expect("an entry");
    server
        .command(&["SET", "a*b:lease:l", "me"])
        .await
        .expect("a lease");
    let topics = bus.topics().await.expect("topics");
    let names: Vec<&str> = topics.iter().map(|info| info.topic.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(topics[1].groups, ["workers"]);
    assert_eq!(
        (topics[1].events, topics[1].subscribers),
        (Some(1), Some(1))
    );
    assert!(topics[1].bytes.is_some_and(|bytes| bytes > 0));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let bus = RedisStreamsPubSub::new("redis://127.0.0.1:1").expect("a bus");
    let error = bus
        .publish("t", event(1))
        .await
        .expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn bad_urls_and_options_are_refused_without_repeating_secrets() {
    let urls = [
        "http://host",
        "redis://",
        "redis://user:hunter2@host/notanumber",
        "redis://host?db=1",
        "redis+unix:///tmp/s",
        "host:6379",
        "",
    ];
    for url in urls {
        let error = Server::from_url(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let server = Server::from_url("rediss://user:hunter2@host:1/3").expect("a server");
    assert!(!format!("{server} {server:?}").contains("hunter2"));
    let base = || RedisStreamsPubSub::builder("redis://h");
    let refused = [
        base().block(Duration::ZERO).build(),
        base().max_deliveries(Some(0)).build(),
        base().max_stream_length(Some(0)).build(),
        base().max_in_flight(0).build(),
        base()
            .reclaim_interval(None)
            .in_flight_timeout(Some(Duration::from_secs(1)))
            .build(),
        base().stream_idle_ttl(Some(Duration::MAX)).build(),
    ];
    for bus in refused {
        assert_eq!(bus.expect_err("refused").kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn the_login_is_used_and_its_refusal_told() {
    need_redis!();
    let server = RedisServer::builder()
        .password("s3cr@t")
        .user("limited on >pw ~mastra:* +@all -xadd")
        .start()
        .await
        .expect("a server");
    let good = RedisStreamsPubSub::new(server.url_with("", "s3cr@t", 2)).expect("a bus");
    good.publish("t", event(1)).await.expect("published");
    let wrong = RedisStreamsPubSub::new(server.url_with("", "wrong", 0)).expect("a bus");
    let error = wrong.publish("t", event(1)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.to_string().contains("wrong password"), "{error}");
    let limited = RedisStreamsPubSub::new(server.url_with("limited", "pw", 0)).expect("a bus");
    let error = limited.publish("t", event(1)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let text = error.to_string();
    assert!(
        text.contains("XADD") && text.contains("mastra:topic:t"),
        "{text}"
    );
}

#[tokio::test]
async fn a_key_of_another_type_and_a_full_server_are_told() {
    need_redis!();
    let server = RedisServer::builder()
        .max_memory("3mb", "noeviction")
        .start()
        .await
        .expect("a server");
    let bus = builder(&server).build().expect("a bus");
    server
        .command(&["SET", "mastra:topic:s", "text"])
        .await
        .expect("a string");
    let error = bus.publish("s", event(1)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("mastra:topic:s"), "{error}");
    let large = NewEvent::new("large", "r")
        .with_json(format!("{:?}", "x".repeat(100_000)))
        .expect("JSON");
    let mut refused = None;
    for _ in 0..100 {
        if let Err(error) = bus.publish("big", large.clone()).await {
            refused = Some(error);
            break;
        }
    }
    let error = refused.expect("the memory is full at last");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn events_over_the_limit_never_leave() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server)
        .max_event_bytes(1_000)
        .build()
        .expect("a bus");
    let large = NewEvent::new("large", "r")
        .with_json(format!("{:?}", "x".repeat(1_000)))
        .expect("JSON");
    assert_eq!(
        bus.check(&Topic::from("t"), &large)
            .expect_err("large")
            .kind(),
        ErrorKind::TooLarge
    );
    let error = bus.publish("t", large).await.expect_err("large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("1000"), "{error}");
    assert_eq!(length(&server, "mastra:topic:t").await, 0);
    let error = bus.publish("lease:x", event(1)).await.expect_err("a lease");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn tls_is_spoken_and_checked() {
    need_redis!();
    let server = RedisServer::builder()
        .tls()
        .start()
        .await
        .expect("a server");
    let trusted = Server::from_url(&server.tls_url())
        .expect("a url")
        .tls_ca_pem(server.ca_pem());
    let bus = RedisStreamsPubSub::builder_on(trusted)
        .build()
        .expect("a bus");
    bus.publish("t", event(1)).await.expect("published");
    let untrusted = RedisStreamsPubSub::new(server.tls_url()).expect("a bus");
    let error = untrusted
        .publish("t", event(1))
        .await
        .expect_err("the authority is not known");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn publishing_goes_on_after_the_server_came_back() {
    need_redis!();
    let server = RedisServer::builder()
        .append_only()
        .start()
        .await
        .expect("a server");
    let bus = builder(&server).build().expect("a bus");
    bus.publish("t", event(0)).await.expect("published");
    server.kill();
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish("t", event(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.restart().await.expect("restarted");
    waiting.await.expect("no panic").expect("published");
    assert_eq!(length(&server, "mastra:topic:t").await, 2);
    bus.close().await.expect("closed");
    let error = bus.publish("t", event(2)).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn flush_waits_for_what_was_published_before_and_for_nothing_else() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server).build().expect("a bus");
    bus.publish("t", event(0)).await.expect("published");
    let mut cx = Context::from_waker(Waker::noop());
    let mut before = pin!(bus.publish("t", event(1)));
    assert!(before.as_mut().poll(&mut cx).is_pending());
    let mut flush = pin!(bus.flush());
    assert!(flush.as_mut().poll(&mut cx).is_pending());
    // Under way for as long as it is not polled.
    let mut after = pin!(bus.publish("t", event(2)));
    assert!(after.as_mut().poll(&mut cx).is_pending());
    before.await.expect("published");
    let flushed = tokio::time::timeout(Duration::from_secs(60), flush).await;
    flushed.expect("it ends").expect("flushed");
    after.await.expect("published");
    assert_eq!(length(&server, "mastra:topic:t").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flush_ends_while_others_publish_without_pause() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server).build().expect("a bus");
    let mut publishers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let bus = bus.clone();
        publishers.spawn(async move {
            loop {
                bus.publish("t", event(n)).await.expect("published");
            }
        });
    }
    for _ in 0..20 {
        let flushed = tokio::time::timeout(Duration::from_secs(60), bus.flush()).await;
        flushed.expect("it ends").expect("flushed");
    }
}
