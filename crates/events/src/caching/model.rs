//! A model of publishers, a cache and a bus around a [`Splice`], run at random interleavings.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::splice::{Outcome, Splice, Step};
use crate::{CachePage, Delivery, ErrorKind, Event, NewEvent, StartFrom, Text};

/// What may happen between two steps of a subscriber.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A publisher has its event cached; the live copy is under way. It may come without the name of the history.
    Publish(bool),
    /// One of the copies under way arrives.
    Arrive(usize),
    /// The live side loses a waiting copy and says so.
    Lose,
    /// Somebody clears the cache: the next event begins another history.
    ClearCache,
    /// Somebody clears the bus, which says so behind what arrived before.
    ClearBus,
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

fn happening_or_clear() -> impl Strategy<Value = Happening> {
    prop_oneof![
        15 => happening(),
        1 => Just(Happening::ClearCache),
        1 => Just(Happening::ClearBus),
    ]
}

/// Which copies are like which.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// The cache names its histories.
    names: bool,
    /// Copies may come without the name.
    unnamed: bool,
    /// Copies may overtake each other.
    overtaking: bool,
}

#[derive(Debug)]
enum Live {
    Event(Arc<Event>),
    Cleared,
}

struct World {
    rules: Rules,
    /// How often the cache was cleared.
    history: u64,
    cached: Vec<Arc<Event>>,
    under_way: Vec<Arc<Event>>,
    live: VecDeque<Live>,
    splice: Option<Splice>,
    /// The history and index of every event that the subscriber got.
    got: Vec<(u64, u64)>,
    /// Each notice, and how many events the subscriber had got by then.
    notices: Vec<(ErrorKind, usize)>,
}

/// The history that an event was published in.
fn history_of(event: &Event) -> u64 {
    event.event_type.parse().expect("a number")
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            history: 0,
            cached: Vec::new(),
            under_way: Vec::new(),
            live: VecDeque::new(),
            splice: None,
            got: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn name(&self) -> Option<Text> {
        let named = self.rules.names && !self.cached.is_empty();
        named.then(|| Text::from(format!("history {}", self.history)))
    }

    fn publish(&mut self, named: bool) {
        let mut event = NewEvent::new(self.history.to_string(), "r").stamp();
        event.index = Some(self.cached.len() as u64);
        self.cached.push(Arc::new(event.clone()));
        event.generation = self.name().filter(|_| named || !self.rules.unnamed);
        self.under_way.push(Arc::new(event));
    }

    fn page(&self, from: u64) -> CachePage {
        let events = self.cached.iter().skip(from as usize).take(3);
        CachePage {
            events: events.cloned().collect(),
            first: 0,
            end: self.cached.len() as u64,
            generation: self.name(),
        }
    }

    fn attach(&mut self, start: StartFrom) {
        let topic = Text::from("t");
        self.splice = Some(Splice::new(topic, start, Some(&self.page(0))));
    }

    /// Puts an event in the history, and has no copies of older histories under way.
    fn begin_history(&mut self) {
        self.publish(true);
        let history = self.history;
        self.under_way.retain(|event| history_of(event) == history);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publish(named) => self.publish(named),
            Happening::Arrive(which) if !self.under_way.is_empty() => {
                let which = if self.rules.overtaking { which } else { 0 };
                let event = self.under_way.remove(which % self.under_way.len());
                self.arrive(Live::Event(event));
            }
            Happening::Arrive(_) => {}
            Happening::Lose => {
                if let Some(Live::Event(_)) = self.live.front() {
                    self.live.pop_front();
                    self.splice.as_mut().expect("attached").live_lost();
                }
            }
            Happening::ClearCache => {
                self.history += 1;
                self.cached.clear();
            }
            Happening::ClearBus => self.arrive(Live::Cleared),
            Happening::Step => self.step(),
        }
    }

    fn arrive(&mut self, what: Live) {
        if self.splice.is_some() {
            self.live.push_back(what);
        }
    }

    fn step(&mut self) {
        let Some(mut splice) = self.splice.take() else {
            return;
        };
        let mut out = VecDeque::new();
        match splice.step() {
            Step::Read(from) => {
                if splice.wants_live_first() {
                    self.peek(&mut splice);
                }
                if let Outcome::Notice(notice) = splice.page(self.page(from), &mut out) {
                    self.notices.push((notice.kind(), self.got.len()));
                }
            }
            Step::Live => match self.live.pop_front() {
                Some(Live::Event(event)) => splice.live(Delivery::new(event, None), &mut out),
                Some(Live::Cleared) => splice.live_cleared(),
                None => {}
            },
        }
        self.got.extend(out.iter().map(|delivery| {
            let index = delivery.seq().expect("an index");
            (history_of(delivery.event()), index)
        }));
        self.splice = Some(splice);
    }

    fn peek(&mut self, splice: &mut Splice) {
        while let Some(Live::Cleared) = self.live.front() {
            self.live.pop_front();
            splice.live_cleared();
        }
        if let Some(Live::Event(first)) = self.live.front() {
            splice.peek(&Delivery::new(Arc::clone(first), None));
        }
    }

    fn is_quiet(&self) -> bool {
        let splice = self.splice.as_ref().expect("attached");
        self.under_way.is_empty()
            && self.live.is_empty()
            && splice.step() == Step::Live
            && !splice.is_holding()
    }

    /// Lets everything arrive and the subscriber take what there is.
    fn calm_down(&mut self) {
        for _ in 0..1_000 {
            if self.is_quiet() {
                return;
            }
            self.happen(Happening::Arrive(0));
            self.happen(Happening::Step);
        }
        panic!("the subscriber never comes to rest: {:?}", self.splice);
    }

    fn got_of(&self, history: u64) -> Vec<u64> {
        let of_history = self.got.iter().filter(|(of, _)| *of == history);
        of_history.map(|(_, index)| *index).collect()
    }
}

