//! The connected clients.

use std::collections::HashSet;
use std::time::Instant;

use uuid::Uuid;

use super::queue::Queue;
use super::topics::Membership;

/// A connection. Ordered by the time of connecting; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId {
    pub(crate) serial: u64,
    slot: usize,
}

impl ClientId {
    /// Stands for the broker's own process where frames of its own are replayed.
    pub(crate) const OWN: Self = Self {
        serial: u64::MAX,
        slot: usize::MAX,
    };
}

/// What a membership counts for beside its texts, in bytes.
const MEMBERSHIP_BYTES: usize = 256;

/// One connected client.
#[derive(Debug)]
pub(super) struct Client {
    id: ClientId,
    memberships: HashSet<Membership>,
    /// What the memberships take in memory, roughly.
    membership_bytes: usize,
    /// Who numbers the frames that come from here.
    pub(super) publisher: Option<Uuid>,
    /// The last numbered frame that was routed and not confirmed.
    pub(super) routed: Option<u64>,
    pub(super) queue: Queue,
}

impl Client {
    /// Whether the client has `membership`.
    pub(super) fn holds(&self, membership: &Membership) -> bool {
        self.memberships.contains(membership)
    }

    /// Adds a membership; false when all of them would take more than `limit` bytes.
    pub(super) fn join(&mut self, membership: &Membership, limit: usize) -> bool {
        let bytes = self.membership_bytes + weight(membership);
        if bytes > limit {
            return false;
        }
        if self.memberships.insert(membership.clone()) {
            self.membership_bytes = bytes;
        }
        true
    }

    /// Removes a membership; false when it was not there.
    pub(super) fn leave(&mut self, membership: &Membership) -> bool {
        let held = self.memberships.remove(membership);
        if held {
            self.membership_bytes -= weight(membership);
        }
        held
    }

    /// All memberships, in no order.
    pub(super) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.memberships.iter()
    }
}

fn weight(membership: &Membership) -> usize {
    let group = membership.group.as_ref().map_or(0, |group| group.len());
    MEMBERSHIP_BYTES + 2 * (membership.topic.len() + group)
}

/// All clients, found by their id in one step.
#[derive(Debug, Default)]
pub(super) struct Clients {
    slots: Vec<Option<Client>>,
    connected: usize,
    next_serial: u64,
}

impl Clients {
    pub(super) fn connect(&mut self, now: Instant) -> ClientId {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let id = ClientId {
            serial: self.next_serial,
            slot,
        };
        self.next_serial += 1;
        self.connected += 1;
        self.slots[slot] = Some(Client {
            id,
            memberships: HashSet::new(),
            membership_bytes: 0,
            publisher: None,
            routed: None,
            queue: Queue::new(now),
        });
        id
    }

    /// Takes a client out; `None` when it is gone already.
    pub(super) fn disconnect(&mut self, id: ClientId) -> Option<Client> {
        self.get(id)?;
        self.connected -= 1;
        self.slots[id.slot].take()
    }

    pub(super) fn get(&mut self, id: ClientId) -> Option<&mut Client> {
        self.slots
            .get_mut(id.slot)?
            .as_mut()
            .filter(|client| client.id == id)
    }

    /// The number of clients.
    pub(super) fn len(&self) -> usize {
        self.connected
    }

    /// Bytes that wait for all clients together.
    pub(super) fn queued(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .map(|client| client.queue.bytes())
            .sum()
    }
}
