//! Values and events that stay in the process.

use bowline_events::{NewEvent, Payload, PublishOptions, SubscribeOptions, Topic};

use crate::session::{Session, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "local";

/// On a bus of one process a local value reaches all subscribers by reference, without being serialised.
pub async fn local_values_pass_by_reference(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::OneProcess]).await?;
    let mut first = session.listen(TOPIC).await?;
    let mut second = session.listen(TOPIC).await?;
    session
        .publish(
            TOPIC,
            NewEvent::new("local", "r").with_data(Payload::local(String::from("by reference"))),
        )
        .await?;
    let (first, second) = (first.event().await?, second.event().await?);
    ensure!(
        same_value(&first.data, &second.data)?,
        "the two subscribers got different values"
    );
    session.finish().await
}

/// A local-only event reaches the ungrouped subscribers of its own process, by reference.
pub async fn local_only_reaches_this_process(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::LocalOnly]).await?;
    let bus = &session.publisher;
    let mut first = session
        .subscribe_on(bus, TOPIC, SubscribeOptions::new())
        .await?;
    let mut second = session
        .subscribe_on(bus, TOPIC, SubscribeOptions::new())
        .await?;
    let event = NewEvent::new("local", "r").with_data(Payload::local(String::from("by reference")));
    publish_locally(&session, event).await?;
    let (one, two) = (first.event().await?, second.event().await?);
    ensure!(
        same_value(&one.data, &two.data)?,
        "the two subscribers got different values"
    );
    ensure_eq!(one.delivery_attempt, 1, "attempt");
    ensure_eq!(one.id, two.id, "ids");
    session.finish().await
}

/// A local-only event does not reach another participant, while ordinary events around it do.
pub async fn local_only_stays_in_the_process(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open_distinct(fixture, &[Need::LocalOnly]).await?;
    let mut there = session.listen(TOPIC).await?;
    publish_locally(&session, numbered(100)).await?;
    session.publish(TOPIC, numbered(0)).await?;
    publish_locally(&session, numbered(101)).await?;
    session.publish(TOPIC, numbered(1)).await?;
    there.expect_numbers(0..2).await?;
    there.expect_quiet().await?;
    session.finish().await
}

/// A local-only event goes to one member of each group of its own process.
pub async fn local_only_reaches_one_member_of_each_group(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::LocalOnly, Need::Groups]).await?;
    let bus = &session.publisher;
    let mut readers = Vec::new();
    for group in ["one", "one", "two", "two"] {
        readers.push(
            session
                .subscribe_on(bus, TOPIC, SubscribeOptions::new().group(group))
                .await?,
        );
    }
    let mut plain = session
        .subscribe_on(bus, TOPIC, SubscribeOptions::new())
        .await?;
    for n in 0..8 {
        publish_locally(&session, numbered(n)).await?;
    }
    plain.expect_numbers(0..8).await?;
    for group in readers.chunks_mut(2) {
        let mut seen = super::drain_until(&session, group, 8).await?;
        seen.sort_unstable();
        ensure!(
            seen.iter().copied().eq(0..8),
            "wanted each of 0..8 once in the group, saw {seen:?}"
        );
    }
    session.finish().await
}

async fn publish_locally(session: &Session, event: NewEvent) -> ClauseResult {
    let topic = Topic::from(TOPIC);
    let publish = session
        .publisher
        .publish_with(&topic, event, PublishOptions::LOCAL_ONLY);
    session.within("publish", publish).await??;
    Ok(())
}

fn same_value(first: &Payload, second: &Payload) -> Result<bool, Unmet> {
    let [first, second] = [first, second].map(|data| data.downcast_ref::<String>());
    match (first, second) {
        (Some(first), Some(second)) => Ok(std::ptr::eq(first, second)),
        _ => Err(Unmet::violated("a local value arrived serialised")),
    }
}
