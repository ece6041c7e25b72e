//! In which signals the entries of a thread that are due are delivered. Decisions only.

use std::cmp::Reverse;
use std::collections::HashMap;

use bowline_events::{Text, Timestamp};

use super::entry::Entry;
use super::shelf::TOGETHER;
use super::summary;
use crate::threads::notification::Priority;

/// What is delivered with one signal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// The signal of this entry.
    Full(Box<Entry>),
    /// The summary of these entries, which is this one if it was on its way before.
    Summary(Option<Text>, Vec<Entry>),
}

/// What is done with entries that are due.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// In their order.
    pub(super) items: Vec<Item>,
    /// Told in a summary, and in full when the agent is not at work.
    pub(super) later: Vec<Entry>,
}

impl Item {
    pub(super) fn entries(&self) -> &[Entry] {
        match self {
            Self::Full(entry) => std::slice::from_ref(entry),
            Self::Summary(_, entries) => entries,
        }
    }

    /// The most urgent first, and of those the oldest.
    fn rank(&self) -> (Reverse<Priority>, Option<(i64, String)>) {
        let entries = self.entries().iter();
        let priority = summary::highest(entries.clone().map(|it| &it.record));
        (Reverse(priority), entries.map(age).min())
    }
}

/// By what entries are ordered, the oldest first.
fn age(entry: &Entry) -> (i64, String) {
    let record = &entry.record;
    (record.created_at.as_millis(), record.id.to_string())
}

/// What is done with entries of one agent in one thread that are due. `active`: the agent is at work.
pub(super) fn plan(mut due: Vec<Entry>, active: bool, now: Timestamp) -> Plan {
    due.sort_by_cached_key(age);
    let mut plan = Plan::default();
    let mut on_their_way: HashMap<Text, Vec<Entry>> = HashMap::new();
    let mut fresh = Vec::new();
    for entry in due {
        let was_summarized = entry.record.summary_signal_id.is_some();
        match &entry.progress.summary {
            Some(summary) => on_their_way.entry(summary.clone()).or_default().push(entry),
            None if entry.awaits_summary(now) => fresh.push(entry),
            None if active && was_summarized && entry.record.priority == Priority::High => {
                plan.later.push(entry);
            }
            None => plan.items.push(Item::Full(Box::new(entry))),
        }
    }
    for entries in fresh.chunks(TOGETHER) {
        plan.items.push(Item::Summary(None, entries.to_vec()));
    }
    for (summary, entries) in on_their_way {
        plan.items.push(Item::Summary(Some(summary), entries));
    }
    plan.items.sort_by_cached_key(Item::rank);
    plan
}
