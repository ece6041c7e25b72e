//! Limits, slow readers, cancelled reads.

use std::time::Duration;

use bowline_events::{ErrorKind, NewEvent, PublishOptions, SubscribeOptions, Topic};
use futures_util::future::{join, poll_immediate};

use super::retention::expect_no_silent_gap;
use crate::session::{Session, json, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "pressure";

/// An event over the declared limit is refused with `TooLarge`; what was published before and after it arrives.
pub async fn too_large_events_are_refused(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::SizeLimit]).await?;
    let limit = session.capabilities.max_event_bytes.unwrap_or_default();
    let mut reader = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let data = json(format!("\"{}\"", "x".repeat(limit)));
    let topic = Topic::from(TOPIC);
    let publish = session.publisher.publish_with(
        &topic,
        NewEvent::new("large", "r").with_data(data),
        PublishOptions::default(),
    );
    match session.within("publish", publish).await? {
        Ok(_) => {
            return Err(Unmet::violated(format!(
                "an event with more than {limit} bytes of data was accepted"
            )));
        }
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::TooLarge, "kind of the refusal");
            ensure!(
                !error.is_retryable(),
                "the refusal calls itself retryable: {error}"
            );
        }
    }
    session.publish(TOPIC, numbered(1)).await?;
    reader.expect_numbers(0..2).await?;
    reader.expect_quiet().await?;
    session.finish().await
}

/// A reader that stands still blocks neither the publisher nor the other readers for ever. What it misses it is told.
///
/// 20 000 events of 1 KiB are published beside it, which is more than a backend needs to keep.
pub async fn a_standing_reader_blocks_nobody(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: u64 = 20_000;
    let session = Session::open(fixture, &[]).await?;
    let mut stands = session.listen(TOPIC).await?;
    let mut reads = session.listen(TOPIC).await?;
    let run_id = "r".repeat(1024);
    let publish = async {
        for n in 0..EVENTS {
            let mut event = numbered(n);
            event.run_id = run_id.as_str().to_owned().into();
            session.publish(TOPIC, event).await?;
        }
        Ok::<_, Unmet>(())
    };
    let (published, read) = join(publish, reads.expect_numbers(0..EVENTS)).await;
    published?;
    read.map_err(|unmet| unmet.within("the reader that reads"))?;
    session.publish(TOPIC, numbered(EVENTS)).await?;
    let told = expect_no_silent_gap(&mut stands, 0, EVENTS + 1).await;
    told.map_err(|unmet| unmet.within("the reader that stood still"))?;
    session.finish().await
}

/// A reader that asked not to be waited for still has no gap of which it is not told.
pub async fn a_skippable_reader_is_told_of_gaps(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: u64 = 5_000;
    let session = Session::open(fixture, &[]).await?;
    let options = SubscribeOptions::new().skippable();
    let mut skips = session.subscribe(TOPIC, options).await?;
    session.publish_numbers(TOPIC, 0..EVENTS).await?;
    expect_no_silent_gap(&mut skips, 0, EVENTS).await?;
    session.finish().await
}

/// A reader that is slower than the publisher, but moves, gets everything.
pub async fn a_slower_reader_gets_everything(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: u64 = 3_000;
    let session = Session::open(fixture, &[]).await?;
    let mut slow = session.listen(TOPIC).await?;
    let read = async {
        for n in 0..EVENTS {
            if n % 64 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            slow.expect_numbers(n..n + 1).await?;
        }
        Ok::<_, Unmet>(())
    };
    let (published, read) = join(session.publish_numbers(TOPIC, 0..EVENTS), read).await;
    published?;
    read?;
    session.finish().await
}

/// A `next` future that is dropped before it resolved loses nothing.
pub async fn a_cancelled_read_loses_nothing(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: u64 = 300;
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let read = async {
        let mut next = 0;
        while next < EVENTS {
            // Polled once, then dropped.
            match poll_immediate(reader.subscription.next()).await {
                Some(Some(item)) => {
                    ensure_eq!(number(&*item?)?, next, "next event");
                    next += 1;
                }
                Some(None) => return Err(Unmet::violated("the stream ended")),
                None => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        }
        Ok(())
    };
    let publish = session.publish_numbers(TOPIC, 0..EVENTS);
    let (published, read) = join(publish, session.within("read", read)).await;
    published?;
    read??;
    session.finish().await
}

/// Cancelled reads in a group neither lose an event nor count as an attempt.
pub async fn a_cancelled_group_read_loses_nothing(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: usize = 200;
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < EVENTS {
            match poll_immediate(member.subscription.next()).await {
                Some(Some(item)) => {
                    let delivery = item?;
                    ensure_eq!(delivery.delivery_attempt, 1, "attempt");
                    seen.push(number(&delivery)?);
                    delivery.ack().await?;
                }
                Some(None) => return Err(Unmet::violated("the stream ended")),
                None => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        }
        Ok(seen)
    };
    let publish = session.publish_numbers(TOPIC, 0..EVENTS as u64);
    let (published, seen) = join(publish, session.within("read", read)).await;
    published?;
    let mut seen = seen??;
    seen.sort_unstable();
    ensure!(
        seen.into_iter().eq(0..EVENTS as u64),
        "the group did not get each event once"
    );
    session.finish().await
}

/// A publish future that is dropped at once publishes its event once or not at all, and the next ones arrive.
pub async fn a_cancelled_publish_happens_once_or_not(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let topic = Topic::from(TOPIC);
    for n in 0..50 {
        let cancelled =
            session
                .publisher
                .publish_with(&topic, numbered(2 * n), PublishOptions::default());
        if n % 2 == 0 {
            drop(poll_immediate(cancelled).await);
        } else {
            drop(cancelled);
        }
        session.publish(TOPIC, numbered(2 * n + 1)).await?;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&99) {
        seen.push(number(&*reader.event().await?)?);
    }
    let odd: Vec<u64> = seen.iter().copied().filter(|n| n % 2 == 1).collect();
    ensure!(
        odd.iter().copied().eq((0..50).map(|n| 2 * n + 1)),
        "the events between arrived as {odd:?}"
    );
    seen.sort_unstable();
    let total = seen.len();
    seen.dedup();
    ensure_eq!(seen.len(), total, "different events");
    session.finish().await
}

/// A member of a group that stands still keeps at most what it was given: the other one goes on with what follows.
///
/// 1 000 events are published while one of two members never reads; the other must get some of the last ten.
pub async fn a_standing_member_blocks_no_other(fixture: &dyn Fixture) -> ClauseResult {
    const EVENTS: u64 = 1_000;
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut works = session.join(TOPIC, "workers").await?;
    let _stands = session.join(TOPIC, "workers").await?;
    let work = async {
        let mut last = 0;
        while last < EVENTS - 10 {
            last = number(&*works.event().await?)?.max(last);
        }
        Ok::<_, Unmet>(())
    };
    let (published, worked) = join(session.publish_numbers(TOPIC, 0..EVENTS), work).await;
    published?;
    worked?;
    session.finish().await
}
