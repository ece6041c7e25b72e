//! Batch policies: when gathered events are handed over, and which.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{BatchPolicy, Event, NewEvent, Overflow, SubscribeOptions};

use crate::reader::Reader;
use crate::session::{Session, json, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "batching";
/// So long that a test never waits for it.
const NEVER: Duration = Duration::from_secs(3600);

/// Nothing is handed over before `max_size` events are gathered; then all of them, in order.
pub async fn size_hands_over(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let mut reader = gather(&session, BatchPolicy::new().max_size(3)).await?;
    for round in 0..4 {
        session
            .publish_numbers(TOPIC, 3 * round..3 * round + 2)
            .await?;
        reader.expect_quiet().await?;
        session.publish(TOPIC, numbered(3 * round + 2)).await?;
        reader.expect_numbers(3 * round..3 * round + 3).await?;
    }
    session.finish().await
}

/// An event that has waited for `max_wait` is handed over, though nothing follows it.
pub async fn waiting_hands_over(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let policy = BatchPolicy::new()
        .max_size(100)
        .max_wait(Duration::from_millis(20));
    let mut reader = gather(&session, policy).await?;
    for round in 0..3 {
        session
            .publish_numbers(TOPIC, 2 * round..2 * round + 2)
            .await?;
        reader.expect_numbers(2 * round..2 * round + 2).await?;
    }
    session.finish().await
}

/// With none of the limits set, only a full buffer hands events over.
pub async fn a_full_buffer_hands_over(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let mut reader = gather(&session, BatchPolicy::new().max_buffer(5)).await?;
    session.publish_numbers(TOPIC, 0..4).await?;
    reader.expect_quiet().await?;
    session.publish(TOPIC, numbered(4)).await?;
    reader.expect_numbers(0..5).await?;
    session.finish().await
}

/// An immediate event is handed over at once, behind everything that was gathered before it.
pub async fn immediate_events_do_not_wait(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let policy = BatchPolicy::new().max_wait(NEVER).immediate_if(is_urgent);
    let mut reader = gather(&session, policy).await?;
    session.publish_numbers(TOPIC, 0..3).await?;
    reader.expect_quiet().await?;
    session.publish(TOPIC, urgent(3)).await?;
    reader.expect_numbers(0..4).await?;
    session.finish().await
}

/// `coalesce` chooses what of a batch is handed over; the rest is dropped.
pub async fn coalesce_reduces_a_batch(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let policy = BatchPolicy::new()
        .max_size(4)
        .coalesce(|events| events.last().into_iter().cloned().collect());
    let mut reader = gather(&session, policy).await?;
    for batch in 0..3 {
        session
            .publish_numbers(TOPIC, 4 * batch..4 * batch + 4)
            .await?;
        reader.expect_numbers(4 * batch + 3..4 * batch + 4).await?;
    }
    reader.expect_quiet().await?;
    session.finish().await
}

/// Events that `coalesce` drops are acked: the group never sees them again, and does not wait for them.
pub async fn coalesced_events_are_acked(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(
        fixture,
        &[Need::Batching, Need::Groups, Need::GroupRedelivery],
    )
    .await?;
    let policy = BatchPolicy::new()
        .max_size(4)
        .coalesce(|events| events.last().into_iter().cloned().collect());
    let options = SubscribeOptions::new().group("workers");
    let mut member = session
        .subscribe(TOPIC, options.clone().batch(policy))
        .await?;
    session.publish_numbers(TOPIC, 0..4).await?;
    let delivery = member.delivery().await?;
    ensure_eq!(number(&delivery)?, 3, "event that is left of the batch");
    session.within("nack", delivery.nack()).await??;
    // The next member takes over what is not done: the refused event, and nothing of what was dropped.
    let mut heir = session.subscribe(TOPIC, options).await?;
    drop(member);
    ensure_eq!(number(&*heir.event().await?)?, 3, "event that is not done");
    heir.expect_quiet().await?;
    session.finish().await
}

/// A `coalesce` that invents events hands none of its inventions over, and the subscription goes on.
pub async fn coalesce_cannot_invent_events(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let invented: Arc<Event> = Arc::new(numbered(666).stamp());
    let policy = BatchPolicy::new().max_size(2).coalesce(move |events| {
        let odd = events.iter().any(|event| event.event_type == "odd");
        if odd {
            vec![Arc::clone(&invented)]
        } else {
            events.to_vec()
        }
    });
    let mut reader = gather(&session, policy).await?;
    for _ in 0..2 {
        let odd = NewEvent::new("odd", "r").with_data(json("0"));
        session.publish(TOPIC, odd).await?;
    }
    reader.expect_quiet().await?;
    session.publish_numbers(TOPIC, 10..12).await?;
    reader.expect_numbers(10..12).await?;
    session.finish().await
}

/// Unless the policy says otherwise, events over the buffer wait: a slow reader gets all of them, in order.
pub async fn overflow_waits_unless_told_otherwise(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    let mut reader = gather(&session, BatchPolicy::new().max_buffer(4)).await?;
    session.publish_numbers(TOPIC, 0..100).await?;
    reader.expect_numbers(0..100).await?;
    session.finish().await
}

/// A burst far over the buffer is handed over in order and without repetition; what overflow drops is never immediate.
pub async fn overflow_never_drops_immediate_events(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Batching]).await?;
    for (topic, overflow) in [
        ("oldest", Overflow::DropOldest),
        ("newest", Overflow::DropNewest),
    ] {
        let policy = BatchPolicy::new()
            .max_buffer(4)
            .overflow(overflow)
            .immediate_if(is_urgent);
        let mut reader = session
            .subscribe(topic, SubscribeOptions::new().batch(policy))
            .await?;
        for n in 0..100 {
            session
                .publish(topic, if n % 10 == 9 { urgent(n) } else { numbered(n) })
                .await?;
        }
        let mut seen = Vec::new();
        while seen.last() != Some(&99) {
            seen.push(number(&*reader.event().await?)?);
        }
        ensure!(
            seen.is_sorted_by(|one, next| one < next),
            "{overflow:?}: out of order or twice: {seen:?}"
        );
        let urgent: Vec<u64> = seen.iter().copied().filter(|n| n % 10 == 9).collect();
        ensure_eq!(urgent.len(), 10, "{overflow:?}: immediate events");
    }
    session.finish().await
}

/// Batching does not lose what a member of a group had gathered when it leaves.
pub async fn gathered_events_of_a_leaving_member_are_handed_over(
    fixture: &dyn Fixture,
) -> ClauseResult {
    let session = Session::open(
        fixture,
        &[Need::Batching, Need::Groups, Need::GroupRedelivery],
    )
    .await?;
    let options = SubscribeOptions::new().group("workers");
    let gathers = options.clone().batch(BatchPolicy::new().max_size(100));
    let mut leaves = session.subscribe(TOPIC, gathers).await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    leaves.expect_quiet().await?;
    let mut stays = session.subscribe(TOPIC, options).await?;
    leaves.unsubscribe().await?;
    let mut seen = stays.numbers(10).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..10),
        "wanted each of 0..10 once, saw {seen:?}"
    );
    session.finish().await
}

async fn gather(session: &Session, policy: BatchPolicy) -> Result<Reader, Unmet> {
    session
        .subscribe(TOPIC, SubscribeOptions::new().batch(policy))
        .await
}

fn urgent(number: u64) -> NewEvent {
    NewEvent::new("urgent", "r").with_data(json(number.to_string()))
}

fn is_urgent(event: &Event) -> bool {
    event.event_type == "urgent"
}
