//! What has happened elsewhere, as a thread hears it.

use std::time::Duration;

use bowline_agent::memory::Memory;
use bowline_agent::threads::{
    Accepted, Delivery, DeliveryAction, MAX_NOTIFICATION_PAYLOAD, Notification, NotificationPolicy,
    NotificationRecord, NotificationStatus, Notified, Priority, Signal, ThreadEvent, ThreadId,
    Threads,
};
use bowline_agent::{Data, ErrorKind};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::world::{AGENT, Process, World, run_of, thread};

pub(crate) fn ship(priority: Priority) -> Notification {
    Notification::new("harbour", "arrival", "A ship.").priority(priority)
}

/// Sends by the policy of the process.
pub(crate) async fn tell(process: &Process, news: Notification) -> Notified {
    let told = process.threads.send_notification(AGENT, thread(), news);
    told.await.unwrap()
}

/// Sends, and does with it what is said.
pub(crate) async fn tell_as(process: &Process, news: Notification, delivery: Delivery) -> Notified {
    let policy = NotificationPolicy::new().otherwise(delivery);
    let told = process
        .threads
        .send_notification_with(AGENT, thread(), news, &policy);
    told.await.unwrap()
}

/// Waits until the record is as wanted.
pub(crate) async fn until(
    threads: &Threads,
    thread: &ThreadId,
    id: &str,
    wanted: impl Fn(&NotificationRecord) -> bool,
) -> NotificationRecord {
    let inbox = threads.inbox(thread);
    let waiting = async {
        loop {
            if let Some(record) = inbox.get(id).await.unwrap()
                && wanted(&record)
            {
                return record;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let record = timeout(Duration::from_secs(60), waiting).await;
    record.unwrap_or_else(|_| panic!("{id} does not become what is wanted"))
}

pub(crate) async fn until_status(
    process: &Process,
    id: &str,
    status: NotificationStatus,
) -> NotificationRecord {
    until(&process.threads, thread(), id, |it| it.status == status).await
}

/// Waits until the record was in a summary.
pub(crate) async fn until_summarized(process: &Process, id: &str) -> NotificationRecord {
    let told = |it: &NotificationRecord| it.summary_at.is_none() && it.summary_signal_id.is_some();
    until(&process.threads, thread(), id, told).await
}

#[tokio::test]
async fn an_agent_that_is_not_at_work_is_woken_by_what_is_not_low() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    for (priority, reason) in [
        (Priority::Medium, "idle-medium"),
        (Priority::High, "idle-high"),
        (Priority::Urgent, "urgent"),
    ] {
        let told = tell(&a, ship(priority)).await;
        assert!(matches!(told.accepted, Some(Accepted::Wake { .. })));
        assert_eq!(told.record.status, NotificationStatus::Delivered);
        assert_eq!(told.record.delivered_signal_id, Some(told.record.id));
        assert_eq!(told.record.delivery_reason.as_deref(), Some(reason));
        let (said, end) = reader.said().await;
        assert_eq!(said.matches("A ship.").count(), 1, "{said}");
        assert_eq!(end, ThreadEvent::Completed);
    }
    let low = tell(&a, ship(Priority::Low)).await;
    assert_eq!(low.delivery.unwrap().action(), DeliveryAction::Summarize);
    let low = until_summarized(&a, &low.record.id).await;
    assert_eq!(low.status, NotificationStatus::Pending);
    // It is shown and kept, and no run begins: the next one is that of somebody else.
    let (_, told, _) = reader.run().await;
    assert!(told.iter().all(|it| !it.starts_with("heard")), "{told:?}");
    let next = a.send("next").await;
    assert!(matches!(next, Accepted::Wake { .. }), "{next:?}");
    assert_eq!(reader.said().await.0, "heard next");
}

#[tokio::test]
async fn an_agent_at_work_hears_summaries_and_in_full_what_is_urgent() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    a.send("work").await;
    world.until_working().await;
    let urgent = tell(&a, ship(Priority::Urgent)).await;
    assert!(matches!(urgent.accepted, Some(Accepted::Deliver { .. })));
    let mut high = None;
    for (priority, reason) in [
        (Priority::Low, "active-batch-summary"),
        (Priority::Medium, "active-batch-summary"),
        (Priority::High, "active-high-summary-then-full"),
    ] {
        let told = tell(&a, ship(priority)).await;
        assert_eq!(told.accepted, None);
        assert_eq!(told.record.delivery_reason.as_deref(), Some(reason));
        let told = until_summarized(&a, &told.record.id).await;
        assert_eq!(told.status, NotificationStatus::Pending);
        high = Some(told.id);
    }
    world.gate.add_permits(1);
    let (said, _) = reader.said().await;
    assert_eq!(said.matches("A ship.").count(), 1, "{said}");
    assert_eq!(said.matches("harbour: 1").count(), 3, "{said}");
    // Now it has nothing else to do.
    let (said, _) = reader.said().await;
    assert_eq!(said.matches("A ship.").count(), 1, "{said}");
    until_status(&a, &high.unwrap(), NotificationStatus::Delivered).await;
}

#[tokio::test]
async fn several_sources_are_one_summary() {
    let world = World::new();
    let (a, _b) = (world.process().await, world.process().await);
    let mut reader = a.read().await;
    let at = bowline_events::Timestamp::now().as_millis() + 2000;
    let at = bowline_events::Timestamp::from_millis(at);
    let mut ids = Vec::new();
    for source in ["slack", "github", "slack"] {
        let news = Notification::new(source, "news", "?");
        let told = tell_as(&a, news, Delivery::summarize_at(at)).await;
        ids.push(told.record.id);
    }
    let (said, _) = reader.said().await;
    assert!(said.contains("github: 1, slack: 2"), "{said}");
    let mut signals = Vec::new();
    for id in &ids {
        signals.push(until_summarized(&a, id).await.summary_signal_id);
    }
    signals.dedup();
    assert_eq!(signals.len(), 1);
}

#[tokio::test]
async fn a_notification_is_a_signal_as_the_reference_makes_it() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    let ship = ship(Priority::Urgent)
        .with_id("ship-1")
        .payload(Data::of(&json!({ "crew": 20 })).unwrap())
        .with_attribute("berth", 4)
        .and_then(|it| it.with_attribute("status", "mine"))
        .unwrap()
        .with_metadata(Data::of(&json!({ "mine": 1 })).unwrap());
    let first = tell(&a, ship.clone()).await;
    let again = tell(&a, ship).await;
    assert_eq!(
        (again.accepted, again.delivery),
        (Some(Accepted::Before), None)
    );
    assert_eq!(again.record, first.record);
    reader.said().await;
    let memory = Memory::new(world.store.clone());
    let messages = memory.recent(thread().id(), 10).await.unwrap();
    let signal = messages.iter().find_map(Signal::of_message).unwrap();
    let mut signal: Value = signal.to_data().parse().unwrap();
    assert_eq!(signal["id"], "ship-1");
    assert_eq!(
        (&signal["type"], &signal["tagName"]),
        (&json!("notification"), &json!("notification"))
    );
    let attributes = json!({
        "berth": 4,
        "id": "ship-1",
        "source": "harbour",
        "type": "arrival",
        "kind": "arrival",
        "priority": "urgent",
        "status": "delivered",
    });
    assert_eq!(signal["attributes"], attributes);
    let at = signal["metadata"]["notification"]["deliveredAt"].take();
    assert!(at.as_str().unwrap().ends_with('Z'));
    let metadata = json!({
        "mine": 1,
        "notification": {
            "signal": "notification",
            "recordId": "ship-1",
            "source": "harbour",
            "kind": "arrival",
            "priority": "urgent",
            "status": "delivered",
            "deliveredAt": null,
        },
    });
    assert_eq!(signal["metadata"], metadata);
}

