//! The order of the events of a topic.

use std::sync::Arc;

use bowline_events::PublishOptions;
use futures_util::future::join_all;

use crate::session::{Session, all, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "order";
const WIDTH: u64 = 64;
const EACH: u64 = 8;

/// Events that one publisher publishes one after the other arrive in that order.
pub async fn one_publisher_is_seen_in_order(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Order]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..500).await?;
    reader.expect_numbers(0..500).await?;
    session.finish().await
}

/// With 64 tasks publishing at once, each task's events keep their order and all subscribers see the same interleaving.
pub async fn concurrent_publishers_are_seen_in_one_order(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Order]).await?;
    let mut first = session.listen(TOPIC).await?;
    let mut second = session
        .subscribe_on(&session.publisher, TOPIC, Default::default())
        .await?;
    let session = Arc::new(session);
    all((0..WIDTH).map(|task| {
        let session = Arc::clone(&session);
        async move {
            session
                .publish_numbers(TOPIC, task * EACH..(task + 1) * EACH)
                .await
        }
    }))
    .await?;
    let total = (WIDTH * EACH) as usize;
    let seen = first.numbers(total).await?;
    ensure_eq!(
        second.numbers(total).await?,
        seen,
        "order at the second subscriber"
    );
    let mut next = [0; WIDTH as usize];
    for number in seen {
        let task = (number / EACH) as usize;
        ensure!(task < next.len(), "event {number} was never published");
        ensure_eq!(
            number % EACH,
            next[task],
            "position among the events of task {task}"
        );
        next[task] += 1;
    }
    session.finish().await
}

/// Events that are published together arrive in their order, also when another task does the same, and each has a receipt.
pub async fn what_is_published_together_is_seen_in_order(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Order]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let topic = TOPIC.into();
    let together = |from: u64| {
        let events = (from..from + WIDTH).map(numbered).collect();
        let options = PublishOptions::default();
        session.publisher.publish_all(&topic, events, options)
    };
    let rounds = join_all([together(0), together(WIDTH)]);
    for receipts in session.within("publish", rounds).await? {
        ensure_eq!(receipts?.len() as u64, WIDTH, "receipts");
    }
    let seen = reader.numbers(2 * WIDTH as usize).await?;
    for from in [0, WIDTH] {
        let own = |number: &u64| (from..from + WIDTH).contains(number);
        let own: Vec<u64> = seen.iter().copied().filter(own).collect();
        let wanted: Vec<u64> = (from..from + WIDTH).collect();
        ensure_eq!(own, wanted, "events of one call");
    }
    let none = session
        .publisher
        .publish_all(&topic, Vec::new(), PublishOptions::default());
    ensure_eq!(
        session.within("publish", none).await??.len(),
        0,
        "receipts for nothing"
    );
    session.finish().await
}

/// A publish future that was made but not yet awaited takes part as well: 64 at once, each event arrives exactly once.
pub async fn overlapping_publishes_arrive_once_each(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let topic = TOPIC.into();
    let publishes: Vec<_> = (0..WIDTH)
        .map(|n| {
            session
                .publisher
                .publish_with(&topic, numbered(n), PublishOptions::default())
        })
        .collect();
    for published in session.within("publish", join_all(publishes)).await? {
        published?;
    }
    let mut seen = reader.numbers(WIDTH as usize).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..WIDTH),
        "wanted each of 0..{WIDTH} once, saw {seen:?}"
    );
    reader.expect_quiet().await?;
    session.finish().await
}

/// Where deliveries have positions, those of one subscriber strictly increase, and a receipt that has one tells the truth.
pub async fn positions_increase_and_match_the_receipts(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Order]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let mut last = None;
    for n in 0..50 {
        let receipt = session.publish(TOPIC, numbered(n)).await?;
        let delivery = reader.delivery().await?;
        ensure_eq!(number(&delivery)?, n, "next event");
        if let (Some(said), Some(seen)) = (receipt.seq, delivery.seq()) {
            ensure_eq!(seen, said, "position of event {n} against its receipt");
        }
        if let (Some(last), Some(seq)) = (last, delivery.seq()) {
            ensure!(last < seq, "position {seq} follows position {last}");
        }
        last = delivery.seq().or(last);
        reader.ack(delivery).await?;
    }
    session.finish().await
}

/// A batch read ([`Subscription::next_batch`](bowline_events::Subscription::next_batch)) gives the same events in the same order.
pub async fn batch_reads_see_the_same_stream(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Order]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..300).await?;
    let mut next = 0;
    while next < 300 {
        let batch = session
            .within("next_batch", reader.subscription.next_batch())
            .await?;
        let batch = batch.ok_or_else(|| Unmet::violated("the stream ended"))??;
        ensure!(!batch.is_empty(), "a batch without deliveries");
        for delivery in batch {
            ensure_eq!(number(&delivery)?, next, "next event of the batches");
            next += 1;
        }
    }
    session.finish().await
}
