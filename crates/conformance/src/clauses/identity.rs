//! What the transport assigns to an event, and what it leaves alone.

use std::collections::HashSet;

use bowline_events::{NewEvent, SubscribeOptions, Timestamp};
use bytes::Bytes;

use crate::session::{Session, is_same, json, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture};

const TOPIC: &str = "identity";
const A_MINUTE: i64 = 60_000;

/// Every event has an id of its own, all subscribers see the same one, and a receipt that names one names that one.
///
/// Where a caching layer gives events an index, that identifies them instead: its history may keep copies with other ids.
pub async fn ids_are_unique_and_the_same_for_all(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut first = session.listen(TOPIC).await?;
    let mut second = session
        .subscribe_on(&session.publisher, TOPIC, SubscribeOptions::new())
        .await?;
    let mut ids = HashSet::new();
    for n in 0..200 {
        let receipt = session.publish(TOPIC, numbered(n)).await?;
        let (event, other) = (first.event().await?, second.event().await?);
        ensure!(
            is_same(&event, &other),
            "event {n} has the id {} for one subscriber and {} for another",
            event.id,
            other.id
        );
        if let (Some(said), None) = (receipt.id, event.index) {
            ensure_eq!(event.id, said, "id against the receipt");
        }
        ensure!(
            !event.id.to_string().is_empty(),
            "event {n} has an empty id"
        );
        ensure!(
            ids.insert(event.id.clone()),
            "the id {} came twice",
            event.id
        );
    }
    session.finish().await
}

/// `created_at` is the time of publishing, give or take a minute of clock skew, and the same for all subscribers.
pub async fn creation_time_is_that_of_publishing(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut first = session.listen(TOPIC).await?;
    let mut second = session
        .subscribe_on(&session.publisher, TOPIC, SubscribeOptions::new())
        .await?;
    let before = Timestamp::now().as_millis() - A_MINUTE;
    session.publish(TOPIC, numbered(0)).await?;
    let created = first.event().await?.created_at;
    let after = Timestamp::now().as_millis() + A_MINUTE;
    ensure!(
        (before..=after).contains(&created.as_millis()),
        "created at {created:?}, which is not within {before}..={after}"
    );
    ensure_eq!(
        second.event().await?.created_at,
        created,
        "time at the second subscriber"
    );
    session.finish().await
}

/// The first delivery of an event is attempt 1, grouped or not.
pub async fn first_delivery_is_attempt_one(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut plain = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    ensure_eq!(plain.event().await?.delivery_attempt, 1, "attempt");
    if session.capabilities.groups {
        let mut member = session.join(TOPIC, "workers").await?;
        session.publish(TOPIC, numbered(1)).await?;
        ensure_eq!(
            member.event().await?.delivery_attempt,
            1,
            "attempt in a group"
        );
    }
    session.finish().await
}

/// Type and run id are any strings and arrive unchanged.
pub async fn type_and_run_id_are_opaque(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let texts = [
        "",
        " ",
        "a.b-c",
        "\"quoted\\\"",
        "line\nfeed\r\t",
        "nul\0nul",
        "żółw 🐢 \u{2028}",
        "__proto__",
    ];
    for text in texts {
        let event = NewEvent::new(text.to_owned(), format!("run {text}")).with_data(json("1"));
        session.publish(TOPIC, event).await?;
        let seen = reader.event().await?;
        ensure_eq!(seen.event_type.as_str(), text, "type");
        ensure_eq!(seen.run_id.as_str(), format!("run {text}"), "run id");
    }
    session.finish().await
}

/// Members that nobody knows arrive unchanged and in order.
pub async fn unknown_members_are_preserved(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let members = [
        (
            "traceparent",
            r#""00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01""#,
        ),
        ("priority", "5"),
        ("a \"quoted\" key\n", r#"{"nested":[1,2,{"x":null}]}"#),
        ("schlüssel", "true"),
        ("z", "12345678901234567890123"),
    ];
    let mut event = numbered(0);
    event.extra = Some(Box::new(
        members
            .iter()
            .map(|(key, value)| ((*key).into(), Bytes::from_static(value.as_bytes())))
            .collect(),
    ));
    session.publish(TOPIC, event).await?;
    let seen = reader.event().await?;
    let extra = seen.extra.as_deref().map(Vec::as_slice).unwrap_or_default();
    let extra: Vec<_> = extra
        .iter()
        .map(|(key, value)| (key.as_str(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let wanted: Vec<_> = members
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect();
    ensure_eq!(extra, wanted, "unknown members");
    session.finish().await
}

/// An unknown member that is called like a known one does not replace it: the publish is refused, or the event arrives as itself.
pub async fn unknown_members_cannot_shadow_known_ones(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let forged = [
        ("id", r#""forged""#),
        ("type", r#""forged""#),
        ("runId", r#""forged""#),
        ("data", r#""forged""#),
        ("createdAt", r#""1970-01-01T00:00:00.000Z""#),
        ("deliveryAttempt", "9"),
    ];
    for (n, (key, value)) in forged.into_iter().enumerate() {
        let mut event = numbered(n as u64);
        event.extra = Some(Box::new(vec![(
            key.into(),
            Bytes::from_static(value.as_bytes()),
        )]));
        let topic = TOPIC.into();
        let publish = session
            .publisher
            .publish_with(&topic, event, Default::default());
        if session.within("publish", publish).await?.is_err() {
            continue;
        }
        let seen = reader.event().await?;
        ensure_eq!(
            seen.event_type.as_str(),
            "conformance.event",
            "type with a forged {key}"
        );
        ensure_eq!(seen.run_id.as_str(), "run-1", "run id with a forged {key}");
        ensure_eq!(
            seen.data.to_json()?,
            n.to_string(),
            "data with a forged {key}"
        );
        ensure!(
            seen.id.to_string() != "forged",
            "the forged id was taken over"
        );
        ensure!(
            seen.created_at.as_millis() != 0,
            "the forged time was taken over"
        );
        ensure_eq!(seen.delivery_attempt, 1, "attempt with a forged {key}");
    }
    session.finish().await
}

/// An `index` and a `generation` that a caching layer assigned arrive unchanged, unless this bus is one and assigns its own.
pub async fn index_and_generation_are_preserved(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    let bare = reader.event().await?;
    let mut event = numbered(1);
    event.index = Some(41);
    event.generation = Some("g-1".into());
    session.publish(TOPIC, event).await?;
    let seen = reader.event().await?;
    if bare.index.is_none() {
        ensure_eq!(seen.index, Some(41), "index");
    } else {
        ensure_eq!(
            seen.index,
            bare.index.map(|index| index + 1),
            "index assigned by this bus"
        );
    }
    if bare.generation.is_none() {
        ensure_eq!(seen.generation.as_deref(), Some("g-1"), "generation");
    }
    ensure_eq!(number(&seen)?, 1, "data");
    session.finish().await
}

/// An event that is published onward ([`Event::to_new`](bowline_events::Event::to_new)) is a new event: it has a new id and attempt 1.
pub async fn forwarded_events_are_stamped_anew(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(3)).await?;
    let original = reader.event().await?;
    session
        .publish(TOPIC, original.with_attempt(7).to_new())
        .await?;
    let copy = reader.event().await?;
    ensure!(
        copy.id != original.id,
        "the copy has the id {} of the original",
        copy.id
    );
    ensure_eq!(copy.delivery_attempt, 1, "attempt of the copy");
    ensure_eq!(number(&copy)?, 3, "data of the copy");
    session.finish().await
}