#[tokio::test]
async fn what_is_queued_has_a_run_of_its_own() {
    let world = World::new();
    let a = world.process().await;
    let mut reader = a.read().await;
    a.send("work").await;
    world.until_working().await;
    let told = tell_as(&a, ship(Priority::High), Delivery::queue()).await;
    assert_eq!(told.accepted, Some(Accepted::Queued));
    assert_eq!(told.record.status, NotificationStatus::Delivered);
    world.gate.add_permits(1);
    assert_eq!(reader.said().await.0, "heard work");
    let (said, _) = reader.said().await;
    assert!(said.contains("A ship."), "{said}");
}

#[tokio::test]
async fn what_nobody_is_to_be_told_stays_in_the_inbox() {
    let world = World::new();
    let a = world.process().await;
    for (delivery, status) in [
        (Delivery::persist(), NotificationStatus::Pending),
        (Delivery::discard(), NotificationStatus::Discarded),
    ] {
        let told = tell_as(&a, ship(Priority::Urgent), delivery).await;
        assert_eq!((told.accepted, told.record.status), (None, status));
        assert_eq!(told.record.deliver_at, None);
    }
    let mut reader = a.read().await;
    let hello = a.send("hello").await;
    assert!(matches!(hello, Accepted::Wake { .. }), "{hello:?}");
    assert_eq!(reader.said().await.0, "heard hello");
}

