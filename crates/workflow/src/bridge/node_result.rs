//! How a run of a Node engine ended.

use bowline_events::Text;
use serde::de::DeserializeOwned;

use super::members::Members;
use super::node_event::{END, FAIL, SUSPEND};
use crate::{Data, Error, ErrorKind, Result, RunStatus};

/// How a run of a Node engine ended, or halted: what the event on `workflows-finish` tells.
#[derive(Debug, Clone)]
pub struct NodeResult {
    run: Text,
    status: RunStatus,
    result: Option<Data>,
    error: Option<Data>,
    tripwire: Option<Data>,
    state: Data,
    steps: Vec<(String, Data)>,
}

impl NodeResult {
    /// What an event of the type `kind` says; `None` when it does not end or halt a run.
    pub(super) fn read(kind: &str, run: Text, data: &Members) -> Option<Self> {
        if ![END, FAIL, SUSPEND].contains(&kind) {
            return None;
        }
        let steps = data.get("stepResults").and_then(Members::of);
        let mut steps = steps.unwrap_or_default();
        let state_of_steps = steps.remove("__state");
        let last = restored(data.get("prevResult"), &steps);
        let tripwire = tripwire(&steps);
        let paused = data
            .get("perStep")
            .is_some_and(|per| per.as_str() == "true");
        let status = match (kind, last.text("status").as_deref()) {
            (SUSPEND, _) => RunStatus::Suspended,
            (FAIL, _) | (_, Some("failed")) if tripwire.is_some() => RunStatus::Tripwire,
            (FAIL, _) | (_, Some("failed")) => RunStatus::Failed,
            (_, Some("canceled")) => RunStatus::Canceled,
            (_, Some("paused")) => RunStatus::Paused,
            _ if paused => RunStatus::Paused,
            _ => RunStatus::Success,
        };
        let output = || last.get("output").cloned().unwrap_or_default();
        let error = last.get("error").map(without_stack);
        let failed = matches!(status, RunStatus::Failed | RunStatus::Tripwire);
        Some(Self {
            run,
            status,
            result: (status == RunStatus::Success).then(output),
            error: error.filter(|_| failed),
            tripwire: tripwire.filter(|_| status == RunStatus::Tripwire),
            state: data
                .get("state")
                .filter(|state| state.is_object())
                .cloned()
                .or(state_of_steps)
                .unwrap_or_else(Data::object),
            steps: told(&steps),
        })
    }

    /// The id of the run.
    pub fn run_id(&self) -> &Text {
        &self.run
    }

    /// How it is.
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// What it returned.
    ///
    /// # Errors
    /// `WrongState` when it did not succeed; the message tells the error of the run. `InvalidInput` when it is no `T`.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T> {
        let Some(result) = &self.result else {
            let error = self.error.as_ref();
            let error = error.map(|error| format!(": {error}")).unwrap_or_default();
            let message = format!("the run has no result, it is {}{error}", self.status);
            let error = Error::new(ErrorKind::WrongState, "result", message);
            return Err(error.with_subject(self.run.clone()));
        };
        result.parse()
    }

    /// What it returned, as JSON; `null` for what is undefined there.
    pub fn result(&self) -> Option<&Data> {
        self.result.as_ref()
    }

    /// Why it failed: an object with `message`, usually with `name`, and without a stack.
    pub fn error(&self) -> Option<&Data> {
        self.error.as_ref()
    }

    /// The object of the tripwire that stopped it.
    pub fn tripwire(&self) -> Option<&Data> {
        self.tripwire.as_ref()
    }

    /// Its state.
    pub fn state(&self) -> &Data {
        &self.state
    }

    /// The results of its steps, as JSON in the form of the reference; what the run got is the first, called `input`. Skipped
    /// steps are left out.
    pub fn steps(&self) -> &[(String, Data)] {
        &self.steps
    }

    /// The result of the step `id`.
    pub fn step(&self, id: &str) -> Option<&Data> {
        let found = self.steps.iter().find(|(step, _)| step == id);
        found.map(|(_, result)| result)
    }
}

/// The last result of the run. The codec of core 1.71 writes a value that an event has twice only once, and `null` the second
/// time; the results of the steps come first, so that what is missing here is there.
fn restored(last: Option<&Data>, steps: &Members) -> Members {
    let results = || steps.iter().filter_map(|(_, result)| Members::of(result));
    let Some(mut last) = last.and_then(Members::of) else {
        let ended = |result: &Members| result.get("endedAt").and_then(|at| at.parse::<i64>().ok());
        return results().max_by_key(ended).unwrap_or_default();
    };
    if last.get("output").is_some_and(Data::is_null) {
        let mut same = results().filter(|result| is_same(result, &last));
        if let Some(output) = same.find_map(|mut result| result.remove("output")) {
            last.set("output", output);
        }
    } else if last.get("startedAt").is_none()
        && let Some(mut outputs) = last.get("output").and_then(Members::of)
    {
        // What branches returned, by their ids.
        fill(&mut outputs, steps);
        last.set("output", outputs.to_data());
    }
    if last.get("error").is_some_and(|error| !has_message(error)) {
        let mut errors = results().filter_map(|mut result| result.remove("error"));
        if let Some(error) = errors.find(has_message) {
            last.set("error", error);
        }
    }
    last
}

/// Whether two results are of the same execution.
fn is_same(one: &Members, other: &Members) -> bool {
    let members = ["startedAt", "endedAt", "status"];
    members.iter().all(|name| one.get(name) == other.get(name))
}

fn fill(outputs: &mut Members, steps: &Members) {
    let absent: Vec<String> = outputs
        .iter()
        .filter(|(_, output)| output.is_null())
        .map(|(id, _)| id.to_owned())
        .collect();
    for id in absent {
        let result = steps.get(&id).and_then(Members::of);
        if let Some(output) = result.and_then(|mut result| result.remove("output")) {
            outputs.set(&id, output);
        }
    }
}

fn has_message(error: &Data) -> bool {
    Members::of(error).is_some_and(|error| error.text("message").is_some())
}

fn tripwire(steps: &Members) -> Option<Data> {
    let mut results = steps.iter().filter_map(|(_, result)| Members::of(result));
    results.find_map(|result| {
        let failed = result.text("status").as_deref() == Some("failed");
        let tripwire = result.get("tripwire").filter(|_| failed)?;
        tripwire.is_object().then(|| tripwire.clone())
    })
}

/// The step results that users are to see: the engine's own members are left out.
fn told(steps: &Members) -> Vec<(String, Data)> {
    let mut told = Vec::new();
    for (id, result) in steps.iter() {
        let Some(mut members) = Members::of(result).filter(|_| id != "input") else {
            told.push((id.to_owned(), result.clone()));
            continue;
        };
        if members.text("status").as_deref() == Some("skipped") {
            continue;
        }
        for own in ["__state", "__stateDelta"] {
            members.remove(own);
        }
        if let Some(error) = members.get("error").map(without_stack) {
            members.set("error", error);
        }
        told.push((id.to_owned(), members.to_data()));
    }
    told
}

/// Stacks name files of another machine.
fn without_stack(error: &Data) -> Data {
    let Some(mut members) = Members::of(error) else {
        return error.clone();
    };
    members.remove("stack");
    members.to_data()
}
