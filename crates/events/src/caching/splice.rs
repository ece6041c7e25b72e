//! Joins a cached history and a live subscription to one sequence without gap and without duplicate.
//!
//! A state machine without I/O: it is told what the live side and the cache said, and says what to do next. The live side is
//! attached before the first page is read, so that every event is in a page, in the live stream, or in both; the index decides
//! which copy counts.

use std::collections::VecDeque;

use crate::{CachePage, Delivery, Error, ErrorKind, StartFrom, Text};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read a page from this index.
    Read(u64),
    /// Take live deliveries.
    Live,
}

/// What became of a page or a live delivery.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Go on with the next step.
    Next,
    /// Tell the subscriber, then go on.
    Notice(Error),
}

#[derive(Debug)]
pub(super) struct Splice {
    topic: Text,
    /// The index that the subscriber needs next; unknown until the first indexed event of a live-only subscription.
    next: Option<u64>,
    generation: Option<Text>,
    /// The generation of the subscriber's position was compared with that of the cache.
    settled_generation: bool,
    reading: bool,
    /// A live delivery that cannot be placed before the cache was asked.
    held: Option<Delivery>,
}

impl Splice {
    pub(super) fn new(topic: Text, start: StartFrom) -> Self {
        let next = match start {
            StartFrom::Latest => None,
            StartFrom::Earliest => Some(0),
            StartFrom::Offset(offset) => Some(offset),
        };
        // The first page of an `Earliest` reader may begin anywhere.
        Self {
            topic,
            next,
            generation: None,
            settled_generation: start != StartFrom::Earliest,
            reading: next.is_some(),
            held: None,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.next {
            Some(next) if self.reading => Step::Read(next),
            _ => Step::Live,
        }
    }

    /// Something was lost on the live side, or the topic was cleared: the cache knows better.
    pub(super) fn read_again(&mut self) {
        self.reading = self.next.is_some();
    }

    /// Takes a page; deliverable events go to `out`.
    pub(super) fn page(&mut self, page: CachePage, out: &mut VecDeque<Delivery>) -> Outcome {
        let Some(next) = self.next else {
            return Outcome::Next;
        };
        let restarted =
            page.end < next || self.generation.is_some() && page.generation != self.generation;
        if restarted {
            return self.restart(page.generation, page.first);
        }
        self.generation = page.generation;
        if next < page.first {
            self.next = Some(page.first);
            if self.settled_generation {
                return Outcome::Notice(Error::truncation(&self.topic, next, page.first));
            }
        }
        self.settled_generation = true;
        let exhausted = page.events.is_empty();
        for event in page.events {
            let index = event.index.unwrap_or(next);
            if index >= self.next.unwrap_or(0) {
                self.next = Some(index + 1);
                out.push_back(Delivery::new(event, Some(index)));
            }
        }
        // A held delivery is placed after an empty page, so that a notice about it follows the events before it.
        if exhausted || self.held.is_none() && self.next >= Some(page.end) {
            self.reading = false;
            return self.place_held(out);
        }
        Outcome::Next
    }

    /// The cache cannot be read: live delivery goes on without it.
    pub(super) fn page_failed(&mut self, error: Error, out: &mut VecDeque<Delivery>) -> Outcome {
        self.reading = false;
        self.next = None;
        if let Some(held) = self.held.take() {
            self.accept(held, out);
        }
        let message =
            "the history cannot be read; only live events follow until the cache answers again";
        Outcome::Notice(
            Error::new(ErrorKind::Cache, "replay", message)
                .with_subject(&self.topic)
                .with_source(error),
        )
    }

    /// Takes a live delivery; if it is deliverable it goes to `out`.
    pub(super) fn live(&mut self, delivery: Delivery, out: &mut VecDeque<Delivery>) {
        let (Some(index), Some(next)) = (delivery.event().index, self.next) else {
            self.accept(delivery, out);
            return;
        };
        let same_generation = match (&self.generation, &delivery.event().generation) {
            (Some(ours), Some(theirs)) => Some(ours == theirs),
            _ => None,
        };
        match same_generation {
            Some(false) => self.hold(delivery),
            _ if index == next => self.accept(delivery, out),
            _ if index > next => self.hold(delivery),
            _ if delivery.event().delivery_attempt > 1 => out.push_back(delivery),
            Some(true) => drop(delivery.ack()),
            // Without generations a lower index is a copy, or the first of a new history: the cache can tell.
            _ => self.hold(delivery),
        }
    }

    /// Whether no live delivery may be taken before the cache was asked.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    fn hold(&mut self, delivery: Delivery) {
        self.held = Some(delivery);
        self.reading = true;
    }

    fn accept(&mut self, delivery: Delivery, out: &mut VecDeque<Delivery>) {
        let index = delivery.event().index;
        if let Some(index) = index {
            self.next = Some(index + 1);
            if delivery.event().generation != self.generation {
                self.generation = delivery.event().generation.clone();
            }
        }
        out.push_back(delivery.at(index));
    }

    /// The cache has said all it knows; the held delivery is a copy, a straggler of an older history, or comes after a gap
    /// that nothing can fill.
    fn place_held(&mut self, out: &mut VecDeque<Delivery>) -> Outcome {
        let Some(held) = self.held.take() else {
            return Outcome::Next;
        };
        let event = held.event();
        let (Some(index), Some(next)) = (event.index, self.next) else {
            return Outcome::Next;
        };
        let straggler = self.generation.is_some()
            && event.generation.is_some()
            && event.generation != self.generation;
        if straggler || index < next {
            drop(held.ack());
            return Outcome::Next;
        }
        self.accept(held, out);
        if index > next {
            return Outcome::Notice(Error::truncation(&self.topic, next, index));
        }
        Outcome::Next
    }

    fn restart(&mut self, generation: Option<Text>, first: u64) -> Outcome {
        self.generation = generation;
        self.settled_generation = true;
        self.next = Some(first);
        self.reading = true;
        let message =
            "the history was cleared or has expired; reading goes on at the start of the new one";
        Outcome::Notice(Error::new(ErrorKind::Cleared, "replay", message).with_subject(&self.topic))
    }
}
