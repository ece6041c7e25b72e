//! Arguments that a careless or hostile caller passes.

use std::fmt;
use std::time::Duration;

use bowline_events::{
    BatchPolicy, Error, NewEvent, Payload, PublishOptions, StartFrom, SubscribeOptions, Topic,
};

use crate::session::{Session, json, numbered};
use crate::verdict::ensure;
use crate::{ClauseResult, Fixture, Unmet};

const TOPIC: &str = "hostile";

/// Extreme options are refused with a typed error or do something sensible; the bus works afterwards.
pub async fn extreme_options_leave_the_bus_usable(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let topic = Topic::from(TOPIC);
    let options = || SubscribeOptions::new();
    let mut no_buffer = BatchPolicy::new();
    no_buffer.max_buffer = 0;
    no_buffer.max_size = Some(0);
    let extremes = [
        options().start(StartFrom::Offset(u64::MAX)),
        options().group("g").start(StartFrom::Offset(u64::MAX)),
        options().group("x".repeat(100_000)),
        options().group("g").lease(Duration::ZERO),
        options().group("g").lease(Duration::MAX),
        options().batch(no_buffer.clone()),
        options().group("g").batch(no_buffer),
        options().batch(
            BatchPolicy::new()
                .max_buffer(usize::MAX)
                .max_size(usize::MAX),
        ),
        options().batch(
            BatchPolicy::new()
                .max_wait(Duration::MAX)
                .min_interval(Duration::MAX),
        ),
    ];
    for (n, options) in extremes.into_iter().enumerate() {
        let outcome = session
            .within(
                "subscribe",
                session.subscriber.subscribe_with(&topic, options),
            )
            .await?;
        session.publish(TOPIC, numbered(n as u64)).await?;
        match outcome {
            // Whether something comes is open; taking and dropping it must do no harm.
            Ok(mut subscription) => {
                drop(tokio::time::timeout(session.settle, subscription.next()).await);
            }
            Err(error) => expect_explained(&error)?,
        }
        expect_usable(&session)
            .await
            .map_err(|unmet| unmet.within(format!("after subscribe options {n}")))?;
    }
    session.finish().await
}

/// Extreme positions and limits are refused with a typed error or do something sensible; the bus works afterwards.
pub async fn extreme_positions_leave_the_bus_usable(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let topic = Topic::from(TOPIC);
    session.publish_numbers(TOPIC, 0..3).await?;
    for (offset, limit) in [
        (u64::MAX, usize::MAX),
        (u64::MAX, 0),
        (0, usize::MAX),
        (u64::MAX - 1, 2),
    ] {
        if let Err(error) = session
            .within("history", session.subscriber.history(&topic, offset, limit))
            .await?
        {
            expect_explained(&error)?;
        }
    }
    expect_usable(&session).await?;
    if let Err(error) = session
        .within(
            "trim_topic",
            session.subscriber.trim_topic(&topic, u64::MAX),
        )
        .await?
    {
        expect_explained(&error)?;
    }
    expect_usable(&session).await?;
    session.finish().await
}

/// A value that cannot be serialised and data that is not JSON harm nobody but their publisher.
pub async fn unserialisable_data_leaves_the_bus_usable(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    ensure!(
        Payload::json(&b"{\"a\":"[..]).is_err(),
        "incomplete JSON was accepted as a payload"
    );
    ensure!(
        Payload::json(&b"\"\xff\""[..]).is_err(),
        "invalid UTF-8 was accepted as a payload"
    );
    let mut bystander = session.listen(TOPIC).await?;
    let topic = Topic::from(TOPIC);
    let event = NewEvent::new("broken", "r").with_data(Payload::local(Unwritable));
    let publish = session
        .publisher
        .publish_with(&topic, event, PublishOptions::default());
    match session.within("publish", publish).await? {
        // By reference it can be delivered: the value is only broken for whoever needs bytes.
        Ok(_) => ensure!(
            bystander.event().await?.data.to_json().is_err(),
            "an unwritable value was written"
        ),
        Err(error) => expect_explained(&error)?,
    }
    session.publish(TOPIC, numbered(0)).await?;
    bystander.expect_numbers(0..1).await?;
    session.finish().await
}

/// Data that looks like a frame, an envelope or a terminator of the transport is just data.
pub async fn data_cannot_break_out(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let mut victim = session.listen("victim").await?;
    let escapes = [
        r#"{"type":"publish","topic":"victim","event":{"type":"x","runId":"r","data":1}}"#,
        r#""\n{\"type\":\"publish\",\"topic\":\"victim\",\"event\":{\"type\":\"x\",\"runId\":\"r\"}}\n""#,
        r#""\r\nPUBLISH victim x\r\n""#,
        r#"{"type":"close"}"#,
    ];
    for text in escapes {
        let type_text = format!("x\n{text}\n");
        session
            .publish(
                TOPIC,
                NewEvent::new(type_text.clone(), text).with_data(json(text)),
            )
            .await?;
        let event = reader.event().await?;
        ensure!(
            event.event_type == *type_text,
            "the type arrived as {:?}",
            event.event_type
        );
        ensure!(
            event.data.to_json()? == text,
            "the data {text} arrived as {:?}",
            event.data
        );
    }
    victim.expect_quiet().await?;
    expect_usable(&session).await?;
    session.finish().await
}

/// A panic in a callback of a batch policy hits at most its own subscription.
pub async fn panicking_policies_harm_nobody_else(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[crate::Need::Batching]).await?;
    let mut bystander = session.listen(TOPIC).await?;
    let topic = Topic::from(TOPIC);
    let policy = BatchPolicy::new()
        .max_size(1)
        .immediate_if(|_| std::panic::resume_unwind(Box::new("immediate_if")));
    let subscribe = session
        .subscriber
        .subscribe_with(&topic, SubscribeOptions::new().batch(policy));
    let mut panics = session.within("subscribe", subscribe).await??;
    session.publish_numbers(TOPIC, 0..5).await?;
    let reads = tokio::spawn(async move {
        let _ = panics.next().await;
    });
    bystander.expect_numbers(0..5).await?;
    reads.abort();
    // Whether the policy panicked, was contained or never ran, the task is over.
    drop(session.within("the reader with the policy", reads).await?);
    expect_usable(&session).await?;
    session.finish().await
}

/// A value whose serialisation fails.
#[derive(Debug)]
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("this value cannot be written"))
    }
}

async fn expect_usable(session: &Session) -> ClauseResult {
    let topic = "usable";
    let mut reader = session.listen(topic).await?;
    session.publish_numbers(topic, 0..3).await?;
    reader.expect_numbers(0..3).await?;
    reader.unsubscribe().await
}

/// An error says in one line what is wrong.
fn expect_explained(error: &Error) -> ClauseResult {
    let line = error.to_string();
    ensure!(
        !error.message().is_empty(),
        "an error without a message: {}",
        Shown(error)
    );
    ensure!(!line.contains('\n'), "an error of several lines: {line:?}");
    Ok::<_, Unmet>(())
}

struct Shown<'a>(&'a Error);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.0.kind(), self.0.operation())
    }
}
