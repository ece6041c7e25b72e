//! Subscribers that fall behind what the stream keeps.

use std::time::Duration;

use bowline_events::{NewEvent, PubSub, PubSubExt, SubscribeOptions, Subscription};

use crate::support::*;

/// Reads up to the event `last`; what is missing must have been told. Returns how many were missing.
async fn expect_no_silent_gap(reader: &mut Subscription, last: u64) -> u64 {
    let (mut next, mut missing, mut vague) = (0, 0, false);
    while next <= last {
        match item(reader).await {
            Ok(delivery) => {
                let n = number(&delivery);
                assert!(
                    n == next || (vague && n > next),
                    "{n} came instead of {next}"
                );
                missing += n - next;
                (next, vague) = (n + 1, false);
            }
            Err(notice) => match notice.truncated() {
                Some(range) => {
                    assert!(range.wanted == next || vague, "{next} was due: {notice}");
                    missing += range.first - next;
                    (next, vague) = (range.first, false);
                }
                None if notice.is_notice() => vague = true,
                None => panic!("{notice}"),
            },
        }
    }
    missing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_falls_behind_the_cap_is_told() {
    need_redis!();
    const EVENTS: u64 = 30_000;
    let server = server().await;
    let reads = bus(&server);
    let writes = builder(&server)
        .max_stream_length(Some(500))
        .build()
        .expect("a bus");
    let mut keeps_up = listen(&reads, "t").await;
    let mut stands = listen(&reads, "t").await;
    let told = tokio::spawn(async move { expect_no_silent_gap(&mut keeps_up, EVENTS).await });
    let big = "x".repeat(2_000);
    let mut sent = Vec::new();
    for n in 0..EVENTS {
        let mut event = event(n);
        event.run_id = big.clone().into();
        sent.push(writes.publish("t", event));
        if sent.len() == 256 || n + 1 == EVENTS {
            for publish in all(std::mem::take(&mut sent)).await {
                publish.expect("published");
            }
        }
    }
    publish(&writes, "t", EVENTS..EVENTS + 1).await;
    told.await.expect("told");
    let missing = expect_no_silent_gap(&mut stands, EVENTS).await;
    assert!(missing > 0, "who stands still before 60 MB loses some");
}

/// Waits for all, which proceed side by side.
async fn all<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|cx| {
        let mut done = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => done = false,
                }
            }
        }
        if done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_the_cap_is_told_exactly() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut reader = listen(&reads, "t").await;
    publish(&writes, "t", 0..3).await;
    expect(&mut reader, 0..3).await;
    // In one step, so that the reader cannot keep up: far more than the stream keeps.
    let script = "for n = 3, 999 do redis.call('XADD', KEYS[1], 'MAXLEN', '=', '100', '*', 'event', '{\"type\":\"test\",\"runId\":\"r\",\"data\":' .. n .. ',\"id\":\"i' .. n .. '\"}') end";
    command(&server, &["EVAL", script, "1", "mastra:topic:t"]).await;
    let notice = item(&mut reader).await.expect_err("a notice");
    let range = notice.truncated().expect("a range");
    assert_eq!((range.wanted, range.first), (3, 900));
    for n in 900..1000 {
        let delivery = delivery(&mut reader).await;
        assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_topic_does_not_hold_up_another() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let mut slow = listen(&reads, "slow").await;
    let mut quick = listen(&reads, "quick").await;
    let moving = tokio::spawn(async move {
        // It moves, so it is waited for: always far behind, never standing still.
        while let Some(Ok(_)) = slow.next().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let run_id = "x".repeat(16 * 1024);
    for n in 0..3_000 {
        let event = NewEvent::new("big", run_id.clone())
            .with_json(n.to_string())
            .expect("JSON");
        writes.publish("slow", event).await.expect("published");
        if n % 10 == 0 {
            publish(&writes, "quick", n / 10..n / 10 + 1).await;
        }
    }
    expect(&mut quick, 0..300).await;
    moving.abort();
}

#[tokio::test]
async fn a_skippable_subscriber_is_told_of_gaps() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    let mut skips = bus
        .subscribe("t", SubscribeOptions::new().skippable())
        .await
        .expect("subscribed");
    publish(&bus, "t", 0..2_000).await;
    expect_no_silent_gap(&mut skips, 1_999).await;
    bus.close().await.expect("closed");
}
