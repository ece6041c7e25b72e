//! The members of the entries of a graph. What else is in an entry is only for show, and ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::predicate::Predicate;
use crate::{Data, RetryPolicy};

/// A graph with what the reference does not write.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whole {
    pub(super) graph: Data,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) max_crashes: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Kind {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Deserialize)]
pub(super) struct StepEntry {
    pub(super) step: Step,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) description: Option<String>,
    pub(super) metadata: Option<Data>,
    #[serde(default)]
    pub(super) can_suspend: bool,
    pub(super) retry: Option<RetryPolicy>,
}

/// An agent, a tool or a classifier, of which it has one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) agent_id: Option<String>,
    pub(super) tool_id: Option<String>,
    pub(super) classifier_id: Option<String>,
    pub(super) output_schema: Option<Data>,
    pub(super) options: Option<Data>,
    pub(super) retry: Option<RetryPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Nested {
    pub(super) id: String,
    pub(super) workflow_id: String,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) max_crashes: Option<u32>,
    pub(super) serialized_step_flow: Data,
}

#[derive(Deserialize)]
pub(super) struct Parallel {
    pub(super) steps: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Conditional {
    pub(super) steps: Data,
    #[serde(default)]
    pub(super) serialized_conditions: Vec<Function>,
    #[serde(default)]
    pub(super) predicates: Vec<Option<Predicate>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Loop {
    pub(super) step: Data,
    #[serde(default)]
    pub(super) serialized_condition: Function,
    pub(super) loop_type: LoopType,
    pub(super) predicate: Option<Predicate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LoopType {
    DoWhile,
    DoUntil,
}

/// What is written of a function.
#[derive(Deserialize, Default)]
pub(super) struct Function {
    #[serde(rename = "fn")]
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Foreach {
    pub(super) step: Data,
    #[serde(default)]
    pub(super) opts: Width,
}

#[derive(Deserialize, Default)]
pub(super) struct Width {
    pub(super) concurrency: Option<Value>,
    #[serde(rename = "fn")]
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Sleep {
    pub(super) id: String,
    pub(super) duration: Option<f64>,
    pub(super) date: Option<String>,
    #[serde(rename = "fn")]
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mapping {
    pub(super) id: String,
    pub(super) map_config: Option<String>,
    pub(super) retry: Option<RetryPolicy>,
}
