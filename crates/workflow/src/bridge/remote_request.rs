//! Asking a server of the reference to execute a step of ours.

use super::members::Members;
use super::step_result::with_meta;
use crate::json::Writer;
use crate::machine::{Spot, View};
use crate::{Data, StepContext};

/// The body of a request for the step `step` of `workflow` at `path` over there.
pub(super) fn body(context: &StepContext, workflow: &str, step: &str, path: &[usize]) -> String {
    let view = context.view();
    let path: Vec<String> = path.iter().map(usize::to_string).collect();
    let mut json = Writer::object();
    json.text("workflowId", workflow)
        .text("runId", &view.run_id)
        .text("stepId", step)
        .raw("executionPath", &format!("[{}]", path.join(",")))
        .data("stepResults", &step_results(context, step))
        .data("state", &view.state)
        .data("input", &view.input)
        .optional("resumeData", view.resume.as_ref())
        .number("retryCount", view.attempt)
        .raw("validateInputs", "true")
        .data("requestContext", &view.request_context);
    json.end()
}

/// What the run got, and what every step returned so far: what the functions of the context over there look into.
fn step_results(context: &StepContext, step: &str) -> Data {
    let view = context.view();
    let mut json = Writer::object();
    json.data("input", &view.initial)
        .data("__state", &view.state);
    for (index, id) in node_ids(view) {
        match view.outputs.get(index) {
            _ if view.step == id.as_str() => {}
            Some(output) => {
                json.nested(&id, |result| {
                    result.text("status", "success").data("output", &output);
                });
            }
            None => {}
        }
    }
    if let Some(before) = before(view, step) {
        json.data(step, &before);
    }
    Data::made(json.end())
}

/// The ids of the nodes of the workflow, by their number.
fn node_ids(view: &View) -> Vec<(usize, String)> {
    let entries = view.workflow.definition().entries.iter().enumerate();
    let mut ids = Vec::with_capacity(view.workflow.nodes());
    for (entry, definition) in entries {
        for (branch, id) in definition.ids().into_iter().enumerate() {
            let branch = definition.has_branches().then_some(branch);
            ids.push((view.workflow.index(entry, branch), id.to_string()));
        }
    }
    ids
}

/// What is known of the step from before: what it suspended with, and how often its loop came by.
fn before(view: &View, step: &str) -> Option<Data> {
    let mut before = Members::default();
    if let Some(payload) = &view.suspended_with {
        let mut meta = Writer::object();
        meta.text("runId", &view.run_id)
            .texts("path", std::iter::once(step));
        let payload = with_meta(payload, Data::made(meta.end()));
        before.set("status", Data::made("\"suspended\"".to_owned()));
        before.set("payload", view.input.clone());
        before.set("suspendPayload", payload);
    }
    if view.iterations > 0 {
        let mut metadata = Writer::object();
        metadata.number("iterationCount", view.iterations);
        before.set("metadata", Data::made(metadata.end()));
    }
    (!before.is_empty()).then(|| before.to_data())
}

/// The execution path of the step in its own workflow.
pub(super) fn own_path(context: &StepContext) -> Option<Vec<usize>> {
    let view = context.view();
    let (entry, branch) = view.workflow.place(&view.step)?;
    Some(Spot::new(0, entry, branch).path())
}
