//! Joins a cached history and a live subscription to one sequence without gap and without duplicate.
//!
//! A state machine without I/O: it is told what the live side and the cache said, and says what to do next. The live side is
//! attached before the first page is read, so that every event is in a page, in the live stream, or in both; the index decides
//! which copy counts.
//!
//! Indices begin again in every history, and a live copy may come long after its history was cleared. Where neither side names
//! the history of a copy, the cache decides: it has an event before the live side does, so that a copy it does not know is of a
//! history that is gone. Such a copy never moves the place in the present one.

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
    /// The first page may begin anywhere: the subscriber asked for the earliest event there is.
    lenient: bool,
    reading: bool,
    /// The live side was cleared; the next page shows what that means.
    cleared: bool,
    /// The generation was taken from a page before any live event showed which one was there when the subscriber attached.
    blind: bool,
    /// The subscriber was told of a new history before the live side said so.
    told: bool,
    /// The cache has events and no name for their history, or cannot be asked.
    nameless: bool,
    /// Nothing was delivered yet of a history that began, or is to begin, after the subscriber attached.
    fresh: bool,
    /// Copies of a history that is gone may come: one without a name counts only if the cache knows it.
    doubt: bool,
    /// The last event delivered was one of a history that is gone.
    astray: bool,
    /// Behind the highest index that was delivered, whatever its history.
    shown: u64,
    /// A live delivery that cannot be placed before the cache was asked.
    held: Option<Delivery>,
}

