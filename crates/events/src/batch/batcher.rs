//! The batching rules, without clock and I/O.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{BatchPolicy, Overflow};
use crate::clock::after;
use crate::{Delivery, Event};

/// What is to be done with the gathered events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    HandOver,
    At(Instant),
    Wait,
}

/// Deliveries to hand over, and deliveries that were dropped and are to be acked.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    pub(super) kept: VecDeque<Delivery>,
    pub(super) dropped: Vec<Delivery>,
}

#[derive(Debug)]
pub(super) struct Batcher {
    policy: BatchPolicy,
    queue: VecDeque<Delivery>,
    oldest: Option<Instant>,
    last: Option<Instant>,
    urgent: bool,
}

impl Batcher {
    pub(super) fn new(policy: BatchPolicy) -> Self {
        Self {
            policy,
            queue: VecDeque::new(),
            oldest: None,
            last: None,
            urgent: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether more events may be gathered before the present ones are handed over.
    pub(super) fn has_room(&self) -> bool {
        self.policy.overflow != Overflow::Wait || self.queue.len() < self.policy.max_buffer
    }

    pub(super) fn push(&mut self, delivery: Delivery, now: Instant) {
        self.oldest.get_or_insert(now);
        self.urgent |= self.is_immediate(delivery.event());
        self.queue.push_back(delivery);
    }

    fn is_immediate(&self, event: &Event) -> bool {
        self.policy
            .is_immediate
            .as_ref()
            .is_some_and(|test| test(event))
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        let Some(oldest) = self.oldest else {
            return Next::Wait;
        };
        if self.queue.len() >= self.policy.max_buffer {
            return Next::HandOver;
        }
        let floor = self
            .last
            .zip(self.policy.min_interval)
            .map_or(now, |(last, interval)| after(last, interval));
        let full = self
            .policy
            .max_size
            .is_some_and(|size| self.queue.len() >= size);
        let due = if full || self.urgent {
            floor
        } else {
            match (self.policy.max_wait, self.policy.min_interval) {
                (Some(wait), _) => floor.max(after(oldest, wait)),
                (None, Some(_)) => floor,
                (None, None) => return Next::Wait,
            }
        };
        if due <= now {
            Next::HandOver
        } else {
            Next::At(due)
        }
    }

    /// Reduces what is gathered to what the buffer holds; returns the dropped.
    pub(super) fn reduce(&mut self) -> Vec<Delivery> {
        let mut dropped = self.coalesce();
        if self.policy.overflow != Overflow::Wait {
            self.drop_surplus(&mut dropped);
        }
        dropped
    }

    pub(super) fn hand_over(&mut self, now: Instant) -> HandedOver {
        let dropped = self.reduce();
        self.last = Some(now);
        self.oldest = None;
        self.urgent = false;
        HandedOver {
            kept: std::mem::take(&mut self.queue),
            dropped,
        }
    }

    fn coalesce(&mut self) -> Vec<Delivery> {
        let Some(choose) = &self.policy.coalesce else {
            return Vec::new();
        };
        let events: Vec<Arc<Event>> = self.queue.iter().map(Delivery::share).collect();
        let Ok(chosen) = catch_unwind(AssertUnwindSafe(|| choose(&events))) else {
            tracing::error!(
                events = events.len(),
                "the coalesce function panicked; the batch is handed over whole"
            );
            return Vec::new();
        };
        let mut offered: Vec<Option<Delivery>> = self.queue.drain(..).map(Some).collect();
        for event in &chosen {
            let place = events
                .iter()
                .zip(&offered)
                .position(|(other, left)| left.is_some() && Arc::ptr_eq(other, event));
            match place.and_then(|place| offered[place].take()) {
                Some(delivery) => self.queue.push_back(delivery),
                None => {
                    tracing::warn!(id = %event.id, "the coalesce function returned an event that it was not given; ignored");
                }
            }
        }
        offered.into_iter().flatten().collect()
    }

    fn drop_surplus(&mut self, dropped: &mut Vec<Delivery>) {
        let mut surplus = self.queue.len().saturating_sub(self.policy.max_buffer);
        if surplus == 0 {
            return;
        }
        let mut all: Vec<Delivery> = self.queue.drain(..).collect();
        let newest_first = self.policy.overflow == Overflow::DropNewest;
        if newest_first {
            all.reverse();
        }
        for delivery in all {
            if surplus > 0 && !self.is_immediate(delivery.event()) {
                surplus -= 1;
                dropped.push(delivery);
            } else {
                self.queue.push_back(delivery);
            }
        }
        if newest_first {
            self.queue.make_contiguous().reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::NewEvent;

    fn delivery(n: u64) -> Delivery {
        let kind = if n >= 100 { "urgent" } else { "usual" };
        Delivery::new(Arc::new(NewEvent::new(kind, "r").stamp()), Some(n))
    }

    fn gather(policy: BatchPolicy, numbers: &[u64], now: Instant) -> Batcher {
        let mut batcher = Batcher::new(policy);
        for n in numbers {
            batcher.push(delivery(*n), now);
        }
        batcher
    }

    fn numbers<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<u64> {
        deliveries.into_iter().filter_map(Delivery::seq).collect()
    }

    #[test]
    fn a_batch_is_due_by_size_wait_urgency_or_a_full_buffer() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let urgent =
            |policy: BatchPolicy| policy.immediate_if(|event| event.event_type == "urgent");
        let table: [(&str, BatchPolicy, &[u64], Next); 8] = [
            ("nothing set", BatchPolicy::new(), &[1, 2], Next::Wait),
            ("empty", BatchPolicy::new().max_size(1), &[], Next::Wait),
            (
                "size not reached",
                BatchPolicy::new().max_size(3),
                &[1, 2],
                Next::Wait,
            ),
            (
                "size reached",
                BatchPolicy::new().max_size(2),
                &[1, 2],
                Next::HandOver,
            ),
            (
                "wait",
                BatchPolicy::new().max_wait(ms(20)),
                &[1],
                Next::At(now + ms(20)),
            ),
            (
                "urgent",
                urgent(BatchPolicy::new()),
                &[1, 100],
                Next::HandOver,
            ),
            (
                "buffer full",
                BatchPolicy::new().max_buffer(2),
                &[1, 2],
                Next::HandOver,
            ),
            (
                "interval alone, first batch",
                BatchPolicy::new().min_interval(ms(9)),
                &[1],
                Next::HandOver,
            ),
        ];
        for (name, policy, events, next) in table {
            assert_eq!(gather(policy, events, now).next(now), next, "{name}");
        }
    }

    #[test]
    fn the_interval_holds_back_all_but_a_full_buffer() {
        let start = Instant::now();
        let interval = Duration::from_millis(50);
        let mut batcher = gather(
            BatchPolicy::new()
                .min_interval(interval)
                .max_size(1)
                .max_buffer(3),
            &[1],
            start,
        );
        assert_eq!(numbers(&batcher.hand_over(start).kept), [1]);
        batcher.push(delivery(2), start);
        assert_eq!(batcher.next(start), Next::At(start + interval));
        assert_eq!(batcher.next(start + interval), Next::HandOver);
        batcher.push(delivery(3), start);
        batcher.push(delivery(4), start);
        assert_eq!(batcher.next(start), Next::HandOver);
    }

    #[test]
    fn surplus_goes_from_the_chosen_end_and_spares_the_urgent() {
        let now = Instant::now();
        let policy = |overflow| {
            BatchPolicy::new()
                .max_buffer(2)
                .overflow(overflow)
                .immediate_if(|event| event.event_type == "urgent")
        };
        let mut oldest = gather(policy(Overflow::DropOldest), &[100, 1, 2, 3], now);
        let batch = oldest.hand_over(now);
        assert_eq!(
            (numbers(&batch.kept), numbers(&batch.dropped)),
            (vec![100, 3], vec![1, 2])
        );
        let mut newest = gather(policy(Overflow::DropNewest), &[1, 2, 3, 100], now);
        let batch = newest.hand_over(now);
        assert_eq!(
            (numbers(&batch.kept), numbers(&batch.dropped)),
            (vec![1, 100], vec![3, 2])
        );
        let mut wait = gather(policy(Overflow::Wait), &[1, 2, 3], now);
        assert_eq!(numbers(&wait.hand_over(now).kept), [1, 2, 3]);
    }

    #[test]
    fn coalescing_keeps_what_it_returns_and_survives_a_faulty_function() {
        let now = Instant::now();
        let last =
            BatchPolicy::new().coalesce(|events| events.last().cloned().into_iter().collect());
        let batch = gather(last, &[1, 2, 3], now).hand_over(now);
        assert_eq!(
            (numbers(&batch.kept), numbers(&batch.dropped)),
            (vec![3], vec![1, 2])
        );
        let foreign =
            BatchPolicy::new().coalesce(|_| vec![Arc::new(NewEvent::new("x", "r").stamp())]);
        let batch = gather(foreign, &[1], now).hand_over(now);
        assert_eq!((batch.kept.len(), numbers(&batch.dropped)), (0, vec![1]));
        let panics = BatchPolicy::new().coalesce(|_| panic!("faulty"));
        assert_eq!(
            numbers(&gather(panics, &[1, 2], now).hand_over(now).kept),
            [1, 2]
        );
    }
}
