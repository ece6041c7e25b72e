//! Every ungrouped subscriber gets every event.

use bowline_events::SubscribeOptions;

use crate::session::{Session, numbered};
use crate::{ClauseResult, Fixture, Need};

const TOPIC: &str = "fan-out";

/// Eight subscribers, on both handles, each get every event once.
pub async fn fan_out_reaches_every_subscriber(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut readers = Vec::new();
    for n in 0..8 {
        let bus = if n % 2 == 0 {
            &session.subscriber
        } else {
            &session.publisher
        };
        readers.push(
            session
                .subscribe_on(bus, TOPIC, SubscribeOptions::new())
                .await?,
        );
    }
    session.publish_numbers(TOPIC, 0..50).await?;
    for (n, reader) in readers.iter_mut().enumerate() {
        let told = reader.expect_numbers(0..50).await;
        told.map_err(|unmet| unmet.within(format!("subscriber {n}")))?;
        reader.expect_quiet().await?;
    }
    session.finish().await
}

/// A publisher that also subscribes gets its own events, once.
pub async fn publisher_receives_its_own_events(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut own = session
        .subscribe_on(&session.publisher, TOPIC, SubscribeOptions::new())
        .await?;
    session.publish_numbers(TOPIC, 0..20).await?;
    own.expect_numbers(0..20).await?;
    own.expect_quiet().await?;
    session.finish().await
}

/// Events travel in both directions: each handle reads what the other publishes.
pub async fn every_handle_publishes_and_subscribes(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut here = session
        .subscribe_on(&session.publisher, "there-to-here", SubscribeOptions::new())
        .await?;
    let mut there = session.listen("here-to-there").await?;
    for n in 0..20 {
        session
            .publish_on(&session.publisher, "here-to-there", numbered(n))
            .await?;
        session
            .publish_on(&session.subscriber, "there-to-here", numbered(n))
            .await?;
    }
    there.expect_numbers(0..20).await?;
    here.expect_numbers(0..20).await?;
    session.finish().await
}

/// An event published after `subscribe` resolved is delivered to that subscription, however often one repeats it.
pub async fn subscribing_resolves_when_live(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    for n in 0..50 {
        let mut reader = session.listen(TOPIC).await?;
        session.publish(TOPIC, numbered(n)).await?;
        let told = reader.expect_numbers(n..n + 1).await;
        told.map_err(|unmet| unmet.within(format!("round {n}")))?;
        reader.unsubscribe().await?;
    }
    session.finish().await
}

/// Publishing to a topic that nobody reads succeeds.
pub async fn publishing_needs_no_subscriber(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    session.publish_numbers("nobody-reads-this", 0..10).await?;
    session.publish_numbers("error", 0..1).await?;
    session.finish().await
}

/// Without redelivery, a nacked ungrouped event is not delivered again; acking and dropping change nothing either.
pub async fn ungrouped_events_need_no_settling(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::NoFanoutRedelivery]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..4).await?;
    session
        .within("ack", reader.delivery().await?.ack())
        .await??;
    session
        .within("nack", reader.delivery().await?.nack())
        .await??;
    session
        .within("release", reader.delivery().await?.release())
        .await??;
    drop(reader.delivery().await?);
    reader.expect_quiet().await?;
    session.finish().await
}

/// Dropping an ungrouped delivery is no nack: where nacks bring an ungrouped event again, drops do not.
pub async fn dropping_an_ungrouped_event_is_no_nack(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::FanoutRedelivery]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, 0..3).await?;
    drop(reader.delivery().await?);
    drop(reader.delivery().await?);
    drop(reader.delivery().await?);
    // Longer than the first redelivery of a nack would take.
    tokio::time::sleep(session.capabilities.redelivery_delay).await;
    reader.expect_quiet().await?;
    session.finish().await
}