impl Splice {
    /// `head` is what the cache said before the live side was attached.
    pub(super) fn new(topic: Text, start: StartFrom, head: Option<&CachePage>) -> Self {
        let next = match (start, head) {
            (StartFrom::Latest, head) => head.map(|page| page.end),
            (StartFrom::Earliest, head) => Some(head.map_or(0, |page| page.first)),
            (StartFrom::Offset(offset), _) => Some(offset),
        };
        Self {
            topic,
            next,
            generation: head.and_then(|page| page.generation.clone()),
            lenient: start == StartFrom::Earliest,
            // What a new reader of live events has not seen yet shows as a gap.
            reading: next.is_some() && start != StartFrom::Latest,
            cleared: false,
            blind: false,
            told: false,
            nameless: false,
            fresh: start == StartFrom::Latest && head.is_some_and(|page| page.first == page.end),
            doubt: false,
            astray: false,
            shown: 0,
            held: None,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.next {
            Some(next) if self.reading => Step::Read(next),
            _ => Step::Live,
        }
    }

    /// Whether the first live event would tell which history the subscriber attached to.
    pub(super) fn wants_live_first(&self) -> bool {
        self.generation.is_none() && !self.cleared && !self.doubt
    }

    /// A live event that was published since the subscriber attached.
    pub(super) fn peek(&mut self, delivery: &Delivery) {
        if self.wants_live_first() {
            self.generation.clone_from(&delivery.event().generation);
        }
    }

    /// Something was lost on the live side: the cache has it.
    pub(super) fn live_lost(&mut self) {
        self.reading = self.next.is_some();
    }

    /// The topic was cleared on the live side.
    pub(super) fn live_cleared(&mut self) {
        self.cleared = !std::mem::take(&mut self.told);
        self.reading = self.next.is_some();
    }

    /// Takes a page; deliverable events go to `out`.
    pub(super) fn page(&mut self, page: CachePage, out: &mut VecDeque<Delivery>) -> Outcome {
        let Some(mut next) = self.next else {
            return Outcome::Next;
        };
        if self.fresh {
            next = next.min(page.first);
            self.next = Some(next);
        }
        let cleared = std::mem::take(&mut self.cleared);
        let other = match &self.generation {
            Some(_) => page.generation != self.generation,
            None => cleared,
        };
        if other || page.end < next {
            self.told = !cleared;
            // What is left of the same history was delivered.
            let lost_its_end = !other && self.generation.is_some();
            let from = if lost_its_end { page.end } else { page.first };
            self.fresh = !lost_its_end;
            return self.restart(page.generation, from);
        }
        if self.astray && next < page.end {
            return self.restart(page.generation, next);
        }
        // The cache may be cleared after the live side.
        self.doubt |= cleared;
        self.nameless = page.generation.is_none() && page.first < page.end;
        if self.generation.is_none() {
            self.generation.clone_from(&page.generation);
            self.blind = self.generation.is_some();
        }
        let lenient = std::mem::take(&mut self.lenient);
        if next < page.first {
            self.next = Some(page.first);
            if !lenient {
                return Outcome::Notice(Error::truncation(&self.topic, next, page.first));
            }
        }
        let exhausted = page.events.is_empty();
        for event in page.events {
            let index = event.index.unwrap_or(next);
            if index >= self.next.unwrap_or(0) {
                self.next = Some(index + 1);
                self.deliver(Delivery::new(event, Some(index)), index, out);
            }
        }
        // What may cause a notice is placed after an empty page, so that the notice follows the events before it.
        let silent = self.held.as_ref().is_none_or(|held| self.is_copy(held));
        if exhausted || silent && self.next >= Some(page.end) {
            self.reading = false;
            return self.place_held(page.end, out);
        }
        Outcome::Next
    }

    /// A page could not be read that nobody needs for certain.
    pub(super) fn page_skipped(&mut self) -> Outcome {
        self.reading = false;
        Outcome::Next
    }

    /// The cache cannot be read: live delivery goes on without it.
    pub(super) fn page_failed(&mut self, error: Error, out: &mut VecDeque<Delivery>) -> Outcome {
        self.reading = false;
        self.next = None;
        self.nameless = true;
        self.doubt = false;
        self.astray = false;
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
        let theirs = &delivery.event().generation;
        let same_generation = match (&self.generation, theirs) {
            (Some(ours), Some(theirs)) => Some(ours == theirs),
            _ => None,
        };
        // Without a name it may be of any history, even if it is the next one by its index.
        let unknown = theirs.is_none() && self.generation.is_none() && !self.nameless;
        let doubtful = self.astray || same_generation.is_none() && (self.doubt || unknown);
        match same_generation {
            Some(false) => self.hold(delivery),
            _ if index == next && !doubtful => self.accept(delivery, out),
            _ if index >= next => self.hold(delivery),
            _ if delivery.event().delivery_attempt > 1 => out.push_back(delivery),
            Some(true) => drop(delivery.ack()),
            // Without generations a lower index is a copy, or the first of a new history: the cache can tell.
            None => self.hold(delivery),
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

    /// Whether the history of this delivery has another name.
    fn is_straggler(&self, delivery: &Delivery) -> bool {
        let theirs = &delivery.event().generation;
        theirs.is_some() && self.generation.is_some() && *theirs != self.generation
    }

    /// Whether the event of this delivery was delivered already, as far as names tell.
    fn is_copy(&self, delivery: &Delivery) -> bool {
        delivery.event().index < self.next && !self.is_straggler(delivery)
    }

    fn accept(&mut self, delivery: Delivery, out: &mut VecDeque<Delivery>) {
        let Some(index) = delivery.event().index else {
            out.push_back(delivery.at(None));
            return;
        };
        self.next = Some(index + 1);
        self.blind = false;
        if let Some(theirs) = &delivery.event().generation {
            self.generation = Some(theirs.clone());
        } else if self.generation.is_none() && !self.nameless {
            // Without a name the next history could not be told from this one.
            self.reading = true;
        }
        self.deliver(delivery, index, out);
    }

    fn deliver(&mut self, delivery: Delivery, index: u64, out: &mut VecDeque<Delivery>) {
        self.fresh = false;
        self.astray = false;
        self.shown = self.shown.max(index + 1);
        out.push_back(delivery.at(Some(index)));
    }

    /// The cache has said all it knows, up to index `end`; the held delivery is a copy, a straggler of an older history, or comes
    /// after a gap that nothing can fill.
    fn place_held(&mut self, end: u64, out: &mut VecDeque<Delivery>) -> Outcome {
        let Some(held) = self.held.take() else {
            return Outcome::Next;
        };
        let event = held.event();
        let (Some(index), Some(next)) = (event.index, self.next) else {
            return Outcome::Next;
        };
        let named = self.generation.is_some() && event.generation.is_some();
        let straggler = self.is_straggler(&held);
        if straggler || index < next {
            drop(held.ack());
            if straggler && std::mem::take(&mut self.blind) {
                return Outcome::Notice(self.cleared_notice());
            }
            return Outcome::Next;
        }
        if !named && index >= end {
            return self.place_orphan(held, index, next, out);
        }
        self.accept(held, out);
        if index > next {
            return Outcome::Notice(Error::truncation(&self.topic, next, index));
        }
        Outcome::Next
    }

    /// The history of this delivery is gone. Only what lies behind everything that was delivered is certainly no copy.
    fn place_orphan(
        &mut self,
        orphan: Delivery,
        index: u64,
        next: u64,
        out: &mut VecDeque<Delivery>,
    ) -> Outcome {
        self.doubt = true;
        if index < self.shown && orphan.event().delivery_attempt <= 1 {
            drop(orphan.ack());
            return Outcome::Next;
        }
        let fresh = self.fresh;
        let expected = if fresh { next.max(self.shown) } else { next };
        self.deliver(orphan, index, out);
        self.fresh = fresh;
        self.astray = true;
        if index > expected {
            return Outcome::Notice(Error::truncation(&self.topic, expected, index));
        }
        Outcome::Next
    }

    fn restart(&mut self, generation: Option<Text>, from: u64) -> Outcome {
        self.generation = generation;
        self.nameless = false;
        self.blind = false;
        self.astray = false;
        self.doubt = true;
        self.next = Some(from);
        self.reading = true;
        Outcome::Notice(self.cleared_notice())
    }

    fn cleared_notice(&self) -> Error {
        let message =
            "the history was cleared or has expired; reading goes on at the start of the new one";
        Error::new(ErrorKind::Cleared, "replay", message).with_subject(&self.topic)
    }
}
