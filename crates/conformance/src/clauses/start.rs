//! Where a subscription begins.

use bowline_events::{ErrorKind, StartFrom, SubscribeOptions};

use super::drain_until;
use crate::reader::Reader;
use crate::seed::Seed;
use crate::session::{Session, is_same, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "start";

/// A subscription that starts at the latest position gets only what is published after it resolved.
pub async fn latest_skips_what_was_published_before(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut witness = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    witness.expect_numbers(0..10).await?;
    let mut reader = session.read_from(TOPIC, StartFrom::Latest).await?;
    session.publish_numbers(TOPIC, 10..20).await?;
    reader.expect_numbers(10..20).await?;
    reader.expect_quiet().await?;
    session.finish().await
}

/// Earliest gives everything that is kept, then what is live, without a seam.
pub async fn earliest_begins_with_the_first_event(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..100).await?;
    let mut reader = session.read_from(TOPIC, StartFrom::Earliest).await?;
    session.publish_numbers(TOPIC, 100..200).await?;
    reader.expect_numbers(0..200).await?;
    reader.expect_quiet().await?;
    session.finish().await
}

/// A subscription can begin at any position of the history, and just behind its end.
pub async fn an_offset_begins_there(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    session.kept(TOPIC, 10).await?;
    let mut readers = Vec::new();
    for offset in [0, 1, 5, 9, 10] {
        readers.push((
            offset,
            session.read_from(TOPIC, StartFrom::Offset(offset)).await?,
        ));
    }
    session.publish_numbers(TOPIC, 10..12).await?;
    for (offset, mut reader) in readers {
        let told = async {
            reader.expect_numbers(offset..12).await?;
            reader.expect_quiet().await
        };
        told.await
            .map_err(|unmet| unmet.within(format!("offset {offset}")))?;
    }
    session.finish().await
}

/// A reader that left goes on behind the last event it saw: `Offset(seq + 1)`, or `index + 1` where deliveries carry that.
pub async fn a_reader_resumes_where_it_left(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..30).await?;
    let mut next = 0;
    let mut start = StartFrom::Earliest;
    while next < 30 {
        let mut reader = session.read_from(TOPIC, start).await?;
        for _ in 0..3 {
            let delivery = reader.delivery().await?;
            ensure_eq!(number(&delivery)?, next, "next event");
            let position = delivery.seq().or(delivery.index);
            let position = position.ok_or_else(|| {
                Unmet::violated("the delivery has neither a position nor an index")
            })?;
            start = StartFrom::Offset(position + 1);
            next += 1;
        }
    }
    session.finish().await
}

/// What a replaying reader gets is what the history holds: the same events in the same order, the same that live readers saw.
pub async fn replay_equals_history(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    let mut live = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..50).await?;
    let live = live.events(50).await?;
    session.kept(TOPIC, 50).await?;
    let kept = session.history(TOPIC, 0, usize::MAX).await?;
    let replayed = session
        .read_from(TOPIC, StartFrom::Earliest)
        .await?
        .events(50)
        .await?;
    ensure_eq!(kept.len(), 50, "events in the history");
    for ((kept, replayed), live) in kept.iter().zip(&replayed).zip(&live) {
        ensure_eq!(replayed.id, kept.id, "id of the replayed event");
        ensure!(
            is_same(replayed, live),
            "the replayed event {} was {} when it was live",
            replayed.id,
            live.id
        );
        if replayed.id == live.id {
            ensure_eq!(
                replayed.created_at,
                live.created_at,
                "time of the replayed event"
            );
        }
        ensure_eq!(
            replayed.data.to_json()?,
            live.data.to_json()?,
            "data of the replayed event"
        );
    }
    session.finish().await
}

/// A new group begins where its first member says, or that member is refused with `Unsupported`: never live only in silence.
pub async fn a_group_begins_where_it_was_told(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay, Need::Groups]).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    session.kept(TOPIC, 10).await?;
    for (group, start, first) in [
        ("all", StartFrom::Earliest, 0),
        ("some", StartFrom::Offset(4), 4),
    ] {
        let topic = TOPIC.into();
        let options = SubscribeOptions::new().group(group).start(start);
        let subscribe = session.subscriber.subscribe_with(&topic, options);
        match session.within("subscribe", subscribe).await? {
            Err(error) => ensure_eq!(error.kind(), ErrorKind::Unsupported, "kind of the refusal"),
            Ok(subscription) => {
                let mut member = session.reader(subscription);
                member.expect_numbers(first..10).await?;
                member.expect_quiet().await?;
            }
        }
    }
    session.finish().await
}

