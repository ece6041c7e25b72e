//! Members of a group share the events.

use std::collections::BTreeSet;

use bowline_events::{Delivery, SubscribeOptions};

use super::{drain, drain_some, drain_until};
use crate::seed::{Numbers, Seed};
use crate::session::{Session, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "groups";

/// Each event goes to exactly one member of the group, whichever handle the members use.
pub async fn each_event_goes_to_one_member(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut members = Vec::new();
    for n in 0..4 {
        let bus = if n % 2 == 0 {
            &session.subscriber
        } else {
            &session.publisher
        };
        let options = SubscribeOptions::new().group("workers");
        members.push(session.subscribe_on(bus, TOPIC, options).await?);
    }
    session.publish_numbers(TOPIC, 0..100).await?;
    let mut seen = drain_until(&session, &mut members, 100).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..100),
        "wanted each of 0..100 once, saw {seen:?}"
    );
    for member in &mut members {
        member.expect_quiet().await?;
    }
    session.finish().await
}

/// When all members stand ready, none of them goes short: each gets at least half of an equal share.
pub async fn work_is_shared_among_ready_members(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(session.join(TOPIC, "workers").await?);
    }
    let mut shares = [0_u64; 3];
    for n in 0..60 {
        ensure!(drain(&mut members).await?.is_empty(), "an event came twice");
        session.publish(TOPIC, numbered(n)).await?;
        for (member, seen) in drain_some(&session, &mut members).await? {
            ensure_eq!(seen, n, "next event of the group");
            shares[member] += 1;
        }
    }
    ensure!(
        shares.iter().all(|share| *share >= 10),
        "60 events were shared as {shares:?} among 3 ready members"
    );
    session.finish().await
}

/// Two groups on one topic each get everything.
pub async fn every_group_gets_every_event(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut one = [
        session.join(TOPIC, "one").await?,
        session.join(TOPIC, "one").await?,
    ];
    let mut two = [
        session.join(TOPIC, "two").await?,
        session.join(TOPIC, "two").await?,
    ];
    session.publish_numbers(TOPIC, 0..40).await?;
    for group in [&mut one, &mut two] {
        let seen: BTreeSet<u64> = drain_until(&session, group, 40)
            .await?
            .into_iter()
            .collect();
        ensure_eq!(seen.len(), 40, "different events in the group");
    }
    session.finish().await
}

/// Ungrouped subscribers get everything beside a group.
pub async fn groups_and_fan_out_live_side_by_side(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut plain = session.listen(TOPIC).await?;
    let mut group = [
        session.join(TOPIC, "workers").await?,
        session.join(TOPIC, "workers").await?,
    ];
    session.publish_numbers(TOPIC, 0..30).await?;
    plain.expect_numbers(0..30).await?;
    plain.expect_quiet().await?;
    let mut seen = drain_until(&session, &mut group, 30).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..30),
        "wanted each of 0..30 once in the group, saw {seen:?}"
    );
    session.finish().await
}

/// Any string names a group, the empty one too, and different strings are different groups.
pub async fn group_names_are_opaque(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let names = [
        "",
        " ",
        "a",
        "A",
        "a:b",
        "a\0",
        "a\nb",
        "\"",
        "żółw 🐢",
        "undefined",
        "null",
    ];
    let mut members = Vec::new();
    for name in names {
        members.push(session.join(TOPIC, name).await?);
    }
    session.publish_numbers(TOPIC, 0..5).await?;
    for (member, name) in members.iter_mut().zip(names) {
        let told = async {
            let mut seen = member.numbers(5).await?;
            seen.sort_unstable();
            ensure_eq!(seen, [0, 1, 2, 3, 4], "events of the group");
            member.expect_quiet().await
        };
        told.await
            .map_err(|unmet| unmet.within(format!("group {name:?}")))?;
    }
    session.finish().await
}

/// The same group name on two topics is two groups.
pub async fn groups_belong_to_their_topic(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut one = session.join("groups-1", "workers").await?;
    let mut two = session.join("groups-2", "workers").await?;
    session.publish_numbers("groups-1", 0..10).await?;
    session.publish_numbers("groups-2", 100..110).await?;
    one.expect_numbers(0..10).await?;
    two.expect_numbers(100..110).await?;
    one.expect_quiet().await?;
    two.expect_quiet().await?;
    session.finish().await
}

/// A member that joins later gets a share of what follows.
pub async fn a_joining_member_takes_part(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut members = vec![session.join(TOPIC, "workers").await?];
    session.publish_numbers(TOPIC, 0..10).await?;
    members[0].expect_numbers(0..10).await?;
    members.push(session.join(TOPIC, "workers").await?);
    let mut joined = 0;
    for n in 10..30 {
        ensure!(drain(&mut members).await?.is_empty(), "an event came twice");
        session.publish(TOPIC, numbered(n)).await?;
        let taken = drain_some(&session, &mut members).await?;
        joined += taken.iter().filter(|(member, _)| *member == 1).count();
    }
    ensure!(
        joined >= 5,
        "the member that joined got {joined} of 20 events"
    );
    session.finish().await
}

