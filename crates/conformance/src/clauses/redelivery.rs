//! Acks, nacks and what follows from them.

use std::time::Duration;

use bowline_events::{Delivery, EventId, SubscribeOptions};

use crate::reader::Reader;
use crate::session::{Session, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "redelivery";
const GROUPED: &[Need] = &[Need::Groups, Need::GroupRedelivery];

/// A nacked event comes again, as the next attempt and with the same id, until it is acked.
pub async fn a_nack_redelivers_with_the_next_attempt(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, GROUPED).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    let attempts = session
        .capabilities
        .max_deliveries
        .unwrap_or(u32::MAX)
        .min(3);
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    for attempt in 1..attempts {
        let delivery = expect_attempt(&mut member, &mut id, attempt).await?;
        session.within("nack", delivery.nack()).await??;
    }
    let delivery = expect_attempt(&mut member, &mut id, attempts).await?;
    member.ack(delivery).await?;
    member.expect_quiet().await?;
    session.finish().await
}

/// Dropping a grouped delivery unsettled is a nack.
pub async fn dropping_is_a_nack(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, GROUPED).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    drop(expect_attempt(&mut member, &mut id, 1).await?);
    let delivery = expect_attempt(&mut member, &mut id, 2).await?;
    member.ack(delivery).await?;
    member.expect_quiet().await?;
    session.finish().await
}

/// A released event comes again as the same attempt, however often.
pub async fn a_release_is_not_counted(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, GROUPED).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    for _ in 0..10 {
        let delivery = expect_attempt(&mut member, &mut id, 1).await?;
        session.within("release", delivery.release()).await??;
    }
    let delivery = expect_attempt(&mut member, &mut id, 1).await?;
    member.ack(delivery).await?;
    session.finish().await
}

/// Acked events never come again: not when other events are nacked, not when the member leaves and another one joins.
pub async fn acked_events_are_done(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, GROUPED).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish_numbers(TOPIC, 0..10).await?;
    let mut refused = 0;
    while refused < 10 {
        let delivery = member.delivery().await?;
        let done = number(&delivery)?.is_multiple_of(2) || delivery.delivery_attempt > 1;
        if done {
            member.ack(delivery).await?;
        } else {
            session.within("nack", delivery.nack()).await??;
        }
        refused += u32::from(done);
    }
    member.expect_quiet().await?;
    let mut heir = session.join(TOPIC, "workers").await?;
    member.unsubscribe().await?;
    heir.expect_quiet().await?;
    session.publish(TOPIC, numbered(99)).await?;
    heir.expect_numbers(99..100).await?;
    session.finish().await
}

/// A nacked event holds nobody up: the events behind it are delivered all the same.
pub async fn a_nack_blocks_nothing(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, GROUPED).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish_numbers(TOPIC, 0..50).await?;
    let mut first = Vec::new();
    let mut again = Vec::new();
    while first.len() + again.len() < 60 {
        let delivery = member.delivery().await?;
        let n = number(&delivery)?;
        if delivery.delivery_attempt > 1 {
            again.push(n);
            member.ack(delivery).await?;
        } else {
            first.push(n);
            if n % 5 == 0 {
                session.within("nack", delivery.nack()).await??;
            } else {
                member.ack(delivery).await?;
            }
        }
    }
    first.sort_unstable();
    again.sort_unstable();
    ensure!(
        first.iter().copied().eq(0..50),
        "wanted each of 0..50 once as attempt 1, saw {first:?}"
    );
    ensure!(
        again.iter().copied().eq((0..50).step_by(5)),
        "wanted the refused ones again, saw {again:?}"
    );
    member.expect_quiet().await?;
    session.finish().await
}

/// A redelivery is the affair of its group: other groups and ungrouped subscribers do not see it.
pub async fn a_redelivery_stays_in_its_group(fixture: &dyn Fixture) -> ClauseResult {
    let needs = [Need::Groups, Need::GroupRedelivery, Need::PrivateRedelivery];
    let session = Session::open(fixture, &needs).await?;
    let mut refuses = session.join(TOPIC, "refuses").await?;
    let mut accepts = session.join(TOPIC, "accepts").await?;
    let mut plain = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    let delivery = expect_attempt(&mut refuses, &mut id, 1).await?;
    session.within("nack", delivery.nack()).await??;
    let delivery = expect_attempt(&mut refuses, &mut id, 2).await?;
    refuses.ack(delivery).await?;
    accepts.expect_numbers(0..1).await?;
    plain.expect_numbers(0..1).await?;
    accepts.expect_quiet().await?;
    plain.expect_quiet().await?;
    session.finish().await
}

/// Where a redelivery is shared, the other groups and the ungrouped subscribers see it once, as the next attempt of the same
/// event.
pub async fn a_shared_redelivery_is_the_next_attempt_for_all(
    fixture: &dyn Fixture,
) -> ClauseResult {
    let needs = [Need::Groups, Need::GroupRedelivery, Need::SharedRedelivery];
    let session = Session::open(fixture, &needs).await?;
    let mut refuses = session.join(TOPIC, "refuses").await?;
    let mut accepts = session.join(TOPIC, "accepts").await?;
    let mut plain = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    let delivery = expect_attempt(&mut refuses, &mut id, 1).await?;
    session.within("nack", delivery.nack()).await??;
    for reader in [&mut accepts, &mut plain] {
        let delivery = expect_attempt(reader, &mut id, 1).await?;
        reader.ack(delivery).await?;
    }
    for reader in [&mut refuses, &mut accepts, &mut plain] {
        let delivery = expect_attempt(reader, &mut id, 2).await?;
        reader.ack(delivery).await?;
        reader.expect_quiet().await?;
    }
    session.finish().await
}

