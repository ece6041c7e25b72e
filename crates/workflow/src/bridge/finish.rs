//! Telling a Node caller how a run of ours ended, in the form of the reference.

use crate::json::Writer;
use crate::{Data, RunResult, RunStatus, Workflow};

use super::node_event::{END, FAIL, SUSPEND};

/// The type and the data of the event for `result` of a run of `workflow`, whose request context was `context`.
pub(super) fn event(
    workflow: &Workflow,
    result: &RunResult,
    context: &Data,
) -> (&'static str, Data) {
    let kind = match result.status() {
        RunStatus::Failed | RunStatus::Tripwire => FAIL,
        RunStatus::Suspended => SUSPEND,
        _ => END,
    };
    let state = result.state();
    let last = workflow.definition().entries.len().saturating_sub(1);
    let mut data = Writer::object();
    data.text("workflowId", workflow.id())
        .text("runId", result.run_id())
        .raw("executionPath", &format!("[{last}]"))
        .data("stepResults", &step_results(workflow, result, &state))
        .data("prevResult", &last_result(result))
        .raw("activeStepsPath", "{}")
        .data("requestContext", context)
        .data("state", &state);
    (kind, Data::made(data.end()))
}

/// The data of the event for a run that did not begin.
pub(super) fn refusal(workflow: &str, run: &str, error: &Data) -> Data {
    let mut data = Writer::object();
    data.text("workflowId", workflow)
        .text("runId", run)
        .raw("executionPath", "[0]")
        .raw("stepResults", "{}")
        .nested("prevResult", |result| {
            result.text("status", "failed").data("error", error);
        })
        .raw("activeStepsPath", "{}")
        .raw("requestContext", "{}")
        .raw("state", "{}");
    Data::made(data.end())
}

/// What the run got, and the results of its steps without those of nested workflows.
fn step_results(workflow: &Workflow, result: &RunResult, state: &Data) -> Data {
    let mut results = Writer::object();
    results.data("input", result.input()).data("__state", state);
    for (id, step) in result.steps() {
        if workflow.index_of(&id).is_some() {
            results.data(&id, &step.to_json());
        }
    }
    Data::made(results.end())
}

fn last_result(result: &RunResult) -> Data {
    let mut last = Writer::object();
    match result.status() {
        RunStatus::Success => {
            last.text("status", "success")
                .optional("output", result.result());
        }
        RunStatus::Failed | RunStatus::Tripwire => {
            last.text("status", "failed")
                .optional("error", result.error())
                .optional("tripwire", result.tripwire());
        }
        status => {
            last.text("status", status.as_str());
        }
    }
    Data::made(last.end())
}
