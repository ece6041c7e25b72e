//! What this process is subscribed to, and what the broker has confirmed of it. No input or output happens here.

use std::collections::HashMap;

use bowline_events::{Text, Topic};

use crate::broker::Membership;
use crate::frame::Kind;

/// Frames of one kind sent on the present connection, and how many of them were acknowledged.
#[derive(Debug, Default, Clone, Copy)]
struct Requests {
    sent: u64,
    acknowledged: u64,
}

impl Requests {
    fn outstanding(self) -> bool {
        self.acknowledged < self.sent
    }
}

#[derive(Debug, Default)]
struct Entry {
    subscribers: usize,
    /// Age of the membership.
    order: u64,
    subscribe: Requests,
    unsubscribe: Requests,
    refused: bool,
}

/// What an acknowledgement told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// It belongs to a request.
    Expected,
    /// Nobody asked for it; nothing changes.
    Unexpected,
    /// The broker is so old that it does not know groups: it took this grouped membership for an ungrouped one.
    WithoutGroup(Membership),
}

/// The memberships of this process: one per topic and group, however many subscribers share it.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    entries: HashMap<Membership, Entry>,
    joined: u64,
}

impl Memberships {
    /// Adds a subscriber. Whether it is the first, so that the broker has to be told.
    pub(crate) fn join(&mut self, membership: &Membership) -> bool {
        self.joined += 1;
        let entry = self.entries.entry(membership.clone()).or_default();
        entry.subscribers += 1;
        let first = entry.subscribers == 1;
        if first {
            entry.order = self.joined;
            entry.refused = false;
        }
        first
    }

    /// Removes a subscriber. Whether it was the last, so that the broker has to be told.
    pub(crate) fn leave(&mut self, membership: &Membership) -> bool {
        let Some(entry) = self
            .entries
            .get_mut(membership)
            .filter(|entry| entry.subscribers > 0)
        else {
            return false;
        };
        entry.subscribers -= 1;
        let last = entry.subscribers == 0;
        self.forget_if_settled(membership);
        last
    }

    fn forget_if_settled(&mut self, membership: &Membership) {
        let settled = self.entries.get(membership).is_some_and(|entry| {
            entry.subscribers == 0
                && !entry.subscribe.outstanding()
                && !entry.unsubscribe.outstanding()
        });
        if settled {
            self.entries.remove(membership);
        }
    }

    /// A frame for `membership` was queued on the present connection.
    pub(crate) fn requested(&mut self, kind: Kind, membership: &Membership) {
        let entry = self.entries.entry(membership.clone()).or_default();
        match kind {
            Kind::Subscribe => entry.subscribe.sent += 1,
            _ => entry.unsubscribe.sent += 1,
        }
    }

    /// A new connection begins: nothing is confirmed on it yet. Returns what to subscribe to, oldest first.
    pub(crate) fn reconnected(&mut self) -> Vec<Membership> {
        self.disconnected();
        let active = self.active();
        for membership in &active {
            self.requested(Kind::Subscribe, membership);
        }
        active
    }

    /// The connection is gone, and with it every outstanding request.
    pub(crate) fn disconnected(&mut self) {
        self.entries.retain(|_, entry| entry.subscribers > 0);
        for entry in self.entries.values_mut() {
            entry.subscribe = Requests::default();
            entry.unsubscribe = Requests::default();
            entry.refused = false;
        }
    }

    /// Memberships with subscribers, oldest first.
    pub(crate) fn active(&self) -> Vec<Membership> {
        let mut active: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.subscribers > 0)
            .collect();
        active.sort_by_key(|(_, entry)| entry.order);
        active
            .into_iter()
            .map(|(membership, _)| membership.clone())
            .collect()
    }

    /// Groups of `topic` with subscribers, oldest first.
    pub(crate) fn groups(&self, topic: &Topic) -> Vec<Text> {
        let of_topic = self
            .active()
            .into_iter()
            .filter(|membership| membership.topic == *topic);
        of_topic.filter_map(|membership| membership.group).collect()
    }

    /// Subscribers of this process that share `membership`.
    pub(crate) fn subscribers(&self, membership: &Membership) -> usize {
        self.entries
            .get(membership)
            .map_or(0, |entry| entry.subscribers)
    }

    /// Whether `membership` has subscribers.
    pub(crate) fn is_active(&self, membership: &Membership) -> bool {
        self.subscribers(membership) > 0
    }

    /// The broker acknowledged a request of `kind`.
    pub(crate) fn acknowledged(&mut self, kind: Kind, membership: &Membership) -> Acknowledged {
        if let Some(entry) = self.entries.get_mut(membership) {
            let requests = match kind {
                Kind::Subscribed => &mut entry.subscribe,
                _ => &mut entry.unsubscribe,
            };
            if requests.outstanding() {
                requests.acknowledged += 1;
                self.forget_if_settled(membership);
                return Acknowledged::Expected;
            }
        }
        if kind != Kind::Subscribed || membership.group.is_some() {
            return Acknowledged::Unexpected;
        }
        let grouped = self
            .entries
            .iter_mut()
            .filter(|(other, entry)| {
                other.topic == membership.topic && entry.subscribe.outstanding()
            })
            .min_by_key(|(_, entry)| entry.order);
        match grouped {
            Some((other, entry)) => {
                entry.subscribe.acknowledged += 1;
                entry.refused = true;
                Acknowledged::WithoutGroup(other.clone())
            }
            None => Acknowledged::Unexpected,
        }
    }

    /// Whether the broker has confirmed every subscribe frame for `membership`.
    pub(crate) fn is_confirmed(&self, membership: &Membership) -> bool {
        self.entries
            .get(membership)
            .is_some_and(|entry| entry.subscribe.sent > 0 && !entry.subscribe.outstanding())
    }

    /// Whether the broker has confirmed every unsubscribe frame for `membership`.
    pub(crate) fn is_left(&self, membership: &Membership) -> bool {
        self.entries
            .get(membership)
            .is_none_or(|entry| !entry.unsubscribe.outstanding())
    }

    /// Whether the broker does not know groups.
    pub(crate) fn is_refused(&self, membership: &Membership) -> bool {
        self.entries
            .get(membership)
            .is_some_and(|entry| entry.refused)
    }
}
