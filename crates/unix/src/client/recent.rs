//! The ids that came last, to recognise an event that comes twice.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use bowline_events::EventId;

/// How many ids are remembered.
const REMEMBERED: usize = 4096;

/// Places for ids of the present.
const NEAR: usize = 256;

/// An id, for one membership: the same event comes once for the topic and once for each of its groups.
type Seen = (u128, u64);

/// The last ids of one process. A later broker, or a later connection, may give events again that came long before; until there
/// is one, only repetitions at short distance are looked for, because a look at thousands of ids is a cache miss per event.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    seen: HashSet<Seen, BuildHasherDefault<Fold>>,
    order: VecDeque<Seen>,
    /// Ids of the present, by their last bits.
    near: Vec<Seen>,
    connected_before: bool,
    looks: bool,
}

impl Recent {
    /// The process connects, or becomes broker.
    pub(crate) fn connected(&mut self) {
        let again = std::mem::replace(&mut self.connected_before, true);
        if again && !self.looks {
            self.looks = true;
            self.seen = self.order.iter().copied().collect();
        }
    }

    /// Stands for a membership; the same for everybody.
    pub(crate) fn place(topic: &str, group: Option<&str>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (topic, group).hash(&mut hasher);
        hasher.finish()
    }

    /// Remembers an event of a membership, given as its [`place`](Self::place); false when it was there already. Ids that are no
    /// UUIDs are not remembered.
    pub(crate) fn insert(&mut self, id: &EventId, membership: u64) -> bool {
        let EventId::Uuid(id) = id else {
            return true;
        };
        let seen = (id.as_u128(), membership);
        let new = if self.looks {
            self.seen.insert(seen)
        } else {
            self.is_not_near(seen)
        };
        if !new {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
            && self.looks
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(seen);
        true
    }
}

impl Recent {
    fn is_not_near(&mut self, seen: Seen) -> bool {
        if self.near.is_empty() {
            self.near.resize(NEAR, (0, 0));
        }
        let place = (seen.0 as usize) % NEAR;
        std::mem::replace(&mut self.near[place], seen) != seen
    }
}

/// Ids are random already: folding them is hash enough for a table of a fixed size.
#[derive(Debug, Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(5) ^ u64::from_ne_bytes(word);
        }
    }

    fn write_u128(&mut self, value: u128) {
        // The two halves carry all of the randomness.
        self.0 ^= (value >> 64) as u64 ^ value as u64;
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = self.0.rotate_left(5) ^ value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(n: usize) -> EventId {
        EventId::Uuid(Uuid::from_u128(n as u128))
    }

    #[test]
    fn an_event_is_new_once_per_membership() {
        let mut recent = Recent::default();
        recent.connected();
        assert!(recent.insert(&id(1), 0));
        recent.connected();
        assert!(recent.insert(&id(1), 1));
        assert!(
            !recent.insert(&id(1), 0),
            "it came on the connection before"
        );
        assert!(!recent.insert(&id(1), 1));
        assert!(recent.insert(&EventId::parse("x"), 0));
        assert!(recent.insert(&EventId::parse("x"), 0));
    }

    #[test]
    fn a_repetition_at_short_distance_is_recognised_on_the_first_connection_too() {
        let mut recent = Recent::default();
        recent.connected();
        assert!(recent.insert(&id(1), 0));
        assert!(recent.insert(&id(2), 0));
        assert!(!recent.insert(&id(1), 0));
        recent.connected();
        assert!(
            !recent.insert(&id(2), 0),
            "it came on the connection before"
        );
    }

    #[test]
    fn the_oldest_is_forgotten_first_and_memory_is_bounded() {
        let mut recent = Recent::default();
        recent.connected();
        recent.connected();
        for n in 0..=REMEMBERED {
            assert!(recent.insert(&id(n), 0));
        }
        assert!(!recent.insert(&id(1), 0));
        assert!(recent.insert(&id(0), 0));
        assert_eq!(recent.seen.len(), REMEMBERED);
        assert_eq!(recent.order.len(), REMEMBERED);
    }
}
