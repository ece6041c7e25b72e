//! Streams and groups that are deleted under their readers.

use bowline_events::{ErrorKind, PubSub};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_behind_a_clear() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    for round in 0..200 {
        let topic = format!("t{round}");
        let mut reader = listen(&reads, &topic).await;
        publish(&writes, &topic, 0..10).await;
        let clears = if round % 2 == 0 { &reads } else { &writes };
        let cleared = clears.clear_topic(&topic.as_str().into()).await;
        cleared.expect("cleared");
        publish(&writes, &topic, 100..103).await;
        let mut old = 0;
        let notice = loop {
            match item(&mut reader).await {
                Ok(delivery) => {
                    assert_eq!(number(&delivery), old, "round {round}");
                    old += 1;
                }
                Err(notice) => break notice,
            }
        };
        assert_eq!(notice.kind(), ErrorKind::Cleared, "round {round}");
        for n in 0..3 {
            let delivery = delivery(&mut reader).await;
            let seen = (number(&delivery), delivery.seq());
            assert_eq!(seen, (100 + n, Some(n)), "round {round}");
        }
        reader.unsubscribe().await.expect("unsubscribed");
    }
}

#[tokio::test]
async fn readers_of_the_past_and_of_other_topics_go_on() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    publish(&writes, "t", 0..700).await;
    let mut other = listen(&reads, "other").await;
    let _live = listen(&reads, "t").await;
    let mut past = read_from(&reads, "t", bowline_events::StartFrom::Earliest).await;
    expect(&mut past, 0..10).await;
    writes.clear_topic(&"t".into()).await.expect("cleared");
    publish(&writes, "t", 1000..1003).await;
    publish(&writes, "other", 0..3).await;
    expect(&mut other, 0..3).await;
    let mut next = 10;
    let mut cleared = false;
    while next < 1003 {
        match item(&mut past).await {
            Ok(delivery) => {
                let n = number(&delivery);
                assert!(
                    n == next || (cleared && n == 1000 && next < 1000),
                    "{n} after {next}"
                );
                next = n + 1;
            }
            Err(notice) => cleared |= notice.kind() == ErrorKind::Cleared,
        }
    }
    assert!(cleared);
}

#[tokio::test]
async fn a_stream_that_expires_is_told_as_a_clear() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut reader = listen(&reads, "t").await;
    publish(&writes, "t", 0..2).await;
    expect(&mut reader, 0..2).await;
    command(&server, &["PEXPIRE", "mastra:topic:t", "20"]).await;
    let notice = item(&mut reader).await.expect_err("a notice");
    assert_eq!(notice.kind(), ErrorKind::Cleared);
    publish(&writes, "t", 2..4).await;
    expect(&mut reader, 2..4).await;
}

#[tokio::test]
async fn a_group_that_is_destroyed_alone_is_no_clear() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut reader = listen(&reads, "t").await;
    publish(&writes, "t", 0..20).await;
    expect(&mut reader, 0..20).await;
    for round in 1..6 {
        let group = private_groups(&server, "t").await.remove(0);
        command(&server, &["XGROUP", "DESTROY", "mastra:topic:t", &group]).await;
        publish(&writes, "t", 20 * round..20 * round + 20).await;
        for n in 20 * round..20 * round + 20 {
            let delivery = delivery(&mut reader).await;
            assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
        }
        until("the new group", async || {
            private_groups(&server, "t").await.len() == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_streams_may_go_at_once() {
    need_redis!();
    const TOPICS: u64 = 300;
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut readers = Vec::new();
    for topic in 0..TOPICS {
        readers.push(listen(&reads, &format!("t{topic}")).await);
    }
    command(&server, &["FLUSHALL"]).await;
    for topic in 0..TOPICS {
        publish(&writes, &format!("t{topic}"), 0..2).await;
    }
    for reader in &mut readers {
        let notice = item(reader).await.expect_err("a notice");
        assert_eq!(notice.kind(), ErrorKind::Cleared);
        expect(reader, 0..2).await;
    }
}
