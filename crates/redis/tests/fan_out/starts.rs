//! Where subscriptions begin, and positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bowline_events::{ErrorKind, NewEvent, PubSub, PubSubExt, StartFrom, Subscription};

use crate::support::*;

#[tokio::test]
async fn late_subscribers_get_what_they_ask_for() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    publish(&writes, "t", 0..5).await;
    // The first subscriber of the process, and those who come later, behave alike.
    for _ in 0..2 {
        let mut earliest = read_from(&reads, "t", StartFrom::Earliest).await;
        let mut offset = read_from(&reads, "t", StartFrom::Offset(3)).await;
        let mut end = read_from(&reads, "t", StartFrom::Offset(5)).await;
        let mut latest = listen(&reads, "t").await;
        publish(&writes, "u", 0..1).await;
        for (reader, numbers) in [(&mut earliest, 0..5), (&mut offset, 3..5)] {
            for n in numbers {
                let delivery = delivery(reader).await;
                assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
            }
        }
        for reader in [&mut earliest, &mut offset, &mut end, &mut latest] {
            expect_quiet(reader).await;
        }
    }
    let mut offset = read_from(&reads, "t", StartFrom::Offset(3)).await;
    let mut latest = listen(&reads, "t").await;
    publish(&writes, "t", 5..8).await;
    for (reader, numbers) in [(&mut offset, 3..8), (&mut latest, 5..8)] {
        for n in numbers {
            let delivery = delivery(reader).await;
            assert_eq!((number(&delivery), delivery.seq()), (n, Some(n)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_at_any_moment_miss_nothing() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // An offset that the stream has not reached would belong to a stream that is gone.
    let reached = Arc::new(AtomicU64::new(0));
    let published = Arc::clone(&reached);
    let publishing = tokio::spawn(async move {
        let mut n = 0;
        while !stopped.load(Relaxed) || n < 1_000 {
            publish(&writes, "t", n..n + 1).await;
            n += 1;
            published.store(n, Relaxed);
        }
        let end = NewEvent::new("end", "").with_json(n.to_string());
        writes
            .publish("t", end.expect("JSON"))
            .await
            .expect("published");
    });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60 {
        let start = match n % 3 {
            0 => StartFrom::Earliest,
            1 => StartFrom::Offset(reached.load(Relaxed)),
            _ => StartFrom::Latest,
        };
        let reader = read_from(&reads, "t", start).await;
        tasks.spawn(read_to_the_end(reader, start));
    }
    stop.store(true, Relaxed);
    publishing.await.expect("published");
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

async fn read_to_the_end(mut reader: Subscription, start: StartFrom) {
    let mut last = None;
    loop {
        let delivery = delivery(&mut reader).await;
        let n = number(&delivery);
        assert_eq!(delivery.seq(), Some(n), "{start:?}");
        match (last, start) {
            (Some(last), _) => assert_eq!(n, last + 1, "{start:?}"),
            (None, StartFrom::Earliest) => assert_eq!(n, 0),
            (None, StartFrom::Offset(offset)) => assert_eq!(n, offset),
            (None, StartFrom::Latest) => {}
        }
        last = Some(n);
        if delivery.event_type == "end" {
            return;
        }
    }
}

#[tokio::test]
async fn a_trimmed_beginning_is_told() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    publish(&writes, "t", 0..10).await;
    writes.trim_topic(&"t".into(), 4).await.expect("trimmed");
    let mut first = read_from(&reads, "t", StartFrom::Offset(1)).await;
    let mut later = read_from(&reads, "t", StartFrom::Offset(1)).await;
    for reader in [&mut first, &mut later] {
        let notice = item(reader).await.expect_err("a notice");
        let range = notice.truncated().expect("a range");
        assert_eq!((range.wanted, range.first), (1, 4));
        expect(reader, 4..10).await;
    }
    let mut earliest = read_from(&reads, "t", StartFrom::Earliest).await;
    let delivery = delivery(&mut earliest).await;
    assert_eq!((number(&delivery), delivery.seq()), (4, Some(4)));
}

#[tokio::test]
async fn history_that_is_trimmed_while_it_is_read_is_told() {
    need_redis!();
    let server = server().await;
    let (reads, writes) = (bus(&server), bus(&server));
    publish(&writes, "t", 0..1200).await;
    let _live = listen(&reads, "t").await;
    let mut slow = read_from(&reads, "t", StartFrom::Earliest).await;
    expect(&mut slow, 0..10).await;
    writes.trim_topic(&"t".into(), 1100).await.expect("trimmed");
    let mut next = 10;
    loop {
        match item(&mut slow).await {
            Ok(delivery) if number(&delivery) == next => next += 1,
            Ok(delivery) => panic!("{next} was due, {} came", number(&delivery)),
            Err(notice) => {
                let range = notice.truncated().expect("a range");
                assert_eq!((range.wanted, range.first), (next, 1100));
                break;
            }
        }
    }
    publish(&writes, "t", 1200..1210).await;
    expect(&mut slow, 1100..1210).await;
}

#[tokio::test]
async fn an_offset_of_a_stream_that_is_gone_is_told() {
    need_redis!();
    let server = server().await;
    let bus = bus(&server);
    publish(&bus, "t", 0..3).await;
    let mut reader = read_from(&bus, "t", StartFrom::Offset(1_000)).await;
    let notice = item(&mut reader).await.expect_err("a notice");
    assert_eq!(notice.kind(), ErrorKind::Cleared);
    expect(&mut reader, 0..3).await;
}
