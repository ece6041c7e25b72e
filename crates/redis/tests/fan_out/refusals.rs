//! What a server may refuse, and entries that hold no event.

use bowline_events::{ErrorKind, PubSubExt, StartFrom, SubscribeOptions};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::RedisServer;

use crate::support::*;

const KEY: &str = "mastra:topic:t";

#[tokio::test]
async fn another_type_at_the_key_fails_its_subscribers_only() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut fails = listen(&reads, "t").await;
    let mut goes_on = listen(&reads, "other").await;
    command(&server, &["DEL", KEY]).await;
    command(&server, &["SET", KEY, "something else"]).await;
    let error = loop {
        match item(&mut fails).await {
            Err(error) if error.is_notice() => {}
            other => break other.expect_err("an error"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.subject(), Some(KEY));
    assert!(error.message().contains("WRONGTYPE"), "{error}");
    assert!(fails.next().await.is_none());
    publish(&writes, "other", 0..3).await;
    expect(&mut goes_on, 0..3).await;
    let refused = reads
        .subscribe("t", SubscribeOptions::new())
        .await
        .expect_err("refused");
    assert_eq!(
        (refused.kind(), refused.subject()),
        (ErrorKind::InvalidInput, Some(KEY))
    );
    assert!(refused.message().starts_with("XGROUP CREATE"), "{refused}");
    // Once the key is free, the topic works again.
    command(&server, &["DEL", KEY]).await;
    let mut again = listen(&reads, "t").await;
    publish(&writes, "t", 0..3).await;
    expect(&mut again, 0..3).await;
}

#[tokio::test]
async fn a_poisoned_entry_blocks_nothing() {
    need_redis!();
    let server = server().await;
    let bus = builder(&server)
        .dead_letters("dead")
        .build()
        .expect("a bus");
    let mut reader = listen(&bus, "t").await;
    publish(&bus, "t", 0..2).await;
    for poison in ["not JSON", "null", "[1]"] {
        command(&server, &["XADD", KEY, "*", "event", poison]).await;
    }
    publish(&bus, "t", 2..4).await;
    for (n, position) in [(0, 0), (1, 1), (2, 5), (3, 6)] {
        let delivery = delivery(&mut reader).await;
        assert_eq!((number(&delivery), delivery.seq()), (n, Some(position)));
    }
    let mut dead = read_from(&bus, "dead", StartFrom::Earliest).await;
    for _ in 0..3 {
        assert_eq!(delivery(&mut dead).await.event_type, "malformed");
    }
    assert_eq!(bus.stats().malformed, 3);
}

/// A server whose user may do what the reference needs, and `more`.
async fn limited(more: &str) -> (RedisServer, RedisStreamsPubSub) {
    let commands = "+xadd +xgroup|create +xgroup|destroy +xreadgroup +xack +xpending +xclaim +xinfo|groups +xrange +xrevrange +xdel +pexpire +del +set +get +eval +multi +exec +ping +quit +auth +select";
    let user = format!("limited on >secret ~mastra:topic:* -@all {commands} {more}");
    let server = RedisServer::builder()
        .user(user)
        .start()
        .await
        .expect("a server");
    let bus = RedisStreamsPubSub::new(server.url_with("limited", "secret", 0)).expect("a bus");
    (server, bus)
}

#[tokio::test]
async fn the_permissions_of_the_reference_are_enough_for_live_events() {
    need_redis!();
    let (_server, bus) = limited("").await;
    let mut first = listen(&bus, "t").await;
    let mut other = listen(&bus, "other").await;
    publish(&bus, "t", 0..30).await;
    publish(&bus, "other", 0..3).await;
    let mut late = listen(&bus, "t").await;
    let mut earliest = read_from(&bus, "t", StartFrom::Earliest).await;
    publish(&bus, "t", 30..40).await;
    for (reader, numbers) in [
        (&mut first, 0..40),
        (&mut late, 30..40),
        (&mut earliest, 0..40),
    ] {
        for n in numbers {
            let delivery = delivery(reader).await;
            // Positions need a look at the stream.
            assert_eq!((number(&delivery), delivery.seq()), (n, None));
        }
    }
    expect(&mut other, 0..3).await;
    for first in [true, false] {
        let topic = if first { "new" } else { "t" };
        let options = SubscribeOptions::new().start(StartFrom::Offset(1));
        let refused = bus.subscribe(topic, options).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(refused.message().starts_with("XINFO STREAM"), "{refused}");
    }
}

#[tokio::test]
async fn one_more_permission_brings_positions() {
    need_redis!();
    let (server, bus) = limited("+xinfo|stream +xlen").await;
    let mut first = listen(&bus, "t").await;
    publish(&bus, "t", 0..30).await;
    let mut offset = read_from(&bus, "t", StartFrom::Offset(10)).await;
    for (reader, numbers) in [(&mut first, 0..30), (&mut offset, 10..30)] {
        for n in numbers {
            let delivery = delivery(reader).await;
            assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
        }
    }
    let unused = listen(&bus, "unused").await;
    unused.unsubscribe().await.expect("unsubscribed");
    assert_eq!(keys(&server).await, [KEY]);
}
