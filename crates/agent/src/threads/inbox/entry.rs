//! An entry of an inbox: a record, and how far its delivery is. Decisions only; nothing here waits, reads or writes.
//!
//! # Why nothing is lost or doubled
//! The id of a signal follows from the entry, so a delivery that is repeated is the same signal, which a thread hears once.
//!
//! - Whoever delivers claims first, in one commit: the entry is due again when the lease of the claim is over. Killed before that
//!   commit, nothing has happened. Killed after it, with the signal given or not, another process finds the entry due and gives the
//!   same signal.
//! - A summary gets its id in the commit that claims its entries, before it is given. Killed after that, whoever goes on finds all
//!   entries of this id by the index and gives the same summary; later entries go into another one.
//! - What has become of it is written only while the entry is the one that was claimed: one that somebody has read meanwhile stays
//!   read, and one that something was joined to has another generation, stays pending, and is given again as another signal.
//! - A delivery of which it is certain that nothing of it waits any more ends its generation, too: the next attempt is another
//!   signal, and not one that the thread takes for heard.

use std::collections::VecDeque;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Index, Record};
use serde::{Deserialize, Serialize};

use super::digest;
use super::policy::{Delivery, DeliveryAction, later};
use super::record::{NotificationRecord, NotificationStatus};
use crate::message::Extra;
use crate::threads::notification::Notification;
use crate::threads::signal::Signal;

/// Deliveries that fail before it is given up.
pub(super) const MAX_ATTEMPTS: u32 = 5;
/// Ids of notifications that were joined to an entry which are remembered.
pub(super) const JOINED: usize = 64;
/// Bytes of the error that is kept.
const MAX_ERROR: usize = 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) record: NotificationRecord,
    #[serde(default)]
    pub(super) progress: Progress,
    /// As it was read; without its body.
    #[serde(skip)]
    pub(super) stored: Option<Record>,
}

/// How far the delivery of an entry is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Progress {
    /// Goes up when its signal is to be another one.
    generation: u32,
    /// Milliseconds since the epoch before which nobody has to look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<i64>,
    /// The summary with which it is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Text>,
    /// The last notifications that were joined to it.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    joined: VecDeque<Text>,
    /// Its signal has a run of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) own_turn: bool,
    /// The call of the inbox tool that wants it, or has marked it as seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen_by: Option<Text>,
}

/// A delivery that did not succeed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setback<'a> {
    /// `None`: a run that waits for somebody is in the way.
    pub(super) error: Option<&'a str>,
    /// Whether the thread may have the signal all the same.
    pub(super) unsure: bool,
    /// The time of a lease.
    pub(super) lease: Duration,
}

impl Entry {
    pub(super) fn new(record: NotificationRecord) -> Self {
        Self {
            record,
            progress: Progress::default(),
            stored: None,
        }
    }

    /// Joins a notification to one that is pending.
    pub(super) fn join(&mut self, notification: Notification, now: Timestamp) {
        let record = &mut self.record;
        record.summary = notification.summary;
        record.payload = notification.payload.or_else(|| record.payload.take());
        record.priority = notification.priority.unwrap_or(record.priority);
        for (name, value) in notification.attributes.iter() {
            record.attributes.insert(name.clone(), value.clone());
        }
        let news = notification.metadata.as_ref().and_then(Extra::of);
        if let Some(news) = news {
            let known = record.metadata.as_ref().and_then(Extra::of);
            let mut known = known.unwrap_or_default();
            for (name, value) in news.iter() {
                known.insert(name.clone(), value.clone());
            }
            record.metadata = Some(known.to_data());
        }
        record.coalesced_count = record.coalesced_count.saturating_add(1);
        let joined = &mut self.progress.joined;
        joined.truncate(JOINED - 1);
        joined.push_front(notification.id);
        record.updated_at = now;
        self.end_generation();
        self.progress.not_before = None;
    }

    /// Whether the notification `id` was joined to it.
    pub(super) fn has_joined(&self, id: &Text) -> bool {
        self.progress.joined.contains(id)
    }

    /// Does what is decided, as far as that is a matter of the record. What is to be delivered is claimed until `until`.
    pub(super) fn schedule(&mut self, delivery: &Delivery, now: Timestamp, until: Timestamp) {
        let record = &mut self.record;
        record.delivery_reason.clone_from(&delivery.reason);
        let deliver_at = delivery.deliver.map(|it| it.resolve(now));
        let summary_at = delivery.summary.map(|it| it.resolve(now));
        self.progress.own_turn = delivery.action() == DeliveryAction::Queue;
        match delivery.action() {
            DeliveryAction::Deliver | DeliveryAction::Queue => {
                record.deliver_at = Some(now);
                record.summary_at = None;
                self.claim(now, until);
            }
            DeliveryAction::Defer | DeliveryAction::Summarize => {
                record.deliver_at = deliver_at.or(record.deliver_at);
                record.summary_at = summary_at.or(record.summary_at);
            }
            DeliveryAction::Persist => {}
            DeliveryAction::Discard => record.set_status(NotificationStatus::Discarded, now),
        }
    }

    /// Somebody delivers it, and has time until then.
    pub(super) fn claim(&mut self, now: Timestamp, until: Timestamp) {
        self.record.last_delivery_attempt_at = Some(now);
        self.put_off(until);
    }

    /// As [`claim`](Self::claim), as part of a summary.
    pub(super) fn claim_in(&mut self, summary: &Text, now: Timestamp, until: Timestamp) {
        self.record.summary_signal_id = Some(summary.clone());
        self.progress.summary = Some(summary.clone());
        self.claim(now, until);
    }

