//! The decisions, without a store.

use std::collections::HashSet;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::entry::{Entry, MAX_ATTEMPTS, Setback};
use super::plan::{Item, plan};
use super::policy::{Delivery, DeliveryAction, NotificationPolicy, later};
use super::record::{NotificationRecord, NotificationStatus};
use super::summary;
use crate::Data;
use crate::threads::notification::{Notification, Priority};
use crate::threads::thread::ThreadId;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LEASE: Duration = Duration::from_secs(15);
const PRIORITIES: [Priority; 4] = [
    Priority::Low,
    Priority::Medium,
    Priority::High,
    Priority::Urgent,
];

fn record(id: &str, source: &str, priority: Priority) -> NotificationRecord {
    let news = Notification::new(source.to_owned(), "ci", "Red").with_id(id.to_owned());
    let thread = ThreadId::new("t").resource("r");
    NotificationRecord::new(news.priority(priority), &"a".into(), &thread, NOW)
}

fn entry(id: &str, priority: Priority) -> Entry {
    Entry::new(record(id, "github", priority))
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_usual_decisions_are_those_of_the_reference() {
    use DeliveryAction::{Deliver, Summarize};
    let rows = [
        (Priority::Urgent, true, Deliver, "urgent"),
        (Priority::Urgent, false, Deliver, "urgent"),
        (
            Priority::High,
            true,
            Summarize,
            "active-high-summary-then-full",
        ),
        (Priority::High, false, Deliver, "idle-high"),
        (Priority::Medium, true, Summarize, "active-batch-summary"),
        (Priority::Medium, false, Deliver, "idle-medium"),
        (Priority::Low, true, Summarize, "active-batch-summary"),
        (Priority::Low, false, Summarize, "idle-low-summary"),
    ];
    for (priority, active, action, reason) in rows {
        let mut entry = entry("n1", priority);
        let usual = NotificationPolicy::new().decision(&entry.record, active);
        assert_eq!(usual.action(), action, "{priority:?} {active}");
        entry.schedule(&usual, NOW, later(NOW, LEASE));
        let record = entry.record;
        assert_eq!(record.delivery_reason.as_deref(), Some(reason));
        let summary = action == Summarize;
        assert_eq!(record.summary_at, summary.then_some(NOW), "{reason}");
        let full = !summary || (priority == Priority::High && active);
        assert_eq!(record.deliver_at, full.then_some(NOW), "{reason}");
    }
}

#[test]
fn what_a_policy_says_counts_in_its_order() {
    let policy = NotificationPolicy::new()
        .decide(|record, active| (active && record.source == "ci").then(Delivery::queue))
        .of_source("ci", Delivery::persist())
        .on(Priority::Low, Delivery::discard())
        .otherwise(Delivery::summarize());
    let rows = [
        ("ci", Priority::Low, true, DeliveryAction::Queue),
        ("ci", Priority::Low, false, DeliveryAction::Persist),
        ("mail", Priority::Low, false, DeliveryAction::Discard),
        ("mail", Priority::Urgent, false, DeliveryAction::Summarize),
    ];
    for (source, priority, active, action) in rows {
        let record = record("n1", source, priority);
        assert_eq!(policy.decision(&record, active).action(), action);
    }
}

#[test]
fn a_notification_joins_another_as_in_the_reference() {
    let data = |value: Value| Data::of(&value).unwrap();
    let first = Notification::new("github", "ci", "Red")
        .with_id("n1")
        .priority(Priority::High)
        .payload(data(json!({ "a": 1 })))
        .dedupe_key("d")
        .with_attribute("x", 1)
        .unwrap()
        .with_metadata(data(json!({ "m": 1 })));
    let second = Notification::new("github", "ci", "Redder")
        .dedupe_key("d")
        .coalesce_key("q")
        .with_attribute("y", 2)
        .unwrap()
        .with_metadata(data(json!({ "k": 1 })));
    let thread = ThreadId::new("t").resource("r");
    let agent = "a".into();
    let mut entry = Entry::new(NotificationRecord::new(first, &agent, &thread, NOW));
    entry.join(second, later(NOW, Duration::from_millis(16)));
    let captured = include_str!("../../../tests/threads/data/notification-joined.json");
    let captured: Value = serde_json::from_str(captured).unwrap();
    assert_eq!(json_of(&entry.record), captured);
    let read: NotificationRecord = serde_json::from_value(captured).unwrap();
    assert_eq!(json_of(&read), json_of(&entry.record));
}

#[test]
fn a_summary_is_that_of_the_reference() {
    let records = [
        record("n1", "github", Priority::High),
        record("n2", "slack", Priority::Medium),
        record("n9", "slack", Priority::Medium),
    ];
    let records: Vec<_> = records.iter().collect();
    let signal = summary::signal(&"s".into(), &records).unwrap();
    let mut signal: Value = signal.to_data().parse().unwrap();
    for own in ["id", "createdAt", "acceptedAt", "__isCreatedSignal"] {
        signal.as_object_mut().unwrap().remove(own);
    }
    let captured = include_str!("../../../tests/threads/data/notification-summary.json");
    let captured: Value = serde_json::from_str(captured).unwrap();
    assert_eq!(signal, captured);
    assert!(summary::signal(&"s".into(), &[]).is_none());
}

#[test]
fn a_status_says_when_it_was_set() {
    for (status, member) in [
        (NotificationStatus::Delivered, "deliveredAt"),
        (NotificationStatus::Seen, "seenAt"),
        (NotificationStatus::Dismissed, "dismissedAt"),
        (NotificationStatus::Archived, "archivedAt"),
        (NotificationStatus::Discarded, "discardedAt"),
    ] {
        let mut entry = entry("n1", Priority::Low);
        assert!(entry.mark(status, NOW) && !entry.mark(status, NOW));
        let record = json_of(&entry.record);
        assert_eq!(record["status"], status.as_str());
        assert_eq!(record[member], "1970-01-01T00:16:40.000Z");
        assert_eq!(entry.due(LEASE), Some(later(NOW, LEASE)), "it is removed");
    }
}

#[test]
fn a_delivery_is_tried_five_times_each_time_later() {
    let mut entry = entry("n1", Priority::Urgent);
    entry.schedule(&Delivery::deliver(), NOW, NOW);
    let mut ids = HashSet::new();
    let mut due = entry.due(LEASE);
    for attempt in 1..=MAX_ATTEMPTS {
        assert!(entry.record.is_pending());
        let id = entry.signal_id();
        assert!(entry.set_back(&id, failure(false), NOW));
        // What is over is not tried as the same signal.
        assert!(!entry.set_back(&id, failure(false), NOW));
        assert!(ids.insert(id));
        assert_eq!(entry.record.delivery_attempts, attempt);
        let next = entry.due(LEASE);
        assert!(next > due || attempt == MAX_ATTEMPTS, "{attempt}");
        due = next;
    }
    assert_eq!(entry.record.status, NotificationStatus::Failed);
    assert_eq!(entry.record.last_delivery_error.as_deref(), Some("no way"));
}

#[test]
fn what_may_have_arrived_is_tried_again_as_the_same_signal() {
    let mut entry = entry("n1", Priority::Urgent);
    entry.schedule(&Delivery::deliver(), NOW, NOW);
    let id = entry.signal_id();
    assert!(entry.set_back(&id, failure(true), NOW));
    assert_eq!(entry.signal_id(), id);
    entry.claim_in(&"s1".into(), NOW, NOW);
    assert!(entry.set_back(&"s1".into(), failure(true), NOW));
    assert_eq!(entry.progress.summary.as_deref(), Some("s1"));
    assert!(entry.set_back(&"s1".into(), failure(false), NOW));
    assert_eq!(entry.progress.summary, None);
}

fn failure(unsure: bool) -> Setback<'static> {
    Setback {
        error: Some("no way"),
        unsure,
        lease: LEASE,
    }
}

