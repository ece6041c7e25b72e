//! Unsubscribe, flush, close.

use std::sync::Arc;

use bowline_events::{ErrorKind, PublishOptions, Result as BusResult, SubscribeOptions, Topic};

use crate::session::{Session, all, number, numbered};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const TOPIC: &str = "lifecycle";

/// Of [`subscribers_come_and_go_at_once`].
const TASKS: u64 = 100;

/// Dropping a subscription unsubscribes: the other members of its group get everything, what was on its way included.
pub async fn dropping_unsubscribes(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedelivery]).await?;
    let mut stays = session.join(TOPIC, "workers").await?;
    drop(session.join(TOPIC, "workers").await?);
    session.publish_numbers(TOPIC, 0..20).await?;
    let mut seen = stays.numbers(20).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..20),
        "wanted each of 0..20 once, saw {seen:?}"
    );
    session.finish().await
}

/// A subscriber that leaves changes nothing for the others on the topic, and may come back.
pub async fn leaving_does_not_disturb_the_others(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut stays = session.listen(TOPIC).await?;
    for round in 0..10 {
        let (first, second) = (2 * round, 2 * round + 1);
        // Nothing is under way here: the one that stays has read it all.
        let mut leaves = session.listen(TOPIC).await?;
        session.publish(TOPIC, numbered(first)).await?;
        leaves.expect_numbers(first..second).await?;
        if round % 2 == 0 {
            leaves.unsubscribe().await?;
        } else {
            drop(leaves);
        }
        session.publish(TOPIC, numbered(second)).await?;
        stays.expect_numbers(first..second + 1).await?;
    }
    stays.expect_quiet().await?;
    session.finish().await
}

/// 100 tasks subscribe, publish, read and leave on one topic at once; each reads its own event, and the bus works afterwards.
pub async fn subscribers_come_and_go_at_once(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let session = Arc::new(session);
    all((0..TASKS).map(|task| come_and_go(Arc::clone(&session), task))).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish_numbers(TOPIC, TASKS..TASKS + 5).await?;
    // What the tasks published may still be under way to this participant: each task read its own event only.
    let mut first = number(&*reader.event().await?)?;
    while first < TASKS {
        first = number(&*reader.event().await?)?;
    }
    ensure_eq!(first, TASKS, "next event");
    reader.expect_numbers(TASKS + 1..TASKS + 5).await?;
    session.finish().await
}

async fn come_and_go(session: Arc<Session>, task: u64) -> ClauseResult {
    let mut options = SubscribeOptions::new();
    if session.capabilities.groups && task.is_multiple_of(4) {
        options = options.group(format!("group-{task}"));
    }
    let bus = if task.is_multiple_of(2) {
        &session.subscriber
    } else {
        &session.publisher
    };
    let mut reader = session.subscribe_on(bus, TOPIC, options).await?;
    session.publish(TOPIC, numbered(task)).await?;
    while number(&*reader.event().await?)? != task {}
    if task.is_multiple_of(3) {
        reader.unsubscribe().await?;
    }
    Ok(())
}

/// A subscribe future that is dropped halfway leaves nothing behind that takes events from a group.
pub async fn an_abandoned_subscribe_takes_nothing(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[Need::Groups, Need::GroupRedelivery]).await?;
    let mut member = session.join(TOPIC, "workers").await?;
    let topic = Topic::from(TOPIC);
    for _ in 0..20 {
        let options = SubscribeOptions::new().group("workers");
        let abandoned = session.subscriber.subscribe_with(&topic, options);
        drop(futures_util::future::poll_immediate(abandoned).await);
    }
    session.publish_numbers(TOPIC, 0..20).await?;
    let mut seen = member.numbers(20).await?;
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..20),
        "wanted each of 0..20 once, saw {seen:?}"
    );
    session.finish().await
}

/// `flush` returns, with and without traffic, also while a delivery is held.
pub async fn flush_returns(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    session.within("flush", session.publisher.flush()).await??;
    let mut options = SubscribeOptions::new();
    if session.capabilities.groups {
        options = options.group("workers");
    }
    let mut reader = session.subscribe(TOPIC, options).await?;
    session.publish_numbers(TOPIC, 0..50).await?;
    let held = reader.delivery().await?;
    session.within("flush", session.publisher.flush()).await??;
    session
        .within("flush", session.subscriber.flush())
        .await??;
    reader.ack(held).await?;
    reader.expect_numbers(1..50).await?;
    session.finish().await
}

