//! Competing consumers: each event goes to one member, again and again until one of them acks it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entries::Entries;
use super::slots::Slots;
use super::{LogConfig, Redelivery};
use crate::clock::after;
use crate::{Event, Settlement, Text, Truncated};

/// An event that a member must settle, as [`TopicLog::take`](super::TopicLog::take) hands it out.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Names the delivery when it is settled.
    pub token: u64,
    /// The position of the event.
    pub seq: u64,
    /// The event, with its delivery attempt.
    pub event: Arc<Event>,
}

#[derive(Debug, Clone)]
struct Work {
    seq: u64,
    event: Arc<Event>,
}

#[derive(Debug, Clone)]
struct Held {
    work: Work,
    member: u64,
    lease: Option<(Duration, Instant)>,
}

#[derive(Debug, Clone)]
struct Member {
    queue: VecDeque<Work>,
    outstanding: usize,
    lease: Option<Duration>,
    /// Let a lease expire and has shown no life since: others come first.
    hung: bool,
}

/// An event that was delivered as often as allowed and never acked.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The group that could not do it.
    pub group: Text,
    /// Its position.
    pub seq: u64,
    /// The event as it was delivered last.
    pub event: Arc<Event>,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: Text,
    members: Slots<Member>,
    /// Members in the order in which they joined.
    rotation: Vec<u64>,
    turn: usize,
    pub(super) cursor: u64,
    due: VecDeque<Work>,
    delayed: BinaryHeap<Reverse<(Instant, u64, u64)>>,
    waiting: Slots<Work>,
    held: Slots<Held>,
    leases: BinaryHeap<Reverse<(Instant, u64)>>,
    pub(super) missed: Option<Truncated>,
    /// Ever larger, so that equal instants keep their order.
    ticket: u64,
}

/// What the group wants its owner to do.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    /// Members that have something to take.
    pub(super) ready: Vec<u64>,
    pub(super) dead: Vec<DeadLetter>,
}

