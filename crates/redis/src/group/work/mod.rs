//! The unsettled events of a group in this process, and which member has them: a state machine without I/O.
//!
//! What was read waits in one queue for all members. A member that asks takes a fair part of it; members that found nothing are
//! offered the next events in turn. So a member that stands still keeps what it took, and nothing that it did not ask for.

mod item;
mod members;
#[cfg(test)]
mod model;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::Event;

use crate::stream::StreamId;
use item::{Item, Place, Token};
pub(super) use item::{NewItem, Refused};
use members::Members;
pub(super) use members::{MemberId, Notice};

/// How long an offer stands before others get the event.
pub(super) const OFFER: Duration = Duration::from_secs(1);

/// Events that a member takes at once while members are slow: few, so that nobody sits on what others could do.
pub(super) const SMALL_SHARE: usize = 16;

/// The unsettled events of a group, and its members.
#[derive(Debug, Default)]
pub(super) struct Work {
    items: HashMap<u64, Item>,
    next: u64,
    members: Members,
    /// What came back comes first, the oldest before the newest.
    again: VecDeque<u64>,
    fresh: VecDeque<u64>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    leases: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Items in the two queues.
    queued: usize,
    /// Items that nobody has taken: queued or offered.
    waiting: usize,
    /// Items in the hands of members.
    in_hand: usize,
    /// Items that stand for an entry of the stream.
    entries: usize,
    bytes: usize,
}

impl Work {
    /// Adds an event behind the others.
    pub(super) fn push(&mut self, new: NewItem, now: Instant) {
        let item = Item::new(new, now);
        self.entries += usize::from(item.id.is_some());
        self.bytes += item.weight;
        let serial = self.next;
        self.next += 1;
        self.items.insert(serial, item);
        self.fresh.push_back(serial);
        self.queued += 1;
        self.waiting += 1;
    }

    /// Offers what is queued to members that wait for it. To be called after a number of changes.
    pub(super) fn offer(&mut self, now: Instant) {
        while self.queued > 0 {
            let Some(member) = self.members.next_idle() else {
                return;
            };
            let Some(serial) = self.pop() else { return };
            if let Some(item) = self.items.get_mut(&serial) {
                item.place = Place::Offered(member);
            }
            self.members.offer(member, serial, now);
        }
    }

    /// Hands up to `max` events to `member`; it counts as waiting when there are none.
    pub(super) fn take(
        &mut self,
        member: MemberId,
        max: usize,
        now: Instant,
        mut sink: impl FnMut(Arc<Event>, u64),
    ) -> usize {
        let (offered, lease) = match self.members.ask(member) {
            Some(asked) => asked,
            None => return 0,
        };
        let mut taken = 0;
        for serial in offered {
            let here = self.items.get(&serial);
            if here.is_some_and(|item| item.place == Place::Offered(member)) {
                sink_one(self.hand_out(serial, member, lease, now), &mut sink);
                taken += 1;
            }
        }
        let share = self.queued.div_ceil(self.members.len().max(1)).min(max);
        while taken < share {
            let Some(serial) = self.pop() else { break };
            sink_one(self.hand_out(serial, member, lease, now), &mut sink);
            taken += 1;
        }
        self.members.asked(member, taken > 0);
        taken
    }

    fn hand_out(
        &mut self,
        serial: u64,
        member: MemberId,
        lease: Option<Duration>,
        now: Instant,
    ) -> Option<(Arc<Event>, u64)> {
        let item = self.items.get_mut(&serial)?;
        item.grant = item.grant.wrapping_add(1);
        let deadline = lease.and_then(|lease| now.checked_add(lease));
        item.place = Place::Held {
            member,
            since: now,
            lease,
            deadline,
        };
        self.waiting -= 1;
        self.in_hand += 1;
        let token = Token::new(serial, item.grant);
        if let Some(deadline) = deadline {
            self.leases.push(Reverse((deadline, token.0)));
        }
        Some((Arc::clone(&item.event), token.0))
    }

    /// The next queued item, which is of no queue afterwards.
    fn pop(&mut self) -> Option<u64> {
        loop {
            let serial = match self.again.pop_front() {
                Some(serial) => serial,
                None => self.fresh.pop_front()?,
            };
            // Items that are gone leave their number behind.
            if self.items.get(&serial).is_some_and(Item::is_queued) {
                self.queued -= 1;
                return Some(serial);
            }
        }
    }

    fn held(&mut self, token: u64) -> Option<(u64, &mut Item)> {
        let (serial, grant) = Token(token).parts();
        let item = self.items.get_mut(&serial)?;
        let valid = item.grant == grant && matches!(item.place, Place::Held { .. });
        valid.then_some((serial, item))
    }

