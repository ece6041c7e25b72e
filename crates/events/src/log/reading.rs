//! What ungrouped readers do with a log.

use std::sync::Arc;
use std::time::Instant;

use super::reader::Reader;
use super::{DeadLetter, Read, ReaderId, TopicLog};
use crate::clock::after;
use crate::{Event, StartFrom, Text, Truncated};

impl TopicLog {
    /// Attaches an ungrouped reader.
    pub fn attach(&mut self, start: StartFrom, skippable: bool, now: Instant) -> ReaderId {
        let (next, generation) = self.start_position(start);
        self.floor.lower_to(next);
        ReaderId(self.readers.insert(Reader {
            next,
            generation,
            skippable,
            stalled: false,
            last_read: now,
            again: std::collections::VecDeque::new(),
        }))
    }

    /// Hands up to `max` events to `sink`, with their positions.
    pub fn read(
        &mut self,
        reader: ReaderId,
        now: Instant,
        max: usize,
        mut sink: impl FnMut(u64, &Arc<Event>),
    ) -> Read {
        let Some(state) = self.readers.get_mut(reader.0) else {
            return Read::Gone;
        };
        if state.generation != self.generation {
            state.generation = self.generation;
            state.next = self.entries.first();
            state.again.clear();
            self.floor.lower_to(state.next);
            return Read::Cleared;
        }
        let mut count = 0;
        while count < max && state.again.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, seq, event)) = state.again.pop_front() {
                sink(seq, &event);
                count += 1;
            }
        }
        if state.next < self.entries.first() && count == 0 {
            let missed = Truncated {
                wanted: state.next,
                first: self.entries.first(),
            };
            state.next = missed.first;
            return Read::Truncated(missed);
        }
        let start = state.next;
        for event in self.entries.from(start).take(max - count) {
            sink(state.next, event);
            state.next += 1;
        }
        count += (state.next - start) as usize;
        if count > 0 {
            state.last_read = now;
            state.stalled = false;
            return Read::Some(count);
        }
        if self.closed && state.again.is_empty() {
            Read::End
        } else {
            Read::Empty
        }
    }

    /// An ungrouped reader refuses an event: it comes again to this reader alone, as another attempt, unless it came as often
    /// as allowed. Returns when.
    pub fn refuse(
        &mut self,
        reader: ReaderId,
        seq: u64,
        event: &Arc<Event>,
        now: Instant,
    ) -> Option<Instant> {
        let attempt = event.delivery_attempt;
        let redelivery = self.config.redelivery;
        if redelivery.max_deliveries.is_some_and(|max| attempt >= max) {
            let group = Text::default();
            self.dead.push(DeadLetter {
                group,
                seq,
                event: Arc::clone(event),
            });
            return None;
        }
        let at = after(now, redelivery.delay(attempt));
        self.readers.get_mut(reader.0)?.add_again(
            at,
            seq,
            Arc::new(event.with_attempt(attempt + 1)),
        );
        Some(at)
    }

    /// Removes a reader.
    pub fn detach(&mut self, reader: ReaderId) {
        self.readers.remove(reader.0);
    }
}
