//! Ungrouped readers: cursors in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::slots::Slots;
use crate::Event;

#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The position that it reads next.
    pub(super) next: u64,
    /// The generation that `next` counts in.
    pub(super) generation: u64,
    /// Told of a gap rather than waited for.
    pub(super) skippable: bool,
    /// Has not read for so long that nobody waits for it; ends with its next read.
    pub(super) stalled: bool,
    pub(super) last_read: Instant,
    /// Refused events that come again, soonest first.
    pub(super) again: VecDeque<(Instant, u64, Arc<Event>)>,
}

impl Reader {
    /// Whether the log keeps unread events for this reader and slows publishers for it.
    fn holds(&self, generation: u64) -> bool {
        !self.stalled && !self.skippable && self.generation == generation
    }

    pub(super) fn add_again(&mut self, at: Instant, seq: u64, event: Arc<Event>) {
        let place = self.again.partition_point(|(other, ..)| *other <= at);
        self.again.insert(place, (at, seq, event));
    }
}

/// The position before which no reader needs anything, worked out lazily: readers only move forward, so an old answer
/// errs on the side of keeping.
#[derive(Debug, Clone, Default)]
pub(super) struct Floor {
    position: u64,
    checked_end: u64,
    checked_bytes: u64,
}

/// Appended bytes after which the floor is looked at again in any case.
const LOOK_EVERY_BYTES: u64 = 256 * 1024;

impl Floor {
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn lower_to(&mut self, position: u64) {
        self.position = self.position.min(position);
    }

    /// Whether so much was appended since the last look that looking again is worth a visit to every reader.
    pub(super) fn is_due(&self, end: u64, appended_bytes: u64, readers: usize) -> bool {
        end.saturating_sub(self.checked_end) as usize >= (readers / 4).max(16)
            || appended_bytes - self.checked_bytes >= LOOK_EVERY_BYTES
    }

    pub(super) fn look(
        &mut self,
        readers: &Slots<Reader>,
        generation: u64,
        end: u64,
        appended_bytes: u64,
    ) {
        let holding = readers.values().filter(|reader| reader.holds(generation));
        self.position = holding
            .map(|reader| reader.next)
            .min()
            .unwrap_or(end)
            .min(end);
        self.checked_end = end;
        self.checked_bytes = appended_bytes;
    }
}