/// A member that joins an existing group does not move it, whatever start it asks for.
pub async fn a_group_keeps_its_position(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let first = session.join(TOPIC, "workers").await?;
    let mut members = vec![first];
    session.publish_numbers(TOPIC, 0..10).await?;
    let mut seen = drain_until(&session, &mut members, 10).await?;
    for start in [StartFrom::Earliest, StartFrom::Offset(3), StartFrom::Latest] {
        let options = SubscribeOptions::new().group("workers").start(start);
        let topic = TOPIC.into();
        let member = session.subscriber.subscribe_with(&topic, options);
        match session.within("subscribe", member).await? {
            // A bus without history for groups may refuse to promise one.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            member => members.push(session.reader(member?)),
        }
    }
    session.publish_numbers(TOPIC, 10..30).await?;
    seen.extend(drain_until(&session, &mut members, 20).await?);
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..30),
        "wanted each of 0..30 once, saw {seen:?}"
    );
    for member in &mut members {
        member.expect_quiet().await?;
    }
    session.finish().await
}

/// Readers that attach at any moment of a running stream, from the beginning or an offset, see no gap and no duplicate.
///
/// The moments are random; a failure names the seed, and [`Seed::VARIABLE`] repeats it.
pub async fn attaching_while_publishing_loses_nothing(fixture: &dyn Fixture) -> ClauseResult {
    let seed = Seed::choose();
    attach_at_random(fixture, seed)
        .await
        .map_err(|unmet| unmet.within(seed))
}

async fn attach_at_random(fixture: &dyn Fixture, seed: Seed) -> ClauseResult {
    const EVENTS: u64 = 600;
    let session = Session::open(fixture, &[Need::Replay]).await?;
    let mut random = seed.numbers();
    let mut readers: Vec<(u64, Reader)> = Vec::new();
    let mut published = 0;
    while published < EVENTS {
        let burst = random.below(20).min(EVENTS - published);
        let publish = session.publish_numbers(TOPIC, published..published + burst);
        if random.below(3) == 0 {
            // The subscription attaches somewhere inside the burst.
            let first = if random.below(2) == 0 {
                0
            } else {
                random.below(published + 1)
            };
            let start = if first == 0 {
                StartFrom::Earliest
            } else {
                StartFrom::Offset(first)
            };
            let (published, reader) =
                futures_util::future::join(publish, session.read_from(TOPIC, start)).await;
            published?;
            readers.push((first, reader?));
        } else {
            publish.await?;
        }
        published += burst;
        if random.below(4) == 0 && !readers.is_empty() {
            let chosen = random.below(readers.len() as u64) as usize;
            let (next, reader) = &mut readers[chosen];
            read_what_is_there(reader, next).await?;
        }
    }
    for (next, reader) in &mut readers {
        reader.expect_numbers(*next..EVENTS).await?;
        reader.expect_quiet().await?;
    }
    session.finish().await
}

async fn read_what_is_there(reader: &mut Reader, next: &mut u64) -> ClauseResult {
    while let Some(item) = reader.ready().await {
        let delivery = item.ok_or_else(|| Unmet::violated("the stream ended"))??;
        ensure_eq!(number(&delivery)?, *next, "next event");
        *next += 1;
    }
    Ok(())
}

/// A reader that attaches with an offset ahead of the end is refused, told so by a notice, or waits; it gets no old event without a notice.
pub async fn an_offset_ahead_of_the_end_is_no_surprise(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Replay]).await?;
    session.publish_numbers(TOPIC, 0..3).await?;
    session.kept(TOPIC, 3).await?;
    let topic = TOPIC.into();
    let options = SubscribeOptions::new().start(StartFrom::Offset(1_000_000));
    let subscribe = session.subscriber.subscribe_with(&topic, options);
    if let Ok(mut subscription) = session.within("subscribe", subscribe).await? {
        session.publish(TOPIC, numbered(3)).await?;
        // Such a position belongs to a history that is gone. What the backend makes of it is its choice; silence is not.
        let next = tokio::time::timeout(session.settle, subscription.next()).await;
        if let Ok(Some(Ok(delivery))) = next {
            ensure_eq!(
                number(&delivery)?,
                3,
                "first event behind an offset ahead of the end"
            );
        }
    }
    session.finish().await
}