    pub(super) fn put_off(&mut self, until: Timestamp) {
        self.progress.not_before = Some(until.as_millis());
    }

    /// The agent was given the signal `id`. `false` when there is nothing to write down.
    pub(super) fn delivered(&mut self, id: &Text, now: Timestamp) -> bool {
        let pending = self.record.is_pending();
        // What was joined meanwhile is not in that signal.
        if pending && self.signal_id() != *id {
            return false;
        }
        if pending {
            self.record.set_status(NotificationStatus::Delivered, now);
        } else if self.record.delivered_signal_id.is_some() {
            return false;
        }
        self.record.delivered_at = Some(now);
        self.record.delivered_signal_id = Some(id.clone());
        self.record.last_delivery_error = None;
        self.progress.not_before = None;
        true
    }

    /// The summary `id` was given. `false` when it is not part of it any more.
    pub(super) fn summarized(&mut self, id: &Text, now: Timestamp) -> bool {
        if !self.record.is_pending() || self.progress.summary.as_ref() != Some(id) {
            return false;
        }
        self.record.summary_at = None;
        self.record.updated_at = now;
        self.record.last_delivery_error = None;
        self.progress.summary = None;
        self.progress.not_before = None;
        true
    }

    /// The signal `id`, of the entry or of a summary, was not given. `false` when the entry is not on its way with it any more.
    pub(super) fn set_back(&mut self, id: &Text, setback: Setback<'_>, now: Timestamp) -> bool {
        let summary = self.progress.summary.as_ref();
        let same = summary.map_or_else(|| self.signal_id() == *id, |summary| summary == id);
        if !self.record.is_pending() || !same {
            return false;
        }
        let record = &mut self.record;
        record.updated_at = now;
        let mut wait = setback.lease;
        if let Some(error) = setback.error {
            record.delivery_attempts += 1;
            record.last_delivery_error = Some(cut(error).to_owned().into());
            wait = wait.saturating_mul(1 << (record.delivery_attempts - 1).min(16));
            if record.delivery_attempts >= MAX_ATTEMPTS {
                record.set_status(NotificationStatus::Failed, now);
            }
        }
        match setback.error {
            Some(_) if !setback.unsure => self.end_generation(),
            Some(_) => {}
            // It was not taken: the next summary can have more in it.
            None => self.progress.summary = None,
        }
        self.put_off(later(now, wait));
        true
    }

    /// Somebody says what has become of it. `false` when that is so already.
    pub(super) fn mark(&mut self, status: NotificationStatus, now: Timestamp) -> bool {
        if self.record.status == status {
            return false;
        }
        self.record.set_status(status, now);
        self.progress.summary = None;
        self.progress.not_before = None;
        true
    }

    /// The call `by` of the inbox tool has looked at it. `false` when somebody had.
    pub(super) fn see(&mut self, by: &Text, now: Timestamp) -> bool {
        let unread = self.record.status.is_unread();
        if unread {
            self.mark(NotificationStatus::Seen, now);
            self.progress.seen_by = Some(by.clone());
        }
        unread
    }

    /// The next signal is not the one that may be on its way.
    fn end_generation(&mut self) {
        self.progress.generation += 1;
        self.progress.summary = None;
    }

    /// The id of its signal: its own, until that cannot be used again.
    pub(super) fn signal_id(&self) -> Text {
        match self.progress.generation {
            0 => self.record.id.clone(),
            n => format!("{}.{n}", self.record.id).into(),
        }
    }

    /// Its signal.
    pub(super) fn signal(&self, now: Timestamp) -> Signal {
        self.record.signal(self.signal_id(), now)
    }

    /// Whether it is told in a summary next.
    pub(super) fn awaits_summary(&self, now: Timestamp) -> bool {
        self.progress.summary.is_some() || self.record.summary_at.is_some_and(|at| at <= now)
    }

    /// When somebody has to look at it: to deliver it, or to remove it.
    pub(super) fn due(&self, retention: Duration) -> Option<Timestamp> {
        let record = &self.record;
        if !record.is_pending() {
            return Some(later(record.updated_at, retention));
        }
        let times = [record.deliver_at, record.summary_at];
        let due = times.into_iter().flatten().min()?;
        Some(match self.progress.not_before.map(Timestamp::from_millis) {
            Some(earliest) => due.max(earliest),
            None => due,
        })
    }

    pub(super) fn index(&self, retention: Duration) -> Index {
        let mut index = Index::new(self.record.created_at)
            .status(self.record.status.as_str())
            .owner(self.record.agent_id.clone())
            .due(self.due(retention));
        let Progress {
            summary, seen_by, ..
        } = &self.progress;
        index.group = summary.as_ref().or(seen_by.as_ref()).cloned();
        index
    }

    /// By what others are found to be the same, as long as it is pending.
    pub(super) fn keys(&self) -> Vec<Text> {
        let record = &self.record;
        let keys = [&record.dedupe_key, &record.coalesce_key];
        same_keys(&record.agent_id, &record.source, &record.kind, keys)
    }
}

/// Digests of the keys of a notification, with all that has to be equal as well.
pub(super) fn same_keys(
    agent: &Text,
    source: &Text,
    kind: &Text,
    [dedupe, coalesce]: [&Option<Text>; 2],
) -> Vec<Text> {
    let keys = [("dedupe", dedupe), ("coalesce", coalesce)];
    let keys = keys
        .into_iter()
        .filter_map(|(what, key)| Some(digest(&(what, agent, source, kind, key.as_ref()?))));
    keys.collect()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR)]
}