#[tokio::test]
async fn a_run_that_waits_for_somebody_is_only_put_off() {
    let world = World::new();
    let a = world.process_with(5, true).await;
    let mut reader = a.read().await;
    let woken = a.send("work").await;
    while reader.next().await.event != ThreadEvent::Suspended {}
    let told = tell(&a, ship(Priority::Urgent)).await;
    assert!(matches!(told.accepted, Some(Accepted::Blocked { .. })));
    assert_eq!(told.record.status, NotificationStatus::Pending);
    assert_eq!(told.record.delivery_attempts, 0);
    let run = run_of(&woken);
    let waits = a.agent.suspended(run).await.unwrap();
    world.gate.add_permits(1);
    a.agent.approve(run, &waits[0].tool_call_id).await.unwrap();
    assert_eq!(reader.said().await.0, "heard work");
    let (said, _) = reader.said().await;
    assert_eq!(said.matches("A ship.").count(), 1, "{said}");
    let told = until_status(&a, &told.record.id, NotificationStatus::Delivered).await;
    assert_eq!(told.delivery_attempts, 0);
}

#[tokio::test]
async fn what_is_too_large_or_has_no_name_is_refused() {
    let world = World::new();
    let a = world.process().await;
    let text = |bytes: usize| Data::of(&"x".repeat(bytes - 2)).unwrap();
    let fits = ship(Priority::Low).payload(text(MAX_NOTIFICATION_PAYLOAD));
    tell_as(&a, fits, Delivery::persist()).await;
    let large = MAX_NOTIFICATION_PAYLOAD + 1;
    let many = Data::of(&json!({ "x": "x".repeat(large) })).unwrap();
    for (news, kind) in [
        (
            ship(Priority::Low).payload(text(large)),
            ErrorKind::TooLarge,
        ),
        (ship(Priority::Low).with_metadata(many), ErrorKind::TooLarge),
        (
            Notification::new("a", "b", "x".repeat(16 * 1024 + 1)),
            ErrorKind::TooLarge,
        ),
        (Notification::new("", "b", "c"), ErrorKind::InvalidInput),
        (
            Notification::new("a", "x".repeat(257), "c"),
            ErrorKind::InvalidInput,
        ),
        (
            ship(Priority::Low).with_id("x".repeat(129)),
            ErrorKind::InvalidInput,
        ),
        (
            ship(Priority::Low).coalesce_key(""),
            ErrorKind::InvalidInput,
        ),
    ] {
        let refused = a.threads.send_notification(AGENT, thread(), news).await;
        assert_eq!(refused.unwrap_err().kind(), kind);
    }
}
