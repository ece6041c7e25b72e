//! The result of a step in the form in which the reference's orchestrator takes it.

use bowline_events::Timestamp;

use super::members::Members;
use super::step_request::{Place, StepRequest};
use crate::Data;
use crate::data::Fields;
use crate::json::Writer;
use crate::machine::{Completion, Failure, Outcome, Suspension};

/// What a suspended step says about how to resume it, in what it suspended with.
pub(super) const META: &str = "__workflow_meta";
/// The member for what a step suspended with that is no object.
const VALUE: &str = "value";
/// What is no longer so when a step has run again.
const OF_SUSPENSION: [&str; 3] = ["suspendedAt", "suspendPayload", "suspendOutput"];

/// An execution of a step, to tell what came of it.
pub(super) struct Executed<'a> {
    pub(super) run: &'a str,
    pub(super) request: &'a StepRequest,
    pub(super) place: &'a Place,
    pub(super) began: Timestamp,
}

impl Executed<'_> {
    /// The JSON of the result: what was known of the step from before, with what is new laid over it.
    pub(super) fn result(&self, completion: &Completion, ended: Timestamp) -> Data {
        let mut result = self.before();
        match &completion.outcome {
            Outcome::Success(output) => self.ended(&mut result, "success", output, ended),
            Outcome::Bailed(output) => self.ended(&mut result, "bailed", output, ended),
            Outcome::Suspended(suspension) => {
                result.set("status", text("suspended"));
                result.set("suspendedAt", time(ended));
                self.set_state(&mut result, completion);
                result.set("suspendPayload", self.suspend_payload(suspension));
            }
            Outcome::Failed(failure) => {
                fail(&mut result, failure, ended);
                return result.to_data();
            }
            Outcome::Canceled => {
                let message = "the step gave up, as if the run was cancelled, which it is not";
                fail(&mut result, &Failure::new("Error", message).last(), ended);
                return result.to_data();
            }
        }
        if !matches!(completion.outcome, Outcome::Suspended(_)) {
            self.set_state(&mut result, completion);
        }
        if let Some(delta) = &completion.state {
            result.set("__stateDelta", delta.clone());
        }
        result.to_data()
    }

    fn before(&self) -> Members {
        let before = self.request.before().and_then(Members::of);
        let mut result = before.unwrap_or_default();
        for name in OF_SUSPENSION {
            result.remove(name);
        }
        result.set("startedAt", time(self.began));
        // Of an iteration the whole array, and an object where there is nothing: as the reference has it.
        let payload = self.request.input.clone().filter(|input| !input.is_null());
        result.set("payload", payload.unwrap_or_else(Data::object));
        if let Some(data) = &self.request.resume_data {
            result.set("resumePayload", data.clone());
            result.set("resumedAt", time(self.began));
        }
        result
    }

    fn ended(&self, result: &mut Members, status: &str, output: &Data, ended: Timestamp) {
        result.set("status", text(status));
        result.set("endedAt", time(ended));
        result.set("output", output.clone());
    }

    fn set_state(&self, result: &mut Members, completion: &Completion) {
        let mut state = Fields::of(&self.request.state.to_data());
        if let Some(delta) = &completion.state {
            state.merge(delta);
        }
        result.set("__state", state.to_data());
    }

    /// What the step suspended with, and how to resume it.
    fn suspend_payload(&self, suspension: &Suspension) -> Data {
        let id = self.request.step_id.as_str();
        let index = self
            .place
            .index
            .map(|index| i64::try_from(index).unwrap_or(i64::MAX));
        let mut meta = Writer::object();
        meta.text("runId", self.run)
            .texts("path", std::iter::once(id));
        if let Some(index) = index {
            meta.number("foreachIndex", index);
        }
        if !suspension.labels.is_empty() {
            meta.nested("resumeLabels", |labels| {
                for label in &suspension.labels {
                    labels.nested(label, |meant| {
                        meant.text("stepId", id);
                        if let Some(index) = index {
                            meant.number("foreachIndex", index);
                        }
                    });
                }
            });
        }
        with_meta(&suspension.payload, Data::made(meta.end()))
    }
}

/// What a step suspended with, and how to resume it.
pub(super) fn with_meta(payload: &Data, meta: Data) -> Data {
    let mut members = Members::of(payload).unwrap_or_default();
    if !payload.is_object() && !payload.is_null() {
        members.set(VALUE, payload.clone());
    }
    members.set(META, meta);
    members.to_data()
}

fn fail(result: &mut Members, failure: &Failure, ended: Timestamp) {
    result.set("status", text("failed"));
    result.set("endedAt", time(ended));
    result.set("error", failure.error.clone());
    if failure.last {
        result.set("nonRetryable", Data::made("true".to_owned()));
    }
    if let Some(tripwire) = &failure.tripwire {
        result.set("tripwire", tripwire.clone());
    }
}

/// What the step at `place` suspended with before, if it waits for somebody: of an iteration that which it suspended with
/// itself.
pub(super) fn suspended_with(request: &StepRequest, place: &Place) -> Option<Data> {
    let before = request.before().and_then(Members::of)?;
    if before.text("status").as_deref() != Some("suspended") {
        return None;
    }
    let payload = before.get("suspendPayload")?;
    let of_iteration = place
        .index
        .and_then(|index| iteration_payload(payload, index));
    Some(without_meta(of_iteration.as_ref().unwrap_or(payload)))
}

fn iteration_payload(payload: &Data, index: usize) -> Option<Data> {
    let meta = Members::of(Members::of(payload)?.get(META)?)?;
    let iterations = meta.get("foreachOutput")?.elements()?;
    let iteration = Members::of(iterations.get(index)?)?;
    let suspended = iteration.text("status").as_deref() == Some("suspended");
    suspended
        .then(|| iteration.get("suspendPayload").cloned())
        .flatten()
}

/// What a step suspended with, as the step itself gave it.
pub(super) fn without_meta(payload: &Data) -> Data {
    let Some(mut members) = Members::of(payload) else {
        return payload.clone();
    };
    match members.remove(META) {
        None => payload.clone(),
        Some(_) if members.is_empty() => Data::null(),
        Some(_) => members.to_data(),
    }
}

fn text(value: &str) -> Data {
    let mut json = String::with_capacity(value.len() + 2);
    crate::json::push_text(&mut json, value);
    Data::made(json)
}

fn time(at: Timestamp) -> Data {
    Data::made(at.as_millis().to_string())
}