    /// The work is done: the entry to acknowledge. `None` outside for a token that is not valid any more.
    pub(super) fn ack(&mut self, token: u64) -> Option<Option<StreamId>> {
        let (serial, item) = self.held(token)?;
        let id = item.id;
        self.remove(serial);
        Some(id)
    }

    /// Puts an event back as if it had not been handed out; false for a token that is not valid any more.
    pub(super) fn release(&mut self, token: u64) -> bool {
        let Some((serial, item)) = self.held(token) else {
            return false;
        };
        item.place = Place::Queued;
        self.in_hand -= 1;
        self.requeue(serial);
        true
    }

    /// Puts an item back into the queue where it was, before later ones.
    fn requeue(&mut self, serial: u64) {
        let place = self.again.partition_point(|other| *other < serial);
        self.again.insert(place, serial);
        self.queued += 1;
        self.waiting += 1;
    }

    /// Takes a refused event from its member; it is in nobody's hands until [`retry`](Self::retry) or
    /// [`forget`](Self::forget). `None` for a token that is not valid any more.
    pub(super) fn refuse(&mut self, token: u64) -> Option<Refused> {
        let (serial, _) = self.held(token)?;
        self.withdraw(serial)
    }

    fn withdraw(&mut self, serial: u64) -> Option<Refused> {
        let item = self.items.get_mut(&serial)?;
        item.place = Place::Refused;
        self.in_hand -= 1;
        Some(item.refused(serial))
    }

    /// Has a refused event come again as the next attempt, at `at` or at once.
    pub(super) fn retry(&mut self, serial: u64, at: Option<Instant>) {
        let Some(item) = self.items.get_mut(&serial) else {
            return;
        };
        let attempt = item.event.delivery_attempt.saturating_add(1);
        item.event = Arc::new(item.event.with_attempt(attempt));
        item.counted = item.counted.saturating_add(1);
        match at {
            Some(at) => {
                item.place = Place::Delayed;
                self.delayed.push(Reverse((at, serial)));
            }
            None => {
                item.place = Place::Queued;
                self.again.push_back(serial);
                self.queued += 1;
                self.waiting += 1;
            }
        }
    }

    /// Forgets an item, wherever it is.
    pub(super) fn forget(&mut self, serial: u64) {
        self.remove(serial);
    }

    fn remove(&mut self, serial: u64) -> Option<Item> {
        let item = self.items.remove(&serial)?;
        self.entries -= usize::from(item.id.is_some());
        self.bytes -= item.weight;
        match item.place {
            Place::Queued => {
                self.queued -= 1;
                self.waiting -= 1;
            }
            Place::Offered(_) => self.waiting -= 1,
            Place::Held { .. } => self.in_hand -= 1,
            Place::Delayed | Place::Refused => {}
        }
        Some(item)
    }

    /// The member still works on it: its time begins anew. The entry, for a token that is still valid.
    pub(super) fn renew(&mut self, token: u64, now: Instant) -> Option<Option<StreamId>> {
        let (_, item) = self.held(token)?;
        if let Place::Held {
            since,
            lease,
            deadline,
            ..
        } = &mut item.place
        {
            *since = now;
            *deadline = lease.and_then(|lease| now.checked_add(lease));
        }
        Some(item.id)
    }