/// Closing ends the streams of all subscriptions of the handle.
pub async fn close_ends_the_streams(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut readers = vec![
        session.listen(TOPIC).await?,
        session.listen("another").await?,
    ];
    if session.capabilities.groups {
        readers.push(session.join(TOPIC, "workers").await?);
    }
    session.publish(TOPIC, numbered(0)).await?;
    readers[0].expect_numbers(0..1).await?;
    session
        .within("close", session.subscriber.close())
        .await??;
    for (n, reader) in readers.iter_mut().enumerate() {
        // What was delivered before may still be read; then the end comes, and stays.
        while let Some(item) = reader
            .item()
            .await
            .map_err(|unmet| unmet.within(format!("subscription {n}")))?
        {
            drop(item?);
        }
        ensure!(
            reader.item().await?.is_none(),
            "subscription {n} goes on after its end"
        );
    }
    session.finish().await
}

/// A reader that waits when the bus is closed is woken and sees the end.
pub async fn close_wakes_waiting_readers(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let close = async {
        tokio::task::yield_now().await;
        session.within("close", session.subscriber.close()).await
    };
    let (item, closed) = futures_util::future::join(reader.item(), close).await;
    closed??;
    if let Some(item) = item? {
        let seen = item.map(|delivery| delivery.id.clone());
        return Err(Unmet::violated(format!(
            "wanted the end of the stream, saw {seen:?}"
        )));
    }
    session.finish().await
}

/// After `close` every operation that does something fails with `Closed`, and closing again succeeds.
pub async fn a_closed_bus_refuses(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let bus = &session.subscriber;
    let topic = Topic::from(TOPIC);
    session.within("close", bus.close()).await??;
    session.within("close", bus.close()).await??;
    let publish = bus.publish_with(&topic, numbered(0), PublishOptions::default());
    expect_closed("publish", &session.within("publish", publish).await?)?;
    let subscribe = bus.subscribe_with(&topic, SubscribeOptions::new());
    expect_closed("subscribe", &session.within("subscribe", subscribe).await?)?;
    if session.capabilities.replay {
        expect_closed(
            "history",
            &session.within("history", bus.history(&topic, 0, 1)).await?,
        )?;
    }
    if session.capabilities.clear {
        expect_closed(
            "clear_topic",
            &session
                .within("clear_topic", bus.clear_topic(&topic))
                .await?,
        )?;
    }
    if session.capabilities.replay {
        let trim = bus.trim_topic(&topic, 1);
        expect_closed("trim_topic", &session.within("trim_topic", trim).await?)?;
    }
    session.within("close", bus.close()).await??;
    ensure_eq!(
        bus.capabilities(),
        session.capabilities,
        "capabilities after the close"
    );
    session.finish().await
}

/// Dropping what was read from a bus, and the subscriptions, after the close is harmless; so is settling.
pub async fn deliveries_outlive_the_bus(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut options = SubscribeOptions::new();
    if session.capabilities.groups {
        options = options.group("workers");
    }
    let mut reader = session.subscribe(TOPIC, options).await?;
    session.publish_numbers(TOPIC, 0..4).await?;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(reader.delivery().await?);
    }
    session
        .within("close", session.subscriber.close())
        .await??;
    for (n, delivery) in held.into_iter().enumerate() {
        ensure_eq!(
            number(&delivery)?,
            n as u64,
            "data of a delivery of a closed bus"
        );
        // Whether a decision after the close succeeds is open; that it neither hangs nor panics is not.
        let settled = match n {
            0 => delivery.ack(),
            1 => delivery.nack(),
            2 => delivery.release(),
            _ => continue,
        };
        drop(session.within("settling after the close", settled).await?);
    }
    session
        .within("unsubscribe", reader.subscription.unsubscribe())
        .await?
        .or_else(only_closed)?;
    session.finish().await
}

/// Closing one participant leaves the others connected.
pub async fn closing_one_participant_leaves_the_others(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open_distinct(fixture, &[]).await?;
    let mut stays = session
        .subscribe_on(&session.publisher, TOPIC, SubscribeOptions::new())
        .await?;
    let mut goes = session.listen(TOPIC).await?;
    session.publish(TOPIC, numbered(0)).await?;
    stays.expect_numbers(0..1).await?;
    goes.expect_numbers(0..1).await?;
    session
        .within("close", session.subscriber.close())
        .await??;
    session.publish_numbers(TOPIC, 1..10).await?;
    stays.expect_numbers(1..10).await?;
    session.finish().await
}

fn expect_closed<T>(operation: &str, result: &BusResult<T>) -> ClauseResult {
    match result {
        Ok(_) => Err(Unmet::violated(format!(
            "{operation} succeeds on a closed bus"
        ))),
        Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
        Err(error) => Err(Unmet::violated(format!(
            "{operation} on a closed bus fails with another kind than Closed: {error}"
        ))),
    }
}

fn only_closed(error: bowline_events::Error) -> ClauseResult {
    match error.kind() {
        ErrorKind::Closed => Ok(()),
        _ => Err(error.into()),
    }
}
