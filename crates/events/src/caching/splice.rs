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
    /// The first page may begin anywhere: the subscriber asked for the earliest event there is.
    lenient: bool,
    reading: bool,
    /// The live side was cleared; the next page shows what that means.
    cleared: bool,
    /// The generation was taken from a page before any live event showed which one was there when the subscriber attached.
    blind: bool,
    /// The subscriber was told of a new history before the live side said so.
    told: bool,
    /// The cache was asked, or need not be, for the name of a history whose live events carry none.
    asked: bool,
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
            asked: false,
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
        self.generation.is_none() && !self.cleared
    }

    /// A live event that was published since the subscriber attached.
    pub(super) fn peek(&mut self, delivery: &Delivery) {
        if self.generation.is_none() && !self.cleared {
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
        let Some(next) = self.next else {
            return Outcome::Next;
        };
        let cleared = std::mem::take(&mut self.cleared);
        let other = match &self.generation {
            Some(_) => page.generation != self.generation,
            None => cleared,
        };
        if other || page.end < next {
            self.told = !cleared;
            return self.restart(page.generation, page.first);
        }
        if self.generation.is_none() {
            self.generation = page.generation;
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
            self.blind = false;
            if let Some(theirs) = &delivery.event().generation {
                self.generation = Some(theirs.clone());
            } else if self.generation.is_none() && !std::mem::replace(&mut self.asked, true) {
                // Without a name the next history could not be told from this one.
                self.reading = true;
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
            if straggler && std::mem::take(&mut self.blind) {
                return Outcome::Notice(self.cleared_notice());
            }
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
        self.asked = false;
        self.blind = false;
        self.next = Some(first);
        self.reading = true;
        Outcome::Notice(self.cleared_notice())
    }

    fn cleared_notice(&self) -> Error {
        let message =
            "the history was cleared or has expired; reading goes on at the start of the new one";
        Error::new(ErrorKind::Cleared, "replay", message).with_subject(&self.topic)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{Event, NewEvent};

    /// What may happen between two steps of a subscriber.
    #[derive(Debug, Clone, Copy)]
    enum Happening {
        /// A publisher has its event cached; the live copy is under way. It may come without the name of the history.
        Publish(bool),
        /// One of the copies under way arrives, in any order.
        Arrive(usize),
        /// The live side loses a waiting copy and says so.
        Lose,
        /// The subscriber takes a step.
        Step,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            4 => any::<bool>().prop_map(Happening::Publish),
            4 => any::<usize>().prop_map(Happening::Arrive),
            1 => Just(Happening::Lose),
            6 => Just(Happening::Step),
        ]
    }

    struct World {
        generations: bool,
        cached: Vec<Arc<Event>>,
        under_way: Vec<Arc<Event>>,
        live: VecDeque<Arc<Event>>,
        splice: Option<Splice>,
        got: Vec<u64>,
    }

    impl World {
        fn event(&self, index: u64) -> Arc<Event> {
            let mut event = NewEvent::new("n", "r").stamp();
            event.index = Some(index);
            event.generation = self.generations.then(|| Text::from("g"));
            Arc::new(event)
        }

        fn page(&self, from: u64) -> CachePage {
            CachePage {
                events: self
                    .cached
                    .iter()
                    .skip(from as usize)
                    .take(3)
                    .cloned()
                    .collect(),
                first: 0,
                end: self.cached.len() as u64,
                generation: self.generations.then(|| Text::from("g")),
            }
        }

        fn happen(&mut self, happening: Happening) {
            match happening {
                Happening::Publish(named) => {
                    let event = self.event(self.cached.len() as u64);
                    self.cached.push(Arc::clone(&event));
                    let mut live = Event::clone(&event);
                    live.generation = live.generation.filter(|_| named);
                    self.under_way.push(Arc::new(live));
                }
                Happening::Arrive(which) if !self.under_way.is_empty() => {
                    let event = self.under_way.remove(which % self.under_way.len());
                    if self.splice.is_some() {
                        self.live.push_back(event);
                    }
                }
                Happening::Lose => {
                    if self.live.pop_front().is_some() {
                        self.splice.as_mut().expect("attached").live_lost();
                    }
                }
                Happening::Arrive(_) => {}
                Happening::Step => self.step(),
            }
        }

        fn step(&mut self) {
            let Some(mut splice) = self.splice.take() else {
                return;
            };
            let mut out = VecDeque::new();
            match splice.step() {
                Step::Read(from) => {
                    let outcome = splice.page(self.page(from), &mut out);
                    assert!(matches!(outcome, Outcome::Next), "{outcome:?}");
                }
                Step::Live => {
                    if let Some(event) = self.live.pop_front() {
                        splice.live(Delivery::new(event, None), &mut out);
                    }
                }
            }
            self.got
                .extend(out.iter().map(|delivery| delivery.seq().expect("an index")));
            self.splice = Some(splice);
        }

        fn is_quiet(&self) -> bool {
            let splice = self.splice.as_ref().expect("attached");
            self.under_way.is_empty()
                && self.live.is_empty()
                && splice.step() == Step::Live
                && !splice.is_holding()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        #[test]
        fn history_and_live_make_one_sequence_at_any_interleaving(
            before in prop::collection::vec(happening(), 0..20),
            after in prop::collection::vec(happening(), 0..60),
            offset in 0..6_u64,
            generations in any::<bool>(),
        ) {
            let mut world = World { generations, cached: Vec::new(), under_way: Vec::new(), live: VecDeque::new(), splice: None, got: Vec::new() };
            for happening in before {
                world.happen(happening);
            }
            let offset = offset.min(world.cached.len() as u64);
            world.splice = Some(Splice::new("t".into(), StartFrom::Offset(offset), Some(&world.page(0))));
            for happening in after {
                world.happen(happening);
            }
            for _ in 0..1_000 {
                if world.is_quiet() {
                    break;
                }
                world.happen(Happening::Arrive(0));
                world.happen(Happening::Step);
            }
            prop_assert!(world.is_quiet());
            prop_assert_eq!(world.got, (offset..world.cached.len() as u64).collect::<Vec<_>>());
        }
    }
}