/// An event that is refused as often as the declared cap allows is not delivered again, and those behind it are.
pub async fn redelivery_stops_at_the_cap(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(
        fixture,
        &[Need::Groups, Need::GroupRedelivery, Need::DeliveryCap],
    )
    .await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    for attempt in 1..=session.capabilities.max_deliveries.unwrap_or(1) {
        let delivery = expect_attempt(&mut member, &mut id, attempt).await?;
        session.within("nack", delivery.nack()).await??;
    }
    session.publish(TOPIC, numbered(1)).await?;
    member.expect_numbers(1..2).await?;
    member.expect_quiet().await?;
    session.finish().await
}

/// Without a cap, the twentieth refusal still leads to a redelivery.
pub async fn redelivery_without_a_cap_goes_on(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(
        fixture,
        &[Need::Groups, Need::GroupRedelivery, Need::NoDeliveryCap],
    )
    .await?;
    let mut member = session.join(TOPIC, "workers").await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    for attempt in 1..=20 {
        let delivery = expect_attempt(&mut member, &mut id, attempt).await?;
        session.within("nack", delivery.nack()).await??;
    }
    let delivery = expect_attempt(&mut member, &mut id, 21).await?;
    member.ack(delivery).await?;
    session.finish().await
}

/// A nacked ungrouped event comes again to the subscriber that refused it, and only to that one.
pub async fn a_fan_out_nack_returns_to_its_subscriber(fixture: &dyn Fixture) -> ClauseResult {
    let needs = [Need::FanoutRedelivery, Need::PrivateRedelivery];
    let session = Session::open(fixture, &needs).await?;
    let mut refuses = session.listen(TOPIC).await?;
    let mut accepts = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    let delivery = expect_attempt(&mut refuses, &mut id, 1).await?;
    session.within("nack", delivery.nack()).await??;
    let delivery = expect_attempt(&mut refuses, &mut id, 2).await?;
    refuses.ack(delivery).await?;
    accepts.expect_numbers(0..1).await?;
    accepts.expect_quiet().await?;
    refuses.expect_quiet().await?;
    session.finish().await
}

/// An ungrouped event that its subscriber refuses as often as the declared cap allows does not come again.
pub async fn fan_out_redelivery_stops_at_the_cap(fixture: &dyn Fixture) -> ClauseResult {
    let needs = [Need::FanoutRedelivery, Need::DeliveryCap];
    let session = Session::open(fixture, &needs).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    for attempt in 1..=session.capabilities.max_deliveries.unwrap_or(1) {
        let delivery = expect_attempt(&mut reader, &mut id, attempt).await?;
        session.within("nack", delivery.nack()).await??;
    }
    session.publish(TOPIC, numbered(1)).await?;
    reader.expect_numbers(1..2).await?;
    reader.expect_quiet().await?;
    session.finish().await
}

/// A delivery that is held longer than the lease goes to another member as the next attempt; settling it late changes nothing.
pub async fn an_expired_lease_frees_the_event(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedeliveryMoves]).await?;
    let options = SubscribeOptions::new()
        .group("workers")
        .lease(Duration::from_millis(100));
    let mut hangs = session.subscribe(TOPIC, options.clone()).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let mut id = None;
    let held = expect_attempt(&mut hangs, &mut id, 1).await?;
    let mut works = session
        .subscribe(TOPIC, options.lease(Duration::from_secs(60)))
        .await?;
    let delivery = expect_attempt(&mut works, &mut id, 2).await?;
    drop(session.within("late nack", held.nack()).await?);
    works.expect_quiet().await?;
    works.ack(delivery).await?;
    works.expect_quiet().await?;
    hangs.expect_quiet().await?;
    session.finish().await
}

/// A delivery whose lease is renewed stays with its member for longer than the lease.
pub async fn a_renewed_lease_keeps_the_event(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedeliveryMoves]).await?;
    let lease = Duration::from_secs(2);
    let options = SubscribeOptions::new().group("workers").lease(lease);
    let mut works = session.subscribe(TOPIC, options.clone()).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let delivery = works.delivery().await?;
    let mut other = session.subscribe(TOPIC, options).await?;
    for _ in 0..30 {
        tokio::time::sleep(lease / 20).await;
        session.within("renew", delivery.renew()).await??;
        for member in [&mut works, &mut other] {
            let taken = member.ready().await;
            ensure!(
                taken.is_none(),
                "the event came again while its lease was renewed"
            );
        }
    }
    works.ack(delivery).await?;
    works.expect_quiet().await?;
    other.expect_quiet().await?;
    session.finish().await
}

/// The next delivery, which must be `attempt` of one and the same event.
async fn expect_attempt(
    member: &mut Reader,
    id: &mut Option<EventId>,
    attempt: u32,
) -> Result<Delivery, Unmet> {
    let delivery = member
        .delivery()
        .await
        .map_err(|unmet| unmet.within(format!("waiting for attempt {attempt}")))?;
    ensure_eq!(delivery.delivery_attempt, attempt, "attempt");
    let id = id.get_or_insert_with(|| delivery.id.clone());
    ensure_eq!(delivery.id, *id, "id of attempt {attempt}");
    Ok(delivery)
}
