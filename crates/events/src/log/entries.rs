//! The kept events of one topic, by position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::{Event, Retention, Timestamp};

#[derive(Debug, Clone)]
struct Entry {
    event: Arc<Event>,
    /// Bytes ever appended before this entry.
    start: u64,
}

/// A window of the log: positions `first()..end()`.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    kept: VecDeque<Entry>,
    first: u64,
    appended_bytes: u64,
}

impl Entries {
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes_from(self.first)
    }

    /// Bytes of all events since the log was made or cleared.
    pub(super) fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// Bytes of the kept events at `position` and after it.
    pub(super) fn bytes_from(&self, position: u64) -> usize {
        let start = self
            .slot(position)
            .map_or(self.appended_bytes, |entry| entry.start);
        (self.appended_bytes - start) as usize
    }

    pub(super) fn get(&self, position: u64) -> Option<&Arc<Event>> {
        self.slot(position).map(|entry| &entry.event)
    }

    /// The kept events from `position` on.
    pub(super) fn from(&self, position: u64) -> impl Iterator<Item = &Arc<Event>> {
        let skip = position
            .saturating_sub(self.first)
            .min(self.kept.len() as u64) as usize;
        self.kept.range(skip..).map(|entry| &entry.event)
    }

    pub(super) fn push(&mut self, event: Arc<Event>, weight: usize) -> u64 {
        let position = self.end();
        self.kept.push_back(Entry {
            event,
            start: self.appended_bytes,
        });
        self.appended_bytes += weight as u64;
        position
    }

    pub(super) fn pop_first(&mut self) -> Option<Arc<Event>> {
        let entry = self.kept.pop_front()?;
        self.first += 1;
        if self.kept.capacity() > 64 && self.kept.len() * 8 < self.kept.capacity() {
            self.kept.shrink_to(self.kept.len() * 2);
        }
        Some(entry.event)
    }

    /// Whether the oldest event is beyond `retention` at the wall-clock time `now`.
    pub(super) fn is_over(&self, retention: &Retention, now: Timestamp) -> bool {
        let Some(oldest) = self.kept.front() else {
            return false;
        };
        self.kept.len() > retention.events
            || self.bytes() > retention.bytes
            || oldest
                .event
                .created_at
                .as_millis()
                .saturating_add(millis(retention.age))
                < now.as_millis()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn slot(&self, position: u64) -> Option<&Entry> {
        self.kept
            .get(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }
}

fn millis(age: Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