    /// Lets time pass: delayed events become work, offers that nobody took go to others. What is returned was held longer than
    /// its lease allows, and counts as refused.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Refused> {
        while let Some(Reverse((at, serial))) = self.delayed.peek().copied() {
            if at > now {
                break;
            }
            self.delayed.pop();
            if let Some(item) = self.items.get_mut(&serial)
                && item.place == Place::Delayed
            {
                item.place = Place::Queued;
                self.again.push_back(serial);
                self.queued += 1;
                self.waiting += 1;
            }
        }
        for serial in self.members.withdraw_offers(now) {
            self.unoffer(serial);
        }
        let mut expired = Vec::new();
        while let Some(Reverse((at, token))) = self.leases.peek().copied() {
            if at > now {
                break;
            }
            self.leases.pop();
            expired.extend(self.expire(token, now));
        }
        self.offer(now);
        expired
    }

    fn expire(&mut self, token: u64, now: Instant) -> Option<Refused> {
        let (serial, item) = self.held(token)?;
        let Place::Held {
            member, deadline, ..
        } = item.place
        else {
            return None;
        };
        match deadline {
            Some(later) if later > now => {
                self.leases.push(Reverse((later, token)));
                None
            }
            _ => {
                self.members.hangs(member);
                self.withdraw(serial)
            }
        }
    }

    fn unoffer(&mut self, serial: u64) {
        if let Some(item) = self.items.get_mut(&serial)
            && matches!(item.place, Place::Offered(_))
        {
            item.place = Place::Queued;
            self.waiting -= 1;
            self.requeue(serial);
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let delayed = self.delayed.peek().map(|Reverse((at, _))| *at);
        let lease = self.leases.peek().map(|Reverse((at, _))| *at);
        [delayed, lease, self.members.next_timer()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes events from members that hold them longer than `limit`.
    pub(super) fn overdue(&mut self, limit: Duration, now: Instant) -> Vec<Refused> {
        let is_late = |item: &Item| matches!(item.place, Place::Held { since, .. } if now.saturating_duration_since(since) >= limit);
        let late: Vec<u64> = self
            .items
            .iter()
            .filter(|(_, item)| item.id.is_some() && is_late(item))
            .map(|(serial, _)| *serial)
            .collect();
        late.into_iter()
            .filter_map(|serial| self.withdraw(serial))
            .collect()
    }

    /// The entries that showed no sign of life to the server for `age`; they count as renewed.
    pub(super) fn to_renew(&mut self, age: Duration, now: Instant) -> Vec<StreamId> {
        let mut ids = Vec::new();
        for item in self.items.values_mut() {
            if now.saturating_duration_since(item.renewed) >= age
                && let Some(id) = item.id
            {
                item.renewed = now;
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids
    }

    /// Others have taken these entries over: what nobody holds here is dropped, and the rest will not be handed back or
    /// delivered again from here.
    pub(super) fn lost(&mut self, ids: &[StreamId]) {
        let ids: HashSet<StreamId> = ids.iter().copied().collect();
        let serials: Vec<u64> = self
            .items
            .iter()
            .filter(|(_, item)| item.id.is_some_and(|id| ids.contains(&id)))
            .map(|(serial, _)| *serial)
            .collect();
        for serial in serials {
            match self.items.get_mut(&serial) {
                Some(item) if matches!(item.place, Place::Held { .. }) => item.lost = true,
                _ => {
                    self.remove(serial);
                }
            }
        }
    }

    /// The entries that are here.
    pub(super) fn ids(&self) -> HashSet<StreamId> {
        self.items.values().filter_map(|item| item.id).collect()
    }

    /// Takes out what no member has in its hands: the entries, and how many deliveries of each the server counts.
    pub(super) fn drain_waiting(&mut self) -> Vec<(StreamId, u32)> {
        self.drain(|item| {
            matches!(
                item.place,
                Place::Queued | Place::Offered(_) | Place::Delayed
            )
        })
    }

    /// Takes out everything that members have in their hands.
    pub(super) fn drain_held(&mut self) -> Vec<(StreamId, u32)> {
        self.drain(|item| matches!(item.place, Place::Held { .. }))
    }

    fn drain(&mut self, which: impl Fn(&Item) -> bool) -> Vec<(StreamId, u32)> {
        let serials: Vec<u64> = self
            .items
            .iter()
            .filter(|(_, item)| which(item))
            .map(|(serial, _)| *serial)
            .collect();
        let items = serials.into_iter().filter_map(|serial| self.remove(serial));
        items
            .filter(|item| !item.lost)
            .filter_map(|item| Some((item.id?, item.counted)))
            .collect()
    }

    /// The stream is gone, and all entries with it. Every member is told.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.again.clear();
        self.fresh.clear();
        self.delayed.clear();
        self.leases.clear();
        (self.queued, self.waiting, self.in_hand) = (0, 0, 0);
        (self.entries, self.bytes) = (0, 0);
        self.members.clear_offers();
        self.members.tell(Notice::Cleared);
    }

    /// A member joins; `lease` bounds how long it may hold an event.
    pub(super) fn join(&mut self, lease: Option<Duration>) -> MemberId {
        self.members.join(lease)
    }

    /// A member leaves. What it was offered goes to the others; what it holds stays with the holder until it is settled.
    pub(super) fn leave(&mut self, member: MemberId, now: Instant) {
        for serial in self.members.leave(member) {
            self.unoffer(serial);
        }
        self.offer(now);
    }

    /// Tells every member.
    pub(super) fn tell(&mut self, notice: Notice) {
        self.members.tell(notice);
    }

    /// What `member` was not told yet.
    pub(super) fn take_notice(&mut self, member: MemberId) -> Option<Notice> {
        self.members.take_notice(member)
    }

    /// Members that have something to take since the last call.
    pub(super) fn take_woken(&mut self) -> Vec<MemberId> {
        self.members.take_woken()
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// Events that no member has taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Events in the hands of members.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// Unsettled entries of the stream.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Unsettled events that are of no stream.
    pub(super) fn local(&self) -> usize {
        self.items.len() - self.entries
    }

    /// Bytes of all unsettled events.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn sink_one(granted: Option<(Arc<Event>, u64)>, sink: &mut impl FnMut(Arc<Event>, u64)) {
    if let Some((event, token)) = granted {
        sink(event, token);
    }
}