/// Copies without a name overtake each other in one history only: who may tell then which of two histories they are of?
fn rules_with_clears() -> impl Strategy<Value = Rules> {
    any::<bool>().prop_map(|unnamed| Rules {
        names: true,
        unnamed,
        overtaking: !unnamed,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn history_and_live_make_one_sequence_at_any_interleaving(
        before in prop::collection::vec(happening(), 0..20),
        after in prop::collection::vec(happening(), 0..60),
        offset in 0..6_u64,
        names in any::<bool>(),
    ) {
        let mut world = World::new(Rules { names, unnamed: true, overtaking: true });
        for happening in before {
            world.happen(happening);
        }
        let offset = offset.min(world.cached.len() as u64);
        world.attach(StartFrom::Offset(offset));
        for happening in after {
            world.happen(happening);
        }
        world.calm_down();
        prop_assert_eq!(world.notices, []);
        let wanted: Vec<_> = (offset..world.cached.len() as u64).map(|index| (0, index)).collect();
        prop_assert_eq!(world.got, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn clears_by_others_double_nothing_and_the_last_history_is_whole(
        rules in rules_with_clears(),
        before in prop::collection::vec(happening_or_clear(), 0..20),
        after in prop::collection::vec(happening_or_clear(), 0..80),
        known in any::<bool>(),
        offset in 0..6_u64,
    ) {
        let mut world = World::new(rules);
        for happening in before {
            world.happen(happening);
        }
        if known {
            world.begin_history();
        }
        let offset = offset.min(world.cached.len() as u64);
        let attached = world.history;
        world.attach(StartFrom::Offset(offset));
        for happening in after {
            world.happen(happening);
        }
        world.calm_down();

        let got: HashSet<_> = world.got.iter().copied().collect();
        prop_assert_eq!(got.len(), world.got.len(), "doubled: {:?}", world.got);
        for history in 0..=world.history {
            prop_assert!(world.got_of(history).is_sorted(), "out of order: {:?}", world.got);
        }
        if rules.unnamed && !known {
            // The first copy without a name counts as one of the first history that the cache showed.
            return Ok(());
        }
        let first = if world.history == attached { offset } else { 0 };
        let wanted: Vec<_> = (first..world.cached.len() as u64).collect();
        prop_assert_eq!(world.got_of(world.history), wanted, "{:?}", world.got);
        let begins = world.got.iter().position(|(history, _)| *history == world.history);
        if let Some(at @ 1..) = begins {
            prop_assert!(world.notices.contains(&(ErrorKind::Cleared, at)), "nobody told of {:?}", world.got);
        }
    }
}
