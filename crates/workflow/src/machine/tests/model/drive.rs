//! Answering the commands of a run as its scripts say, in random order, with every promise of the reducer checked on the way.

use std::collections::BTreeSet;

use bowline_events::Timestamp;
use serde_json::{Value, json};

use super::interpret::{Execution, Place, State, name, returned, set};
use super::spec::{EntrySpec, NodeSpec, Script, build};
use crate::Resume;
use crate::machine::{
    At, Command, Completion, Fact, Failure, Machine, Notice, Outcome, RunStatus, Spot, Suspension,
};

/// More facts than any of the random workflows needs.
const MANY: usize = 20_000;

pub(in crate::machine::tests) struct Drive<'a> {
    root: &'a [EntrySpec],
    pub(super) machine: Machine,
    random: u64,
    now: i64,
    pub(in crate::machine::tests) facts: Vec<Fact>,
    /// What was asked for after each fact.
    pub(super) asked: Vec<Vec<Command>>,
    pub(super) notices: Vec<Notice>,
    pub(super) executed: BTreeSet<Execution>,
    pending: Vec<Command>,
    recoveries: u32,
}

impl<'a> Drive<'a> {
    pub(super) fn new(root: &'a [EntrySpec], seed: u64) -> Self {
        Self {
            root,
            machine: Machine::new("run".into(), build("root", root)),
            random: seed,
            now: 1_000,
            facts: Vec::new(),
            asked: Vec::new(),
            notices: Vec::new(),
            executed: BTreeSet::new(),
            pending: Vec::new(),
            recoveries: 0,
        }
    }

    /// Begins the run, and answers until it has ended.
    pub(super) fn run(&mut self, input: &Value, state: &State) {
        self.apply(Fact::Started {
            at: self.at(),
            input: input.clone().into(),
            state: Some(json!(state).into()),
            context: None,
            per_step: false,
        });
        while !self.machine.status().is_final() {
            assert!(self.facts.len() < MANY, "the run does not end");
            let fact = match self.machine.status() {
                RunStatus::Running if self.recoveries < 3 && self.below(12) == 0 => {
                    self.recoveries += 1;
                    Fact::Recovered { at: self.at() }
                }
                RunStatus::Running => self.answer(),
                RunStatus::Suspended => self.resume(),
                other => panic!("the run is {other}"),
            };
            self.apply(fact);
        }
    }

    fn apply(&mut self, fact: Fact) {
        self.now += 1;
        let applied = self.machine.apply(&fact);
        assert_eq!(applied, Ok(()), "{fact:?}");
        if let Some(spot) = fact.answers() {
            self.pending
                .retain(|command| spot_of(command) != Some(spot));
        }
        for command in self.machine.take_commands() {
            if let Command::Abort { frame } = command {
                self.pending
                    .retain(|command| spot_of(command).is_none_or(|spot| spot.frame != frame));
                continue;
            }
            assert!(!self.pending.contains(&command), "{command:?} twice");
            if let Command::Execute { spot, attempt } = command {
                let stage = self.stage(spot);
                let execution = (self.place(spot), stage, attempt);
                assert!(
                    self.executed.insert(execution),
                    "{command:?} was run before"
                );
            }
            self.pending.push(command);
        }
        let asked = self.machine.outstanding();
        assert_eq!(sorted(&self.pending), sorted(&asked), "after {fact:?}");
        self.notices.extend(self.machine.take_notices());
        self.facts.push(fact);
        self.asked.push(asked);
    }

    /// The answer to one of the commands.
    fn answer(&mut self) -> Fact {
        let count = self.pending.len();
        assert!(count > 0, "a running run waits for nothing");
        let chosen = self.below(count);
        let command = self.pending[chosen].clone();
        let at = self.at();
        match command {
            Command::Execute { spot, attempt } => Fact::Ended {
                at,
                spot,
                attempt,
                completion: self.execute(spot, attempt),
            },
            Command::Decide { spot } => {
                let EntrySpec::Branch(branches) = self.entry(spot) else {
                    panic!("there are no branches at {spot:?}");
                };
                let taken = branches.iter().map(|(taken, _)| *taken).collect();
                Fact::Decided { at, spot, taken }
            }
            Command::Test { spot } => {
                let EntrySpec::Loop { times, .. } = self.entry(spot) else {
                    panic!("there is no loop at {spot:?}");
                };
                let again = self.machine.view(spot).iterations + 1 < *times;
                Fact::Looped { at, spot, again }
            }
            Command::Measure { spot } => {
                let EntrySpec::Foreach { width, .. } = self.entry(spot) else {
                    panic!("there is no array at {spot:?}");
                };
                let width = *width;
                Fact::Measured { at, spot, width }
            }
            Command::Time { spot } => Fact::Slept {
                at,
                spot,
                until: At(Timestamp::from_millis(self.now + 10)),
            },
            Command::Wake { spot, .. } => Fact::Woke { at, spot },
            Command::Abort { .. } => unreachable!("an abort is not kept"),
        }
    }

