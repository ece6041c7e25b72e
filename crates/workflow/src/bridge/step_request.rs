//! What a program that orchestrates a run sends to have one of its steps executed.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::members::{Members, given};
use super::step_response::StepResponse;
use crate::definition::{Entry, Node, StepDefinition};
use crate::{Data, Workflow};

/// What the run got, among the results of its steps.
const INPUT: &str = "input";

/// The body of a request. Members that are not listed are of no use here: the ids of workflow and run are in the path, and
/// the types of a step are always checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepRequest {
    pub(super) step_id: String,
    pub(super) execution_path: Vec<usize>,
    pub(super) step_results: Members,
    #[serde(default, deserialize_with = "members")]
    pub(super) state: Members,
    #[serde(default, deserialize_with = "members")]
    pub(super) request_context: Members,
    #[serde(default, deserialize_with = "given")]
    pub(super) input: Option<Data>,
    #[serde(default, deserialize_with = "given")]
    pub(super) resume_data: Option<Data>,
    #[serde(default)]
    retry_count: Option<u32>,
    #[serde(default)]
    foreach_idx: Option<usize>,
}

/// `null` is an object without members.
fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
    Ok(Option::<Members>::deserialize(deserializer)?.unwrap_or_default())
}

/// The step of a workflow that a request means.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) step: Arc<StepDefinition>,
    /// The element of an array.
    pub(super) index: Option<usize>,
}

/// What tells one execution of a step from another one: a request that is sent again has the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Execution {
    pub(super) workflow: String,
    pub(super) run: String,
    path: Vec<usize>,
    attempt: u32,
    /// Of what differs when a step is resumed, or its loop comes by again: its input, the data that it is resumed with, and
    /// what is known of it from before.
    fingerprint: [u8; 32],
}

impl StepRequest {
    pub(super) fn read(body: &[u8]) -> Result<Self, StepResponse> {
        serde_json::from_slice(body).map_err(|error| {
            StepResponse::error(
                400,
                &format!("this is no request to execute a step: {error}"),
            )
        })
    }

    /// The step at the execution path.
    pub(super) fn place(&self, workflow: &Workflow) -> Result<Place, StepResponse> {
        let (entry, branch) = match self.execution_path[..] {
            [entry] => (entry, None),
            [entry, branch] => (entry, Some(branch)),
            _ => return Err(self.nowhere(workflow, "it has one or two numbers")),
        };
        let found = workflow
            .entry(entry)
            .ok_or_else(|| self.nowhere(workflow, "the workflow has fewer entries"))?;
        if let Some(Node::Workflow { .. }) = found.node(branch) {
            return Err(self.nowhere(
                workflow,
                "a nested workflow is there; the orchestrator starts it as a run of its own",
            ));
        }
        let step = found
            .step(branch)
            .ok_or_else(|| self.nowhere(workflow, "no step is there"))?;
        // The ids of mappings are made up by either side.
        if step.id != self.step_id.as_str() && !matches!(found, Entry::Map(_)) {
            let message = format!(
                "the step {:?} is at {:?} of the workflow {:?} here, and {:?} at the orchestrator; give both the same graph",
                step.id.as_str(),
                self.execution_path,
                workflow.id().as_str(),
                self.step_id,
            );
            return Err(StepResponse::error(409, &message));
        }
        let index = match found {
            Entry::Foreach(_) => self.foreach_idx.or(branch),
            _ => self.foreach_idx,
        };
        Ok(Place {
            step: Arc::clone(step),
            index,
        })
    }

    fn nowhere(&self, workflow: &Workflow, why: &str) -> StepResponse {
        let message = format!(
            "there is no step to execute at {:?} of the workflow {:?}: {why}",
            self.execution_path,
            workflow.id().as_str(),
        );
        StepResponse::error(404, &message)
    }

    pub(super) fn execution(&self, workflow: &str, run: &str) -> Execution {
        let mut hash = Sha256::new();
        let index = self.foreach_idx.map(|index| index.to_string());
        let parts = [
            self.input.as_ref().map(Data::as_str),
            self.resume_data.as_ref().map(Data::as_str),
            self.before().map(Data::as_str),
            index.as_deref(),
        ];
        for part in parts {
            // Lengths before texts, so that no text can pass for two.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Execution {
            workflow: workflow.to_owned(),
            run: run.to_owned(),
            path: self.execution_path.clone(),
            attempt: self.retries(),
            fingerprint: hash.finalize().into(),
        }
    }

    /// What the run knows of this step from before.
    pub(super) fn before(&self) -> Option<&Data> {
        self.step_results.get(&self.step_id)
    }

    pub(super) fn retries(&self) -> u32 {
        self.retry_count.unwrap_or(0)
    }

    /// What the run got.
    pub(super) fn initial(&self) -> Data {
        self.step_results.get(INPUT).cloned().unwrap_or_default()
    }

    /// What the step gets: an element of the input when it says which, otherwise all of it.
    pub(super) fn element(&self) -> Data {
        let input = self.input.clone().unwrap_or_default();
        let Some(index) = self.foreach_idx else {
            return input;
        };
        let elements = input.elements().unwrap_or_default();
        elements.into_iter().nth(index).unwrap_or_default()
    }
}
