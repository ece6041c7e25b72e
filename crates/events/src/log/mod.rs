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
mod reader;
mod slots;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use config::{Backlog, LogConfig, Redelivery};
pub use group::{DeadLetter, Grant};

use crate::clock::after;
use crate::{Event, Settlement, StartFrom, Text, Timestamp, Truncated};
use entries::Entries;
use group::{Group, Outbox};
use reader::{Floor, Reader};
use slots::Slots;

/// Names an ungrouped reader of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReaderId(u64);

/// Names a group of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(u64);

/// Names a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId {
    /// The group.
    pub group: GroupId,
    member: u64,
}

/// Why an append was refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The log was closed.
    Closed,
    /// The retention is reached and a group has not taken the oldest events yet.
    Full,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// So many events.
    Some(usize),
    /// Nothing now.
    Empty,
    /// Events were trimmed before they were read; reading goes on at `first`.
    Truncated(Truncated),
    /// The topic was cleared; reading goes on at the start of the new generation.
    Cleared,
    /// The log is closed and everything was read.
    End,
    /// There is no such reader or member.
    Gone,
}

/// Sizes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Events kept.
    pub events: usize,
    /// Bytes kept.
    pub bytes: usize,
    /// The oldest kept position.
    pub first: u64,
    /// The next position.
    pub end: u64,
    /// Ungrouped readers.
    pub readers: usize,
    /// Members of all groups.
    pub members: usize,
    /// Grouped events that are handed out or wait for a redelivery.
    pub unsettled: usize,
    /// Counts how often the topic was cleared.
    pub generation: u64,
}

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

    /// Whether an attached reader is so far behind that publishers should wait a little.
    pub fn is_pressed(&mut self) -> bool {
        let group_floor = self.group_floor();
        if group_floor < self.entries.end()
            && self
                .entries
                .bytes_from(group_floor.max(self.entries.first()))
                > self.config.backlog.group_bytes
        {
            return true;
        }
        if !is_behind(&self.entries, &self.config.backlog, self.floor.position()) {
            return false;
        }
        self.look_at_floor();
        is_behind(&self.entries, &self.config.backlog, self.floor.position())
    }

    /// Whether waiting publishers should go on: readers have caught up well below the point where waiting began, so that
    /// publishers and readers take turns in large steps.
    pub fn has_room(&mut self) -> bool {
        let backlog = &self.config.backlog;
        let low = Backlog {
            events: backlog.events / 4,
            bytes: backlog.bytes / 4,
            ..*backlog
        };
        let group_floor = self
            .group_floor()
            .clamp(self.entries.first(), self.entries.end());
        if self.entries.bytes_from(group_floor) > low.group_bytes / 2 {
            return false;
        }
        if is_behind(&self.entries, &low, self.floor.position()) {
            self.look_at_floor();
        }
        !is_behind(&self.entries, &low, self.floor.position())
    }

    /// Stops waiting for readers that are behind and have not read since `stall_after` before `now`.
    pub fn mark_stalled(&mut self, now: Instant) {
        for reader in self.readers.values_mut() {
            let silent =
                now.saturating_duration_since(reader.last_read) >= self.config.backlog.stall_after;
            if silent && is_behind(&self.entries, &self.config.backlog, reader.next) {
                reader.stalled = true;
            }
        }
    }

    /// Attaches an ungrouped reader.
    pub fn attach(&mut self, start: StartFrom, skippable: bool, now: Instant) -> ReaderId {
        let (next, generation) = self.start_position(start);
        self.floor.lower_to(next);
        ReaderId(self.readers.insert(Reader {
            next,
            generation,
            skippable,
            stalled: false,
            last_read: now,
            again: std::collections::VecDeque::new(),
        }))
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

    /// Hands up to `max` events to `sink`, with their positions.
    pub fn read(
        &mut self,
        reader: ReaderId,
        now: Instant,
        max: usize,
        mut sink: impl FnMut(u64, &Arc<Event>),
    ) -> Read {
        let Some(state) = self.readers.get_mut(reader.0) else {
            return Read::Gone;
        };
        if state.generation != self.generation {
            state.generation = self.generation;
            state.next = self.entries.first();
            state.again.clear();
            self.floor.lower_to(state.next);
            return Read::Cleared;
        }
        let mut count = 0;
        while count < max && state.again.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, seq, event)) = state.again.pop_front() {
                sink(seq, &event);
                count += 1;
            }
        }
        if state.next < self.entries.first() && count == 0 {
            let missed = Truncated {
                wanted: state.next,
                first: self.entries.first(),
            };
            state.next = missed.first;
            return Read::Truncated(missed);
        }
        let start = state.next;
        for event in self.entries.from(start).take(max - count) {
            sink(state.next, event);
            state.next += 1;
        }
        count += (state.next - start) as usize;
        if count > 0 {
            state.last_read = now;
            state.stalled = false;
            return Read::Some(count);
        }
        if self.closed && state.again.is_empty() {
            Read::End
        } else {
            Read::Empty
        }
    }

    /// An ungrouped reader refuses an event: it comes again to this reader alone, as another attempt, unless it came as often
    /// as allowed. Returns when.
    pub fn refuse(
        &mut self,
        reader: ReaderId,
        seq: u64,
        event: &Arc<Event>,
        now: Instant,
    ) -> Option<Instant> {
        let attempt = event.delivery_attempt;
        let redelivery = self.config.redelivery;
        if redelivery.max_deliveries.is_some_and(|max| attempt >= max) {
            let group = Text::default();
            self.dead.push(DeadLetter {
                group,
                seq,
                event: Arc::clone(event),
            });
            return None;
        }
        let at = after(now, redelivery.delay(attempt));
        self.readers.get_mut(reader.0)?.add_again(
            at,
            seq,
            Arc::new(event.with_attempt(attempt + 1)),
        );
        Some(at)
    }

    /// Removes a reader.
    pub fn detach(&mut self, reader: ReaderId) {
        self.readers.remove(reader.0);
    }

    /// Joins the group called `name`, which begins at `start` if it is new.
    pub fn join(&mut self, name: &Text, start: StartFrom, lease: Option<Duration>) -> MemberId {
        let (cursor, _) = self.start_position(start);
        let key = match self.find_group(name) {
            Some(key) => key,
            None => {
                self.floor.lower_to(cursor.min(self.entries.end()));
                self.groups
                    .insert(Group::new(name.clone(), cursor.min(self.entries.end())))
            }
        };
        let member = self
            .groups
            .get_mut(key)
            .map_or(0, |group| group.join(lease));
        self.dispatch(key);
        MemberId {
            group: GroupId(key),
            member,
        }
    }

    fn find_group(&self, name: &Text) -> Option<u64> {
        self.groups.keys().find(|key| {
            self.groups
                .get(*key)
                .is_some_and(|group| group.name == *name)
        })
    }

    /// Hands up to `max` events of the group to one member.
    pub fn take(
        &mut self,
        member: MemberId,
        now: Instant,
        max: usize,
        sink: impl FnMut(Grant),
    ) -> Read {
        let closed = self.closed;
        let end = self.entries.end();
        let Some(group) = self.groups.get_mut(member.group.0) else {
            return Read::Gone;
        };
        if !group.has_member(member.member) {
            return Read::Gone;
        }
        if let Some(missed) = group.missed.take() {
            return Read::Truncated(missed);
        }
        match group.take(member.member, now, max, sink) {
            0 if closed && group.unsettled() == 0 && group.cursor >= end => Read::End,
            0 => Read::Empty,
            count => Read::Some(count),
        }
    }

    /// Removes a member; its share goes to the others. A group without members is kept, with its position, only where the
    /// topic keeps events.
    pub fn leave(&mut self, member: MemberId) {
        let Some(group) = self.groups.get_mut(member.group.0) else {
            return;
        };
        group.leave(member.member);
        if group.member_count() == 0 && self.config.retention.events == 0 {
            self.groups.remove(member.group.0);
        } else {
            self.dispatch(member.group.0);
        }
    }

    /// Carries out what a member decided about a grant. A token that is not valid any more is ignored.
    pub fn settle(&mut self, group: GroupId, token: u64, settlement: Settlement, now: Instant) {
        let mut out = Outbox::default();
        if let Some(state) = self.groups.get_mut(group.0) {
            state.settle(token, settlement, now, &self.config, &mut out);
            if state.needs_dispatch(self.entries.end()) {
                state.dispatch(&self.entries, self.config.group_window, &mut out);
            }
        }
        self.collect(group.0, out);
    }

    /// Prolongs the lease of a grant; false when it is not valid any more.
    pub fn renew(&mut self, group: GroupId, token: u64, now: Instant) -> bool {
        self.groups
            .get_mut(group.0)
            .is_some_and(|state| state.renew(token, now))
    }

    /// Lets time pass for the groups: due redeliveries and expired leases.
    pub fn tick(&mut self, now: Instant) {
        let mut next = self.groups.first_key();
        while let Some(key) = next {
            let mut out = Outbox::default();
            if let Some(group) = self.groups.get_mut(key) {
                group.tick(now, &self.config, &mut out);
                group.dispatch(&self.entries, self.config.group_window, &mut out);
            }
            self.collect(key, out);
            next = self.groups.key_after(key);
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_timer(&self) -> Option<Instant> {
        let again = self
            .readers
            .values()
            .filter_map(|reader| reader.again.front().map(|(at, ..)| *at));
        self.groups
            .values()
            .filter_map(Group::next_timer)
            .chain(again)
            .min()
    }

    fn dispatch_all(&mut self) {
        let mut next = self.groups.first_key();
        while let Some(key) = next {
            self.dispatch(key);
            next = self.groups.key_after(key);
        }
    }

    fn dispatch(&mut self, key: u64) {
        let mut out = Outbox::default();
        if let Some(group) = self.groups.get_mut(key) {
            group.dispatch(&self.entries, self.config.group_window, &mut out);
        }
        self.collect(key, out);
    }

    fn collect(&mut self, key: u64, out: Outbox) {
        self.ready
            .extend(out.ready.into_iter().map(|member| MemberId {
                group: GroupId(key),
                member,
            }));
        self.dead.extend(out.dead);
    }

    /// Members that got something to take since the last call.
    pub fn take_ready(&mut self) -> std::vec::Drain<'_, MemberId> {
        self.ready.drain(..)
    }

    /// Events that no group member would do, since the last call.
    pub fn take_dead(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead)
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

    /// The names of the groups.
    pub fn groups(&self) -> Vec<Text> {
        self.groups
            .values()
            .map(|group| group.name.clone())
            .collect()
    }

    /// Members of the group called `name`.
    pub fn group_members(&self, name: &Text) -> usize {
        self.groups
            .values()
            .find(|group| group.name == *name)
            .map_or(0, Group::member_count)
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

/// Whether a reader at `position` is further behind than publishers should let it be.
fn is_behind(entries: &Entries, backlog: &Backlog, position: u64) -> bool {
    let position = position.max(entries.first());
    entries.end() - position > backlog.events as u64 || entries.bytes_from(position) > backlog.bytes
}
