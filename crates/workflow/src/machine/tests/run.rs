//! A run whose steps are answered one by one, by their names.

use bowline_events::Timestamp;
use serde_json::{Value, json};

use super::build::workflow;
use crate::definition::Entry;
use crate::machine::{
    At, Command, Completion, Fact, Failure, Machine, Notice, Outcome, RunStatus, Spot, Suspension,
};
use crate::{Data, Resume, Workflow};

/// One second passes with every fact.
const BEGINNING: i64 = 1_000_000;

pub(super) struct Run {
    pub(super) machine: Machine,
    now: i64,
}

impl Run {
    /// A run of `entries` that has begun.
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>, input: Value) -> Self {
        let mut run = Self::new(workflow("w", entries));
        run.begin(input, false);
        run
    }

    /// One that has not begun.
    pub(super) fn new(workflow: Workflow) -> Self {
        Self {
            machine: Machine::new("run".into(), workflow),
            now: BEGINNING,
        }
    }

    pub(super) fn begin(&mut self, input: Value, per_step: bool) {
        let at = self.at();
        self.apply(&Fact::Started {
            at,
            input: input.into(),
            state: None,
            context: None,
            per_step,
        });
    }

    pub(super) fn try_apply(&mut self, fact: &Fact) -> Result<(), String> {
        self.machine.apply(fact).map_err(|mismatch| mismatch.0)
    }

    pub(super) fn apply(&mut self, fact: &Fact) {
        assert_eq!(self.try_apply(fact), Ok(()), "{fact:?}");
    }

    /// The next instant.
    pub(super) fn at(&mut self) -> At {
        self.now += 1_000;
        At(Timestamp::from_millis(self.now))
    }

    pub(super) fn end(&mut self, step: &str, outcome: Outcome) {
        let asked = self.machine.outstanding().into_iter().find_map(|command| {
            let Command::Execute { spot, attempt } = command else {
                return None;
            };
            (self.name(spot) == step).then_some((spot, attempt))
        });
        let Some((spot, attempt)) = asked else {
            panic!("{step} does not run, but {:?}", self.runs());
        };
        let (at, completion) = (self.at(), Completion::from(outcome));
        self.apply(&Fact::Ended {
            at,
            spot,
            attempt,
            completion,
        });
    }

    pub(super) fn succeed(&mut self, step: &str, output: Value) {
        self.end(step, Outcome::Success(output.into()));
    }

    pub(super) fn fail(&mut self, step: &str) {
        self.end(step, Outcome::Failed(Failure::new("Error", step)));
    }

    /// Suspends a step with its name, and with a label of it.
    pub(super) fn suspend(&mut self, step: &str) {
        let payload = json!({ "step": step }).into();
        let labels = vec![format!("label of {step}")];
        self.end(step, Outcome::Suspended(Suspension { payload, labels }));
    }

    pub(super) fn resume(&mut self, resume: &Resume) {
        let spots = self.machine.select(resume).unwrap();
        let at = self.at();
        self.apply(&Fact::Resumed {
            at,
            spots,
            data: resume.data.clone(),
            context: resume.context.clone(),
            per_step: resume.per_step,
        });
    }

    pub(super) fn status(&self) -> RunStatus {
        self.machine.status()
    }

    pub(super) fn result(&self) -> Option<Value> {
        self.machine.result().map(value)
    }

    /// The steps that are to be run, with the number of the attempt behind the first.
    pub(super) fn runs(&self) -> Vec<String> {
        let outstanding = self.machine.outstanding().into_iter();
        let runs = outstanding.filter_map(|command| match command {
            Command::Execute { spot, attempt: 0 } => Some(self.name(spot)),
            Command::Execute { spot, attempt } => Some(format!("{}#{attempt}", self.name(spot))),
            _ => None,
        });
        runs.collect()
    }

    /// The first step that is to be run.
    pub(super) fn next(&self) -> Option<String> {
        let runs = self.runs();
        let name = runs.first()?.split('#').next();
        name.map(str::to_owned)
    }

    /// What is waited for besides steps: the spot, and for how many milliseconds.
    pub(super) fn waits(&self) -> Vec<(Spot, i64)> {
        let outstanding = self.machine.outstanding().into_iter();
        let waits = outstanding.filter_map(|command| match command {
            Command::Wake { spot, at } => Some((spot, at.as_millis() - self.now)),
            _ => None,
        });
        waits.collect()
    }

    /// What watchers were told since the last call: the run if it is a nested one, the event, the step and its status.
    pub(super) fn told(&mut self) -> Vec<String> {
        let told = self.machine.take_notices();
        told.iter().map(shown).collect()
    }

    /// Every step with its status.
    pub(super) fn steps(&self) -> Vec<String> {
        let steps = self.machine.steps().into_iter();
        let shown = steps.map(|(id, record)| format!("{id} {}", record.status.as_str()));
        shown.collect()
    }

    /// The ids from the outermost workflow inwards, iterations as `id[2]`.
    fn name(&self, spot: Spot) -> String {
        let frame = &self.machine.frames[spot.frame];
        let mut name = match frame.parent {
            Some(parent) => format!("{}.", self.name(parent)),
            None => String::new(),
        };
        name.push_str(&frame.workflow.node_id(spot).unwrap());
        if let Some(index) = self.machine.iteration_of(spot) {
            name.push_str(&format!("[{index}]"));
        }
        name
    }
}

pub(super) fn value(data: &Data) -> Value {
    data.parse().unwrap()
}

fn shown(notice: &Notice) -> String {
    let event: Value = serde_json::from_str(&notice.json).unwrap();
    let payload = &event["payload"];
    let text = |key: &str| payload[key].as_str();
    let kind = event["type"].as_str().unwrap();
    let kind = kind.strip_prefix("workflow-").unwrap();
    let nested = (notice.run_id != "run").then_some(notice.run_id.as_str());
    let status = ["workflowStatus", "iterationStatus", "status"]
        .into_iter()
        .find_map(text);
    let words = [nested, Some(kind), text("id"), status]
        .into_iter()
        .flatten();
    words.collect::<Vec<_>>().join(" ")
}
