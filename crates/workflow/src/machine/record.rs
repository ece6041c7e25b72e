//! What a run knows of a step.

use bowline_events::{Text, Timestamp};

use crate::Data;
use crate::json::Writer;

/// The state of a step, by its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepStatus {
    /// It runs, or waits to be tried again.
    Running,
    /// It returned.
    Success,
    /// It failed and is not tried again.
    Failed,
    /// It waits for somebody to resume it.
    Suspended,
    /// It sleeps.
    Waiting,
    /// Its branch was not taken.
    Skipped,
    /// The run was cancelled meanwhile.
    Canceled,
}

impl StepStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Waiting => "waiting",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
        }
    }
}

/// What a run knows of a step, in the form of the wire.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepResult {
    /// How it is.
    pub status: StepStatus,
    /// What it got; of an iteration the whole array.
    pub payload: Option<Data>,
    /// What it returned.
    pub output: Option<Data>,
    /// Why it failed: an object with `message` and `name`.
    pub error: Option<Data>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it was suspended.
    pub suspended_at: Option<Timestamp>,
    /// When it was resumed.
    pub resumed_at: Option<Timestamp>,
    /// What it suspended with, with the `__workflow_meta` of the wire while it is suspended.
    pub suspend_payload: Option<Data>,
    /// What it was resumed with.
    pub resume_payload: Option<Data>,
    /// The object of a tripwire that stopped it.
    pub tripwire: Option<Data>,
    /// How often the body of a loop ran before.
    pub iterations: u32,
    /// The run id of a nested workflow.
    pub nested_run: Option<Text>,
}

impl StepResult {
    pub(crate) fn new(status: StepStatus) -> Self {
        Self {
            status,
            payload: None,
            output: None,
            error: None,
            started_at: None,
            ended_at: None,
            suspended_at: None,
            resumed_at: None,
            suspend_payload: None,
            resume_payload: None,
            tripwire: None,
            iterations: 0,
            nested_run: None,
        }
    }

    pub(crate) fn running(payload: Data, at: Timestamp) -> Self {
        Self {
            payload: Some(payload),
            started_at: Some(at),
            ..Self::new(StepStatus::Running)
        }
    }

    /// The JSON of the wire.
    pub fn to_json(&self) -> Data {
        let mut json = Writer::object();
        self.write(&mut json);
        Data::made(json.end())
    }

    /// Writes the members in the order of the reference.
    pub(crate) fn write(&self, json: &mut Writer) {
        json.time("startedAt", self.started_at)
            .optional("payload", self.payload.as_ref())
            .text("status", self.status.as_str())
            .optional("resumePayload", self.resume_payload.as_ref())
            .time("resumedAt", self.resumed_at);
        if self.iterations > 0 || self.nested_run.is_some() {
            json.nested("metadata", |json| {
                if self.iterations > 0 {
                    json.number("iterationCount", self.iterations);
                }
                if let Some(run) = &self.nested_run {
                    json.text("nestedRunId", run);
                }
            });
        }
        json.optional("output", self.output.as_ref())
            .optional("error", self.error.as_ref())
            .time("endedAt", self.ended_at)
            .time("suspendedAt", self.suspended_at)
            .optional("suspendPayload", self.suspend_payload.as_ref())
            .optional("tripwire", self.tripwire.as_ref());
    }
}