#[test]
fn what_came_in_the_way_counts_as_no_attempt() {
    let mut entry = entry("n1", Priority::Medium);
    entry.schedule(&Delivery::summarize(), NOW, NOW);
    entry.claim_in(&"s1".into(), NOW, NOW);
    let blocked = Setback {
        error: None,
        unsure: false,
        lease: LEASE,
    };
    assert!(entry.set_back(&"s1".into(), blocked, NOW));
    assert_eq!(entry.record.delivery_attempts, 0);
    assert_eq!(entry.due(LEASE), Some(later(NOW, LEASE)));
    assert!(!entry.summarized(&"s1".into(), NOW), "it is in it no more");
}

#[test]
fn what_happens_to_an_entry_while_it_is_delivered_is_not_undone() {
    let deliver = || {
        let mut entry = entry("n1", Priority::Urgent);
        entry.schedule(&Delivery::deliver(), NOW, later(NOW, LEASE));
        let id = entry.signal_id();
        (entry, id)
    };
    let (mut seen, id) = deliver();
    seen.mark(NotificationStatus::Seen, NOW);
    assert!(seen.delivered(&id, NOW));
    assert_eq!(seen.record.status, NotificationStatus::Seen);
    assert_eq!(seen.record.delivered_signal_id, Some(id));
    let (mut joined, id) = deliver();
    joined.join(Notification::new("github", "ci", "Redder"), NOW);
    assert!(!joined.delivered(&id, NOW), "what was joined was not told");
    assert!(joined.record.is_pending() && joined.signal_id() != id);
    let (mut usual, id) = deliver();
    assert!(usual.delivered(&id, NOW) && !usual.delivered(&id, NOW));
    assert_eq!(usual.record.status, NotificationStatus::Delivered);
}

