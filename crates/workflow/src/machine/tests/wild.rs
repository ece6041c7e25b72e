//! Runs to which anything may happen at any time: cancelled, broken off, tried again, sent back, taken over.

use std::fmt::Debug;

use bowline_events::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

use super::hostile::{completion, travel, underway};
use super::model::{EntrySpec, build, entries, sorted, spot_of};
use crate::Data;
use crate::definition::Entry;
use crate::machine::{At, Command, Completion, Fact, Machine, RunStatus, Spot, Travel};

/// What happens next, whatever the state of the run is.
#[derive(Debug, Clone)]
struct Event {
    kind: u8,
    which: Index,
    completion: Completion,
    travel: Travel,
    flags: Vec<bool>,
    width: usize,
}

fn event() -> impl Strategy<Value = Event> {
    let flags = prop::collection::vec(any::<bool>(), 4);
    (
        0_u8..20,
        any::<Index>(),
        completion(),
        travel(),
        flags,
        0_usize..4,
    )
        .prop_map(|(kind, which, completion, travel, flags, width)| Event {
            kind,
            which,
            completion,
            travel,
            flags,
            width,
        })
}

/// A run, and what it must be like.
struct Watched {
    machine: Machine,
    pending: Vec<Command>,
    facts: Vec<Fact>,
    at: At,
}

impl Watched {
    fn apply(&mut self, fact: Fact) {
        assert_eq!(self.machine.apply(&fact), Ok(()), "{fact:?}");
        if let Some(spot) = fact.answers() {
            self.pending
                .retain(|command| spot_of(command) != Some(spot));
        }
        for command in self.machine.take_commands() {
            match command {
                Command::Abort { frame } => self
                    .pending
                    .retain(|command| spot_of(command).is_none_or(|spot| spot.frame != frame)),
                command => {
                    assert!(!self.pending.contains(&command), "{command:?} twice");
                    self.pending.push(command);
                }
            }
        }
        let (pending, status) = (sorted(&self.pending), self.machine.status());
        assert_eq!(
            pending,
            sorted(&self.machine.outstanding()),
            "after {fact:?}"
        );
        assert_eq!(
            !pending.is_empty(),
            status == RunStatus::Running,
            "after {fact:?}"
        );
        let suspended = self.machine.suspended();
        if status == RunStatus::Suspended {
            assert!(!suspended.is_empty(), "after {fact:?}");
        }
        assert_eq!(
            self.machine.result().is_some(),
            status == RunStatus::Success
        );
        let failed = matches!(status, RunStatus::Failed | RunStatus::Tripwire);
        assert_eq!(self.machine.error().is_some(), failed, "after {fact:?}");
        self.facts.push(fact);
    }

    /// The fact of an event, if it can happen now.
    fn fact(&self, event: &Event) -> Option<Fact> {
        let at = self.at;
        let travels = || {
            let travel = event.travel.clone();
            let possible = self.machine.travel_problem(&travel).is_none();
            possible.then_some(Fact::Traveled { at, travel })
        };
        match (self.machine.status(), event.kind) {
            (RunStatus::Running, 0..=16) => Some(self.answer(event)),
            (RunStatus::Running, 17) => Some(Fact::Recovered { at }),
            (RunStatus::Suspended, 0..=13) => Some(self.resume(event)),
            (RunStatus::Paused, 0..=13) => {
                let per_step = event.flags[0];
                Some(Fact::Continued { at, per_step })
            }
            (RunStatus::Failed | RunStatus::Tripwire, 0..=9) if self.machine.begun => {
                Some(Fact::Retried { at })
            }
            (RunStatus::Success | RunStatus::Canceled, _) => travels(),
            (RunStatus::Pending, 0..=17) => Some(Fact::Started {
                at,
                input: Data::from_json("[[],[1]]").unwrap(),
                state: None,
                context: None,
                per_step: event.flags[0],
            }),
            (RunStatus::Failed | RunStatus::Tripwire, 19) | (_, 18) => Some(Fact::Canceled { at }),
            (RunStatus::Running | RunStatus::Pending, _) | (_, 19) => Some(Fact::Broke {
                at,
                error: Data::null(),
            }),
            _ => travels(),
        }
    }

    fn answer(&self, event: &Event) -> Fact {
        let at = self.at;
        match *event.which.get(&self.pending) {
            Command::Execute { spot, attempt } => Fact::Ended {
                at,
                spot,
                attempt,
                completion: event.completion.clone(),
            },
            Command::Decide { spot } => {
                let workflow = &self.machine.frames[spot.frame].workflow;
                let count = workflow.entry(spot.entry).map(Entry::ids).unwrap().len();
                let taken = event.flags.iter().copied().take(count).collect();
                Fact::Decided { at, spot, taken }
            }
            Command::Test { spot } => {
                let again = event.flags[0];
                Fact::Looped { at, spot, again }
            }
            Command::Measure { spot } => {
                let width = event.width;
                Fact::Measured { at, spot, width }
            }
            Command::Time { spot } => Fact::Slept {
                at,
                spot,
                until: at,
            },
            Command::Wake { spot, .. } => Fact::Woke { at, spot },
            Command::Abort { .. } => unreachable!("an abort is not kept"),
        }
    }

    /// Resumes some of the suspended steps.
    fn resume(&self, event: &Event) -> Fact {
        let suspended: Vec<Spot> = self
            .machine
            .suspended()
            .iter()
            .map(|step| step.spot)
            .collect();
        let first = event.which.index(suspended.len());
        let spots = suspended
            .iter()
            .copied()
            .skip(first)
            .take(event.width.max(1));
        Fact::Resumed {
            at: self.at,
            spots: spots.collect(),
            data: Data::object(),
            context: None,
            per_step: event.flags[0],
        }
    }
}

fn replayed(root: &[EntrySpec], before: &[Fact], facts: &[Fact]) -> Machine {
    let mut machine = Machine::new("run".into(), build("root", root));
    for fact in before.iter().chain(facts) {
        machine.apply(fact).unwrap();
    }
    machine
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_happens_a_run_waits_for_something_or_says_what_it_is(
        root in entries(2, 1),
        seed in any::<u64>(),
        part in any::<usize>(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let (mut machine, before) = underway(&root, seed, part);
        machine.take_commands();
        machine.take_notices();
        let mut run = Watched {
            pending: machine.outstanding(),
            machine,
            facts: Vec::new(),
            at: At(Timestamp::from_millis(50_000)),
        };
        for event in &events {
            if let Some(fact) = run.fact(event) {
                run.apply(fact);
            }
        }
        let again = replayed(&root, &before, &run.facts);
        prop_assert_eq!(again.status(), run.machine.status());
        prop_assert_eq!(shown(&again.steps()), shown(&run.machine.steps()));
        prop_assert_eq!(again.noted(), run.machine.noted());
        prop_assert_eq!(again.outstanding(), run.machine.outstanding());
    }
}
