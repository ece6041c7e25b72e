//! A run as one line.

use bowline_events::Timestamp;
use bowline_workflow::{Data, RunInfo, RunStatus, SuspendedStep};
use serde::Serialize;

use crate::outcome::Outcome;
use crate::time::{duration, iso, relative};

/// A run in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    id: &'a str,
    workflow: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Data>,
    suspended: Vec<Suspended<'a>>,
}

#[derive(Serialize)]
struct Suspended<'a> {
    path: &'a [String],
    step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    labels: &'a [String],
    payload: &'a Data,
}

impl<'a> From<&'a RunInfo> for Line<'a> {
    fn from(run: &'a RunInfo) -> Self {
        let suspended = run.suspended.iter().map(|step| Suspended {
            path: &step.path,
            step: step.id(),
            index: step.index,
            labels: &step.labels,
            payload: &step.payload,
        });
        Self {
            id: &run.id,
            workflow: &run.workflow,
            status: run.status.as_str(),
            resource: run.resource.as_deref(),
            created_at: iso(run.created),
            ended_at: run.ended.map(iso),
            due_at: run.due.map(iso),
            duration_ms: run.ended.map(|ended| between(run.created, ended)),
            worker: run.worker.as_deref(),
            result: run.result.as_ref(),
            error: run.error.as_ref(),
            suspended: suspended.collect(),
        }
    }
}

/// Milliseconds from one instant to another.
pub(super) fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis().saturating_sub(from.as_millis())
}

/// How long the run took, or has taken so far.
pub(super) fn took(run: &RunInfo, now: Timestamp) -> String {
    duration(between(run.created, run.ended.unwrap_or(now)))
}

/// What the run waits for; empty if it does not.
pub(super) fn waits_for(run: &RunInfo, now: Timestamp) -> String {
    match run.status {
        RunStatus::Suspended => {
            let mut steps: Vec<String> = run.suspended.iter().map(suspended).collect();
            const SHOWN: usize = 3;
            if steps.len() > SHOWN {
                let more = steps.len() - SHOWN;
                steps.truncate(SHOWN);
                steps.push(format!("{more} more"));
            }
            steps.join(", ")
        }
        RunStatus::Pending => "a worker".to_owned(),
        RunStatus::Waiting => match run.due {
            Some(due) => relative(due, now),
            None => "a timer".to_owned(),
        },
        RunStatus::Paused => "runs resume".to_owned(),
        _ => String::new(),
    }
}

/// `step[index] (label)`.
fn suspended(step: &SuspendedStep) -> String {
    let mut text = step.id();
    if let Some(index) = step.index {
        text.push_str(&format!("[{index}]"));
    }
    if !step.labels.is_empty() {
        text.push_str(&format!(" ({})", step.labels.join(", ")));
    }
    text
}

/// How a command ends that waited for a run.
pub(super) fn outcome(status: RunStatus) -> Outcome {
    match status {
        RunStatus::Failed | RunStatus::Tripwire | RunStatus::Canceled => Outcome::FoundProblems,
        _ => Outcome::Done,
    }
}