/// When a member unsubscribes, the others get everything that is published afterwards.
pub async fn a_leaving_member_gets_nothing_more(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut stays = session.join(TOPIC, "workers").await?;
    let leaves = session.join(TOPIC, "workers").await?;
    leaves.unsubscribe().await?;
    session.publish_numbers(TOPIC, 0..40).await?;
    let mut seen = stays.numbers(40).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..40),
        "wanted each of 0..40 once, saw {seen:?}"
    );
    session.finish().await
}

/// What a leaving member had got but not settled, and what was waiting for it, goes to the members that stay.
pub async fn a_leaving_member_hands_its_work_over(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedelivery]).await?;
    let mut stays = session.join(TOPIC, "workers").await?;
    let mut leaves = session.join(TOPIC, "workers").await?;
    session.publish_numbers(TOPIC, 0..20).await?;
    let mut patience = session.patience("an event for one of two members");
    let held = loop {
        match leaves.ready().await {
            Some(item) => break item,
            None => patience.spend().await?,
        }
    };
    drop(leaves);
    drop(held);
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        let event = stays.event().await;
        let event =
            event.map_err(|unmet| unmet.within(format!("the staying member has {seen:?}")))?;
        seen.insert(number(&event)?);
    }
    session.finish().await
}

/// While a member holds a delivery, no other member gets that event.
pub async fn a_held_delivery_belongs_to_its_member(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups]).await?;
    let mut members = [
        session.join(TOPIC, "workers").await?,
        session.join(TOPIC, "workers").await?,
    ];
    session.publish(TOPIC, numbered(0)).await?;
    let mut patience = session.patience("an event for a member");
    let mut held = None;
    while held.is_none() {
        for (n, member) in members.iter_mut().enumerate() {
            if let Some(item) = member.ready().await {
                held = Some((n, item));
            }
        }
        patience.spend().await?;
    }
    let Some((holder, Some(Ok(delivery)))) = held else {
        return Err(Unmet::violated(
            "wanted a delivery, saw a notice or the end",
        ));
    };
    members[1 - holder].expect_quiet().await?;
    session.within("ack", delivery.ack()).await??;
    for member in &mut members {
        member.expect_quiet().await?;
    }
    session.finish().await
}

/// Whatever the members of a group do (join, leave, ack, nack, release, drop), each event is acked once, and no acked event
/// comes again.
///
/// What they do is random; a failure names the seed, and [`Seed::VARIABLE`] repeats it.
pub async fn unsteady_members_do_all_the_work(fixture: &dyn Fixture) -> ClauseResult {
    let seed = Seed::choose();
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedelivery]).await?;
    work_unsteadily(&session, seed)
        .await
        .map_err(|unmet| unmet.within(seed))?;
    session.finish().await
}

async fn work_unsteadily(session: &Session, seed: Seed) -> ClauseResult {
    const EVENTS: u64 = 200;
    let mut random = seed.numbers();
    // One member stays, so that the group lives throughout.
    let mut members = vec![session.join(TOPIC, "workers").await?];
    let (mut published, mut acked) = (0, BTreeSet::new());
    let mut patience = session.patience("all the work to be done");
    while acked.len() < EVENTS as usize {
        let burst = random.below(8).min(EVENTS - published);
        session
            .publish_numbers(TOPIC, published..published + burst)
            .await?;
        published += burst;
        match random.below(6) {
            0 if members.len() < 4 => members.push(session.join(TOPIC, "workers").await?),
            1 if members.len() > 1 => members.swap_remove(1).unsubscribe().await?,
            2 if members.len() > 1 => drop(members.swap_remove(1)),
            _ => {}
        }
        for member in &mut members {
            for _ in 0..random.below(5) {
                let Some(item) = member.ready().await else {
                    break;
                };
                let delivery = item.ok_or_else(|| Unmet::violated("the stream ended"))??;
                settle_somehow(session, delivery, &mut random, &mut acked).await?;
            }
        }
        if published == EVENTS {
            let spent = patience.spend().await;
            spent.map_err(|unmet| unmet.within(format!("{} of {EVENTS} acked", acked.len())))?;
        }
    }
    for member in &mut members {
        member.expect_quiet().await?;
    }
    Ok(())
}

async fn settle_somehow(
    session: &Session,
    delivery: Delivery,
    random: &mut Numbers,
    acked: &mut BTreeSet<u64>,
) -> ClauseResult {
    let n = number(&delivery)?;
    ensure!(!acked.contains(&n), "event {n} came after it was acked");
    // The second refusal is the last: no cap is reached.
    let patient = delivery.delivery_attempt < 2;
    match random.below(8) {
        0 if patient => session.within("nack", delivery.nack()).await??,
        1 if patient => drop(delivery),
        2 => session.within("release", delivery.release()).await??,
        _ => {
            session.within("ack", delivery.ack()).await??;
            acked.insert(n);
        }
    }
    Ok(())
}
