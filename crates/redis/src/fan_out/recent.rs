//! The deliveries that came last, to recognise one that comes twice.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use bowline_events::Event;

/// How many deliveries are remembered.
const REMEMBERED: usize = 4096;

/// Deliveries that are compared after something went wrong. A repetition comes soon or not at all.
const SUSPICIOUS: usize = 4 * REMEMBERED;

/// Gives deliveries short names.
#[derive(Debug, Default)]
pub(super) struct Names(RandomState);

impl Names {
    /// The delivery of `event` on `topic`. An event and its redelivery are different.
    pub(super) fn of(&self, topic: &str, event: &Event) -> u64 {
        self.0.hash_one((topic, &event.id, event.delivery_attempt))
    }
}

/// The last deliveries of one process.
///
/// Remembering one is two writes; they are compared only for a while after a connection broke, a group was made anew or a server
/// took over.
#[derive(Debug)]
pub(super) struct Recent {
    order: VecDeque<u64>,
    /// The same as `order`, while it is looked at.
    seen: HashSet<u64>,
    suspicious: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            order: VecDeque::with_capacity(REMEMBERED),
            seen: HashSet::new(),
            suspicious: 0,
        }
    }
}

impl Recent {
    /// From now on, deliveries may come twice.
    pub(super) fn suspect(&mut self) {
        if self.suspicious == 0 {
            self.seen = self.order.iter().copied().collect();
        }
        self.suspicious = SUSPICIOUS;
    }

    /// Remembers a delivery; false when it was there already and may come twice at present.
    pub(super) fn insert(&mut self, name: u64) -> bool {
        if self.suspicious > 0 {
            self.suspicious -= 1;
            if !self.seen.insert(name) {
                return false;
            }
            if self.suspicious == 0 {
                self.seen = HashSet::new();
            }
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
            && self.suspicious > 0
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(name);
        true
    }
}

#[cfg(test)]
mod tests {
    use bowline_events::NewEvent;

    use super::*;

    #[test]
    fn repetitions_are_left_out_only_after_trouble() {
        let (mut recent, names) = (Recent::default(), Names::default());
        let event = NewEvent::new("a", "r").stamp();
        let name = names.of("t", &event);
        assert!(recent.insert(name));
        assert!(recent.insert(name), "nothing was suspicious");
        recent.suspect();
        assert!(!recent.insert(name));
        assert!(recent.insert(names.of("other", &event)));
        assert!(recent.insert(names.of("t", &event.with_attempt(2))));
    }

    #[test]
    fn memory_and_suspicion_end() {
        let mut recent = Recent::default();
        assert!(recent.insert(0));
        recent.suspect();
        for name in 1..=SUSPICIOUS as u64 {
            assert!(recent.insert(name));
        }
        assert!(recent.seen.is_empty());
        assert_eq!(recent.order.len(), REMEMBERED);
        recent.suspect();
        assert!(recent.insert(0), "the oldest are forgotten");
        assert!(!recent.insert(SUSPICIOUS as u64));
    }
}
