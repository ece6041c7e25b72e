//! The log of one topic, as a state machine without I/O.
//!
//! A topic is an append-only sequence of events with positions 0, 1, 2 ... A *reader* is a cursor in it, a *group* is a cursor
//! that several members share. What is kept is decided by [`LogConfig`]: for later readers as much as the retention says, for
//! attached readers what they have not read yet, up to a limit. The log knows no clock, no lock and no task: time is an
//! argument, and whoever must be woken is listed by [`TopicLog::take_ready`].
//!
//! Cost: append and read are O(1) per event, however long the log and however many readers there are.

mod config;
mod entries;
mod group;
mod grouping;
mod pace;
mod reader;
mod reading;
mod slots;
mod types;

use std::sync::Arc;

pub use config::{Backlog, LogConfig, Redelivery};
pub use group::{DeadLetter, Grant};
pub use types::{AppendError, GroupId, LogStats, MemberId, Read, ReaderId};

use crate::{Event, StartFrom, Timestamp};
use entries::Entries;
use group::Group;
use reader::{Floor, Reader};
use slots::Slots;

/// The log of one topic.
#[derive(Debug, Clone)]
pub struct TopicLog {
    config: LogConfig,
    entries: Entries,
    generation: u64,
    closed: bool,
    readers: Slots<Reader>,
    groups: Slots<Group>,
    floor: Floor,
    ready: Vec<MemberId>,
    dead: Vec<DeadLetter>,
}

impl TopicLog {
    /// An empty log.
    pub fn new(config: LogConfig) -> Self {
        Self {
            config,
            entries: Entries::default(),
            generation: 0,
            closed: false,
            readers: Slots::new(),
            groups: Slots::new(),
            floor: Floor::default(),
            ready: Vec::new(),
            dead: Vec::new(),
        }
    }

    /// Appends `event` and returns its position.
    pub fn append(&mut self, event: Arc<Event>) -> Result<u64, AppendError> {
        let weight = event.weight();
        self.append_with(weight, |_| event)
    }

    /// Appends the event of `weight` bytes that `make` gives for the position that it is told.
    pub fn append_with(
        &mut self,
        weight: usize,
        make: impl FnOnce(u64) -> Arc<Event>,
    ) -> Result<u64, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        if self.config.refuse_when_full && self.is_full(weight) {
            return Err(AppendError::Full);
        }
        let event = make(self.entries.end());
        let now = event.created_at;
        let seq = self.entries.push(event, weight);
        if !self.groups.is_empty() {
            self.dispatch_all();
        }
        self.trim(now);
        Ok(seq)
    }

    fn is_full(&mut self, weight: usize) -> bool {
        let retention = self.config.retention;
        let over = self.entries.bytes() + weight > retention.bytes
            || self.entries.len() >= retention.events;
        over && self
            .groups
            .values()
            .any(|group| group.cursor <= self.entries.first())
    }

    /// Drops what is beyond the retention and not needed by an attached reader.
    fn trim(&mut self, now: Timestamp) {
        let needed_by_groups = self.group_floor();
        while self.entries.is_over(&self.config.retention, now) {
            if self.entries.bytes() <= self.config.backlog.max_bytes {
                let (end, appended) = (self.entries.end(), self.entries.appended_bytes());
                if self.entries.first() >= self.floor.position()
                    && self.floor.is_due(end, appended, self.readers.len())
                {
                    self.look_at_floor();
                }
                if self.entries.first() >= self.floor.position().min(needed_by_groups) {
                    return;
                }
            }
            self.entries.pop_first();
        }
    }

    fn look_at_floor(&mut self) {
        self.floor.look(
            &self.readers,
            self.generation,
            self.entries.end(),
            self.entries.appended_bytes(),
        );
    }

    /// The oldest position that a group with members has not been given yet.
    fn group_floor(&self) -> u64 {
        let cursors = self
            .groups
            .values()
            .filter(|group| group.member_count() > 0)
            .map(|group| group.cursor);
        cursors.min().unwrap_or(u64::MAX)
    }

    /// The first position to read. A position that the log has not reached belongs to a history that is gone, which the
    /// reader is told by way of an older generation.
    fn start_position(&self, start: StartFrom) -> (u64, u64) {
        match start {
            StartFrom::Latest => (self.entries.end(), self.generation),
            StartFrom::Earliest => (self.entries.first(), self.generation),
            StartFrom::Offset(offset) if offset > self.entries.end() => {
                (offset, self.generation.wrapping_sub(1))
            }
            StartFrom::Offset(offset) => (offset, self.generation),
        }
    }

    /// Kept events from position `from` on.
    pub fn history(&self, from: u64, limit: usize) -> Vec<Arc<Event>> {
        self.entries.from(from).take(limit).cloned().collect()
    }

    /// Removes everything. Positions begin at 0 again in a new generation; attached readers are told.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.generation += 1;
        self.floor = Floor::default();
        for group in self.groups.values_mut() {
            group.reset();
        }
    }

    /// Removes the events before position `before`.
    pub fn trim_before(&mut self, before: u64) {
        while self.entries.first() < before && self.entries.pop_first().is_some() {}
    }

    /// Applies the retention at the wall-clock time `now`, in a topic where nothing is published any more.
    pub fn expire(&mut self, now: Timestamp) {
        self.look_at_floor();
        self.trim(now);
    }

    /// Removes the history that no attached reader still has to read.
    pub fn drop_history(&mut self) {
        self.look_at_floor();
        self.trim_before(
            self.floor
                .position()
                .min(self.group_floor())
                .min(self.entries.end()),
        );
    }

    /// Nothing will be appended any more; readers get the end after the last event.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the log was closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether anybody reads, grouped or not.
    pub fn has_readers(&self) -> bool {
        !self.readers.is_empty() || self.groups.values().any(|group| group.member_count() > 0)
    }

    /// Whether nobody reads and nothing is kept.
    pub fn is_idle(&self) -> bool {
        self.entries.len() == 0 && !self.has_readers()
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.entries.bytes()
    }

    /// Sizes.
    pub fn stats(&self) -> LogStats {
        LogStats {
            events: self.entries.len(),
            bytes: self.entries.bytes(),
            first: self.entries.first(),
            end: self.entries.end(),
            readers: self.readers.len(),
            members: self.groups.values().map(Group::member_count).sum(),
            unsettled: self.groups.values().map(Group::unsettled).sum(),
            generation: self.generation,
        }
    }

    /// The limits.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }
}
