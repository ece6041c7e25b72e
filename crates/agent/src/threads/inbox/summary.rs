//! Signals that tell of several notifications in one line.

use std::collections::BTreeMap;

use bowline_events::Text;
use serde::Serialize;

use super::record::{NotificationRecord, written};
use crate::message::Extra;
use crate::threads::notification::Priority;
use crate::threads::signal::{Signal, SignalKind};

const TAG: &str = "notification-summary";

#[derive(Serialize)]
struct Group<'a> {
    source: &'a str,
    count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    signal: &'static str,
    pending: usize,
    groups: Vec<Group<'a>>,
    by_priority: &'a BTreeMap<Priority, usize>,
    notification_ids: &'a [&'a Text],
    priority: Priority,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    thread_id: &'a Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: &'a Option<Text>,
    agent_id: &'a Text,
    pending: usize,
    by_source: &'a BTreeMap<&'a str, usize>,
    by_priority: &'a BTreeMap<Priority, usize>,
    notification_ids: &'a [&'a Text],
}

/// The highest priority of `records`.
pub(super) fn highest<'a>(records: impl IntoIterator<Item = &'a NotificationRecord>) -> Priority {
    let priorities = records.into_iter().map(|it| it.priority);
    priorities.max().unwrap_or_default()
}

/// The signal `id` that tells of `records`, which are of one agent and one thread, as the reference makes it. `None` for no records.
pub(super) fn signal(id: &Text, records: &[&NotificationRecord]) -> Option<Signal> {
    let first = records.first()?;
    let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_priority: BTreeMap<Priority, usize> = BTreeMap::new();
    for record in records {
        *by_source.entry(record.source.as_str()).or_default() += 1;
        *by_priority.entry(record.priority).or_default() += 1;
    }
    let ids: Vec<&Text> = records.iter().map(|it| &it.id).collect();
    let priority = highest(records.iter().copied());
    let groups = by_source.iter();
    let groups: Vec<Group<'_>> = groups
        .map(|(source, count)| Group {
            source,
            count: *count,
        })
        .collect();
    let contents: Vec<String> = by_source
        .iter()
        .map(|(source, count)| format!("{source}: {count}"))
        .collect();
    let summary = Summary {
        thread_id: &first.thread_id,
        resource_id: &first.resource_id,
        agent_id: &first.agent_id,
        pending: records.len(),
        by_source: &by_source,
        by_priority: &by_priority,
        notification_ids: &ids,
    };
    let about = About {
        signal: "summary",
        pending: records.len(),
        groups,
        by_priority: &by_priority,
        notification_ids: &ids,
        priority,
    };
    let metadata = Extra::default()
        .with("notification", written(&about))
        .with("notificationSummary", written(&summary))
        .with("notificationIds", written(&ids));
    let mut signal = Signal::new(SignalKind::Notification, contents.join(", "));
    signal.tag_name = TAG.into();
    signal.attributes.insert("pending", written(&records.len()));
    signal.attributes.insert("priority", written(&priority));
    Some(signal.with_metadata(metadata.to_data()).with_id(id.clone()))
}
