//! The members of a group in this process, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::OFFER;

/// Names a member; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::group) struct MemberId(u64);

/// What all members are told beside events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::group) enum Notice {
    /// The stream was deleted.
    Cleared,
    /// The positions from `wanted` to before `first` were trimmed before the group had read them.
    Truncated { wanted: u64, first: u64 },
}

#[derive(Debug, Default)]
struct Member {
    offered: VecDeque<u64>,
    /// When the first of them was offered.
    offered_at: Option<Instant>,
    lease: Option<Duration>,
    /// Let time pass without a sign of life: others come first.
    hung: bool,
    notices: VecDeque<Notice>,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    members: BTreeMap<MemberId, Member>,
    next: u64,
    /// Members that found nothing when they asked, the longest waiting first.
    idle: VecDeque<MemberId>,
    woken: Vec<MemberId>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn join(&mut self, lease: Option<Duration>) -> MemberId {
        let id = MemberId(self.next);
        self.next += 1;
        let member = Member {
            lease,
            ..Member::default()
        };
        self.members.insert(id, member);
        id
    }

    /// Takes a member out, and returns what it was offered.
    pub(super) fn leave(&mut self, id: MemberId) -> VecDeque<u64> {
        self.idle.retain(|other| *other != id);
        let member = self.members.remove(&id);
        member.map(|member| member.offered).unwrap_or_default()
    }

    /// A member asks for work: what it was offered, and its lease. `None` for one that left.
    pub(super) fn ask(&mut self, id: MemberId) -> Option<(VecDeque<u64>, Option<Duration>)> {
        let member = self.members.get_mut(&id)?;
        member.hung = false;
        member.offered_at = None;
        let offered = std::mem::take(&mut member.offered);
        Some((offered, member.lease))
    }

    /// A member asked: without work it waits, and keeps its turn if it did before.
    pub(super) fn asked(&mut self, id: MemberId, found: bool) {
        let place = self.idle.iter().position(|other| *other == id);
        match (found, place) {
            (false, None) => self.idle.push_back(id),
            (true, Some(place)) => drop(self.idle.remove(place)),
            _ => {}
        }
    }

    /// The member whose turn it is among those that wait; one that hangs only if all do.
    pub(super) fn next_idle(&mut self) -> Option<MemberId> {
        let lively = |id: &MemberId| self.members.get(id).is_some_and(|member| !member.hung);
        let place = self.idle.iter().position(lively).unwrap_or(0);
        self.idle.remove(place)
    }

    /// Sets an event aside for `id`, which is woken.
    pub(super) fn offer(&mut self, id: MemberId, serial: u64, now: Instant) {
        if let Some(member) = self.members.get_mut(&id) {
            member.offered.push_back(serial);
            member.offered_at.get_or_insert(now);
            self.woken.push(id);
        }
    }

    /// Takes back offers that nobody took in time, as long as there are others who could.
    pub(super) fn withdraw_offers(&mut self, now: Instant) -> Vec<u64> {
        let mut withdrawn = Vec::new();
        if self.members.len() < 2 {
            return withdrawn;
        }
        for member in self.members.values_mut() {
            if member.offered_at.is_some_and(|at| at + OFFER <= now) {
                member.offered_at = None;
                member.hung = true;
                withdrawn.extend(member.offered.drain(..));
            }
        }
        withdrawn
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        if self.members.len() < 2 {
            return None;
        }
        let offers = self.members.values().filter_map(|member| member.offered_at);
        offers.min().map(|at| at + OFFER)
    }

    /// A member let its time pass.
    pub(super) fn hangs(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.hung = true;
        }
    }

    /// Forgets what was offered; who waits goes on waiting.
    pub(super) fn clear_offers(&mut self) {
        for member in self.members.values_mut() {
            member.offered.clear();
            member.offered_at = None;
        }
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        for (id, member) in &mut self.members {
            match (member.notices.back_mut(), notice) {
                (Some(Notice::Cleared), Notice::Cleared) => {}
                (Some(Notice::Truncated { first, .. }), Notice::Truncated { first: later, .. }) => {
                    *first = later.max(*first);
                }
                // A gap in a history that is gone is of no interest.
                (_, Notice::Cleared) => {
                    member.notices.clear();
                    member.notices.push_back(notice);
                }
                _ => member.notices.push_back(notice),
            }
            self.woken.push(*id);
        }
    }

    pub(super) fn take_notice(&mut self, id: MemberId) -> Option<Notice> {
        self.members.get_mut(&id)?.notices.pop_front()
    }

    pub(super) fn take_woken(&mut self) -> Vec<MemberId> {
        std::mem::take(&mut self.woken)
    }
}
