//! No event twice, where replay and live delivery meet and where a reader comes back.

use std::collections::{HashSet, VecDeque};

use bowline_events::{Event, EventId};

/// Events without a position that are remembered: more than any transport delivers again.
const REMEMBERED: usize = 1024;

/// What a reader has seen of a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Seam {
    /// The lowest position that was not seen.
    next: u64,
    /// The ids of the latest events without a position.
    ids: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seam {
    /// Whether `event` is new; it is not from now on.
    pub(super) fn admits(&mut self, position: Option<u64>, event: &Event) -> bool {
        match position {
            Some(position) if position < self.next => false,
            Some(position) => {
                self.next = position.saturating_add(1);
                true
            }
            None => self.admits_id(&event.id),
        }
    }

    fn admits_id(&mut self, id: &EventId) -> bool {
        if !self.ids.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Nothing below `offset` is wanted.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }
}
