//! What groups do with a log.

use std::time::{Duration, Instant};

use super::group::{DeadLetter, Grant, Group, Outbox};
use super::{GroupId, MemberId, Read, TopicLog};
use crate::{Settlement, StartFrom, Text};

impl TopicLog {
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

    pub(super) fn dispatch_all(&mut self) {
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
}