    fn execute(&self, spot: Spot, attempt: u32) -> Completion {
        let (script, place) = (self.script(spot), self.place(spot));
        let name = name(self.root, &place);
        if attempt < script.fails {
            let mut failure = Failure::new("Error", &name);
            failure.last = script.last;
            return Outcome::Failed(failure).into();
        }
        let view = self.machine.view(spot);
        let stage = self.stage(spot);
        let outcome = if stage < script.suspends {
            let payload = json!({ "stage": stage }).into();
            let labels = vec![format!("{place:?}")];
            Outcome::Suspended(Suspension { payload, labels })
        } else if script.bails {
            Outcome::Bailed(json!(name).into())
        } else {
            let input: Value = view.input.parse().unwrap();
            let state: State = view.state.parse().unwrap();
            let seen = (!self.is_iterated(&place)).then_some(&state);
            Outcome::Success(returned(script, &place, &input, seen).into())
        };
        assert_eq!(view.resume.is_some(), stage > 0, "{spot:?}");
        let state = set(script, &name).map(|state| json!(state).into());
        Completion { outcome, state }
    }

    /// Resumes one of the suspended steps, by its label or by its path.
    fn resume(&mut self) -> Fact {
        let suspended = self.machine.suspended();
        assert!(
            !suspended.is_empty(),
            "a suspended run has no suspended step"
        );
        let chosen = self.below(suspended.len());
        let step = &suspended[chosen];
        let data = Resume::with(&json!({ "go": "on" })).unwrap();
        let by_label = self.below(2) == 0;
        let resume = if by_label {
            data.label(&step.labels[0])
        } else {
            data.path(step.path.clone())
        };
        let spots = self.machine.select(&resume).unwrap();
        assert!(!spots.is_empty());
        if by_label {
            assert_eq!(spots, [step.spot]);
        }
        Fact::Resumed {
            at: self.at(),
            spots,
            data: resume.data,
            context: None,
            per_step: false,
        }
    }

    /// How often the step at a spot was suspended before.
    fn stage(&self, spot: Spot) -> u32 {
        let with = self.machine.view(spot).suspended_with;
        let with = with.map(|payload| payload.parse::<Value>().unwrap());
        let stage = with.map_or(0, |payload| payload["stage"].as_u64().unwrap() + 1);
        u32::try_from(stage).unwrap()
    }

    /// Where a spot is, from the outermost workflow inwards.
    fn place(&self, spot: Spot) -> Place {
        let frame = &self.machine.frames[spot.frame];
        let mut place = frame
            .parent
            .map(|parent| self.place(parent))
            .unwrap_or_default();
        let result = frame.result(frame.workflow.index(spot.entry, spot.branch));
        let iteration = result.map_or(0, |result| result.iterations);
        place.push((spot.entry, spot.branch, iteration));
        place
    }

    fn entry(&self, spot: Spot) -> &'a EntrySpec {
        let place = self.place(spot);
        self.entries(&place).last().unwrap()
    }

    /// The entries that a place is in, from the outermost inwards.
    fn entries(&self, place: &Place) -> Vec<&'a EntrySpec> {
        let mut entries = self.root;
        let mut way = Vec::new();
        for (i, branch, _) in place {
            let entry = &entries[*i];
            way.push(entry);
            if let Some(NodeSpec::Workflow(inner)) = entry.node(*branch) {
                entries = inner;
            }
        }
        way
    }

    fn is_iterated(&self, place: &Place) -> bool {
        let way = self.entries(place);
        way.iter()
            .any(|entry| matches!(entry, EntrySpec::Foreach { .. }))
    }

    fn script(&self, spot: Spot) -> &'a Script {
        match self.entry(spot) {
            EntrySpec::Map(script) => script,
            entry => match entry.node(spot.branch) {
                Some(NodeSpec::Step(script)) => script,
                _ => panic!("there is no step at {spot:?}"),
            },
        }
    }

    fn at(&self) -> At {
        At(Timestamp::from_millis(self.now))
    }

    /// A random number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % limit
    }
}

pub(in crate::machine::tests) fn spot_of(command: &Command) -> Option<Spot> {
    match command {
        Command::Execute { spot, .. }
        | Command::Decide { spot }
        | Command::Test { spot }
        | Command::Measure { spot }
        | Command::Time { spot }
        | Command::Wake { spot, .. } => Some(*spot),
        Command::Abort { .. } => None,
    }
}

/// Commands in an order of their own; nobody promises one.
pub(in crate::machine::tests) fn sorted(commands: &[Command]) -> Vec<String> {
    let mut shown: Vec<String> = commands
        .iter()
        .map(|command| format!("{command:?}"))
        .collect();
    shown.sort();
    shown
}