/// An entry that is due: its priority, when it was made, and how far it is.
fn any_entry() -> impl Strategy<Value = (usize, i64, u8)> {
    (0..4_usize, 0..5_i64, 0..5_u8)
}

fn due_entry(n: usize, (priority, created, how): (usize, i64, u8)) -> Entry {
    let mut entry = entry(&format!("n{n}"), PRIORITIES[priority]);
    entry.record.created_at = Timestamp::from_millis(created);
    match how {
        0 => entry.record.deliver_at = Some(NOW),
        1 => entry.record.summary_at = Some(NOW),
        2 => {
            entry.record.summary_at = Some(NOW);
            entry.record.deliver_at = Some(NOW);
        }
        3 => {
            entry.record.summary_signal_id = Some("told".into());
            entry.record.deliver_at = Some(NOW);
        }
        _ => {
            entry.record.summary_at = Some(NOW);
            let summary = Text::from(format!("s{}", created % 2));
            entry.claim_in(&summary, NOW, NOW);
        }
    }
    entry
}

proptest! {
    #[test]
    fn everything_due_is_in_one_place_and_in_order(
        entries in prop::collection::vec(any_entry(), 0..130),
        active: bool,
    ) {
        let entries: Vec<Entry> = entries.into_iter().enumerate().map(|(n, it)| due_entry(n, it)).collect();
        let planned = plan(entries.clone(), active, NOW);
        let items = planned.items.iter().flat_map(Item::entries);
        let mut ids: Vec<&str> = items.chain(&planned.later).map(|it| it.record.id.as_str()).collect();
        ids.sort_unstable();
        let mut all: Vec<&str> = entries.iter().map(|it| it.record.id.as_str()).collect();
        all.sort_unstable();
        prop_assert_eq!(ids, all);
        for entry in &planned.later {
            prop_assert!(active && entry.record.priority == Priority::High);
        }
        let ranks: Vec<_> = planned.items.iter().map(|item| {
            let entries = item.entries().iter();
            let highest = entries.clone().map(|it| it.record.priority).max().unwrap();
            let oldest = entries.map(|it| it.record.created_at).min().unwrap();
            (std::cmp::Reverse(highest), oldest)
        }).collect();
        prop_assert!(ranks.is_sorted());
        for item in &planned.items {
            let Item::Summary(id, entries) = item else { continue };
            prop_assert!(!entries.is_empty());
            prop_assert!(entries.iter().all(|it| it.progress.summary == *id));
            prop_assert!(id.is_some() || entries.len() <= super::shelf::TOGETHER);
        }
    }
}