impl Group {
    pub(super) fn new(name: Text, cursor: u64) -> Self {
        Self {
            name,
            members: Slots::new(),
            rotation: Vec::new(),
            turn: 0,
            cursor,
            due: VecDeque::new(),
            delayed: BinaryHeap::new(),
            waiting: Slots::new(),
            held: Slots::new(),
            leases: BinaryHeap::new(),
            missed: None,
            ticket: 0,
        }
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn has_member(&self, member: u64) -> bool {
        self.members.get(member).is_some()
    }

    pub(super) fn join(&mut self, lease: Option<Duration>) -> u64 {
        let member = self.members.insert(Member {
            queue: VecDeque::new(),
            outstanding: 0,
            lease,
            hung: false,
        });
        self.rotation.push(member);
        member
    }

    /// Takes a member out. What it had not taken goes to the others; what it holds stays with the holder until settled.
    pub(super) fn leave(&mut self, member: u64) {
        let Some(gone) = self.members.remove(member) else {
            return;
        };
        if let Some(place) = self.rotation.iter().position(|id| *id == member) {
            self.rotation.remove(place);
            if self.turn > place {
                self.turn -= 1;
            }
        }
        for work in gone.queue.into_iter().rev() {
            self.due.push_front(work);
        }
    }

    /// Whether there is work that nobody has been given yet.
    pub(super) fn needs_dispatch(&self, end: u64) -> bool {
        !self.due.is_empty() || self.cursor < end
    }

    /// Gives work to members that have room, in rotation.
    pub(super) fn dispatch(&mut self, entries: &Entries, window: usize, out: &mut Outbox) {
        while !self.rotation.is_empty() && (!self.due.is_empty() || self.cursor < entries.end()) {
            let Some(id) = self.next_ready(window) else {
                return;
            };
            let Some(work) = self.next_work(entries) else {
                return;
            };
            if let Some(member) = self.members.get_mut(id) {
                if member.queue.is_empty() {
                    out.ready.push(id);
                }
                member.queue.push_back(work);
                member.outstanding += 1;
            }
        }
    }

    /// The next member in rotation that has room; one that hangs only if all do.
    fn next_ready(&mut self, window: usize) -> Option<u64> {
        let has_room = |id: &u64, hung: bool| {
            self.members
                .get(*id)
                .is_some_and(|member| member.hung == hung && member.outstanding < window)
        };
        let order =
            || (0..self.rotation.len()).map(|step| (self.turn + step) % self.rotation.len());
        let place = order()
            .find(|place| has_room(&self.rotation[*place], false))
            .or_else(|| order().find(|place| has_room(&self.rotation[*place], true)))?;
        self.turn = (place + 1) % self.rotation.len();
        Some(self.rotation[place])
    }

    fn next_work(&mut self, entries: &Entries) -> Option<Work> {
        if let Some(work) = self.due.pop_front() {
            return Some(work);
        }
        if self.cursor < entries.first() {
            let wanted = self.missed.map_or(self.cursor, |missed| missed.wanted);
            self.missed = Some(Truncated {
                wanted,
                first: entries.first(),
            });
            self.cursor = entries.first();
        }
        let work = Work {
            seq: self.cursor,
            event: Arc::clone(entries.get(self.cursor)?),
        };
        self.cursor += 1;
        Some(work)
    }

    pub(super) fn take(
        &mut self,
        member: u64,
        now: Instant,
        max: usize,
        mut sink: impl FnMut(Grant),
    ) -> usize {
        let Some(state) = self.members.get_mut(member) else {
            return 0;
        };
        state.hung = false;
        let count = state.queue.len().min(max);
        for work in state.queue.drain(..count) {
            let lease = state.lease.map(|lease| (lease, after(now, lease)));
            let token = self.held.insert(Held {
                work: work.clone(),
                member,
                lease,
            });
            if let Some((_, deadline)) = lease {
                self.leases.push(Reverse((deadline, token)));
            }
            sink(Grant {
                token,
                seq: work.seq,
                event: work.event,
            });
        }
        count
    }

    /// Carries out what a member decided. A token that is not held any more is ignored.
    pub(super) fn settle(
        &mut self,
        token: u64,
        settlement: Settlement,
        now: Instant,
        config: &LogConfig,
        out: &mut Outbox,
    ) {
        let Some(held) = self.held.remove(token) else {
            return;
        };
        if let Some(member) = self.members.get_mut(held.member) {
            member.outstanding -= 1;
            member.hung = false;
        }
        match settlement {
            Settlement::Ack => {}
            Settlement::Release => self.hand_back(held.work),
            Settlement::Nack | Settlement::Dropped => {
                self.redeliver(held.work, now, &config.redelivery, out);
            }
        }
    }

    pub(super) fn renew(&mut self, token: u64, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(token) else {
            return false;
        };
        if let Some((lease, deadline)) = &mut held.lease {
            *deadline = after(now, *lease);
        }
        true
    }

    /// Puts undelivered work back where it was, before later work.
    fn hand_back(&mut self, work: Work) {
        let place = self.due.partition_point(|other| other.seq < work.seq);
        self.due.insert(place, work);
    }

    fn redeliver(&mut self, work: Work, now: Instant, redelivery: &Redelivery, out: &mut Outbox) {
        let attempt = work.event.delivery_attempt;
        if redelivery.max_deliveries.is_some_and(|max| attempt >= max) {
            out.dead.push(DeadLetter {
                group: self.name.clone(),
                seq: work.seq,
                event: work.event,
            });
            return;
        }
        let work = Work {
            seq: work.seq,
            event: Arc::new(work.event.with_attempt(attempt + 1)),
        };
        let delay = redelivery.delay(attempt);
        if delay.is_zero() {
            self.due.push_back(work);
        } else {
            self.ticket += 1;
            let key = self.waiting.insert(work);
            self.delayed
                .push(Reverse((after(now, delay), self.ticket, key)));
        }
    }

    /// Lets time pass: due redeliveries become work, expired leases are taken back.
    pub(super) fn tick(&mut self, now: Instant, config: &LogConfig, out: &mut Outbox) {
        while let Some(Reverse((at, _, key))) = self.delayed.peek().copied() {
            if at > now {
                break;
            }
            self.delayed.pop();
            if let Some(work) = self.waiting.remove(key) {
                self.due.push_back(work);
            }
        }
        while let Some(Reverse((at, token))) = self.leases.peek().copied() {
            if at > now {
                break;
            }
            self.leases.pop();
            match self.held.get(token).and_then(|held| held.lease) {
                Some((_, deadline)) if deadline > now => {
                    self.leases.push(Reverse((deadline, token)));
                }
                Some(_) => self.expire(token, now, config, out),
                None => {}
            }
        }
    }

    /// A member let its lease expire: the event counts as refused, and what waits for that member goes to the others.
    fn expire(&mut self, token: u64, now: Instant, config: &LogConfig, out: &mut Outbox) {
        let holder = self.held.get(token).map(|held| held.member);
        self.settle(token, Settlement::Nack, now, config, out);
        if let Some(member) = holder.and_then(|id| self.members.get_mut(id)) {
            member.hung = true;
            let waiting = std::mem::take(&mut member.queue);
            member.outstanding -= waiting.len();
            for work in waiting.into_iter().rev() {
                self.hand_back(work);
            }
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let delayed = self.delayed.peek().map(|Reverse((at, ..))| *at);
        let lease = self.leases.peek().map(|Reverse((at, _))| *at);
        match (delayed, lease) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Forgets all work after the topic was cleared; the members stay.
    pub(super) fn reset(&mut self) {
        self.cursor = 0;
        self.turn = 0;
        self.due.clear();
        self.delayed.clear();
        self.waiting = Slots::new();
        self.leases.clear();
        self.missed = None;
        let held = std::mem::replace(&mut self.held, Slots::new());
        self.held = held.emptied();
        for member in self.members.values_mut() {
            member.queue.clear();
            member.outstanding = 0;
        }
    }

    /// Events that were handed out or wait for a redelivery.
    pub(super) fn unsettled(&self) -> usize {
        self.held.len()
            + self.waiting.len()
            + self.due.len()
            + self
                .members
                .values()
                .map(|member| member.queue.len())
                .sum::<usize>()
    }
}
