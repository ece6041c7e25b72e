//! The events of a run that are not chunks.

use bowline_events::{Dialect, NewEvent, Payload, Text};
use bytes::Bytes;
use serde::Deserialize;

use super::json::Writer;
use super::wire::{present, some_usage, usage};
use super::{Failure, ToolRecord};
use crate::Data;
use crate::model::{FinishReason, Usage};

/// Something that the topic of a run tells besides chunks.
trait Body {
    const KIND: &'static str;

    fn write(&self, json: &mut Writer);
}

fn to_json(body: &impl Body) -> Bytes {
    let mut json = Writer::object();
    body.write(&mut json);
    json.end_bytes()
}

fn to_event<B: Body>(body: &B, run_id: &Text) -> NewEvent {
    let data = Payload::from_valid_json(to_json(body), Dialect::Plain);
    NewEvent::new(B::KIND, run_id.clone()).with_data(data)
}

macro_rules! body {
    ($body:ty, $kind:literal, |$this:ident, $json:ident| $write:expr) => {
        impl Body for $body {
            const KIND: &'static str = $kind;

            fn write(&self, $json: &mut Writer) {
                let $this = self;
                $write;
            }
        }

        impl $body {
            /// The data of the event, as JSON text with its members in the order of the wire.
            pub fn to_json(&self) -> Bytes {
                to_json(self)
            }

            /// The event for the stream of the run `run_id`.
            pub fn to_event(&self, run_id: &Text) -> NewEvent {
                to_event(self, run_id)
            }
        }
    };
}

/// An iteration of the loop is complete: the model answered, and the tools that it called are done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IterationComplete {
    /// Which, 1 for the first.
    pub iteration: u32,
    /// How many there are at most.
    #[serde(default)]
    pub max_iterations: u32,
    /// What the model said.
    #[serde(default)]
    pub text: Option<String>,
    /// The tools that it called.
    #[serde(default)]
    pub tool_calls: Vec<ToolRecord>,
    /// What came of them.
    #[serde(default)]
    pub tool_results: Vec<ToolRecord>,
    /// Whether it is the last.
    #[serde(default)]
    pub is_final: bool,
    /// Why the model stopped.
    #[serde(default)]
    pub finish_reason: FinishReason,
    /// The run.
    #[serde(default)]
    pub run_id: Text,
    /// The conversation.
    #[serde(default)]
    pub thread_id: Option<Text>,
    /// Whom the conversation is with.
    #[serde(default)]
    pub resource_id: Option<Text>,
    /// The agent.
    #[serde(default)]
    pub agent_id: Text,
    /// What people call it.
    #[serde(default)]
    pub agent_name: Option<Text>,
}

body!(IterationComplete, "iteration-complete", |this, json| {
    json.number("iteration", this.iteration)
        .number("maxIterations", this.max_iterations)
        .some_text("text", this.text.as_ref())
        .records("toolCalls", &this.tool_calls)
        .records("toolResults", &this.tool_results)
        .bool("isFinal", this.is_final)
        .text("finishReason", this.finish_reason.as_str())
        .text("runId", &this.run_id)
        .some_text("threadId", this.thread_id.as_ref())
        .some_text("resourceId", this.resource_id.as_ref())
        .text("agentId", &this.agent_id)
        .some_text("agentName", this.agent_name.as_ref())
});

/// What a call of a tool waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SuspendKind {
    /// Somebody is to approve it.
    Approval,
    /// The tool wants data.
    #[default]
    #[serde(other)]
    Suspension,
}

impl SuspendKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Suspension => "suspension",
        }
    }
}

/// The run waits for somebody.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Suspended {
    /// The call that waits.
    pub tool_call_id: Option<Text>,
    /// The tool.
    pub tool_name: Option<Text>,
    /// The arguments.
    #[serde(deserialize_with = "present")]
    pub args: Option<Data>,
    /// What the tool waits for.
    #[serde(deserialize_with = "present")]
    pub suspend_payload: Option<Data>,
    /// Why it waits.
    #[serde(rename = "type")]
    pub kind: SuspendKind,
    /// The JSON schema of the answer, as text.
    pub resume_schema: Option<Text>,
}

body!(Suspended, "suspended", |this, json| {
    json.some_text("toolCallId", this.tool_call_id.as_ref())
        .some_text("toolName", this.tool_name.as_ref())
        .some_data("args", this.args.as_ref())
        .some_data("suspendPayload", this.suspend_payload.as_ref())
        .text("type", this.kind.as_str())
        .some_text("resumeSchema", this.resume_schema.as_ref())
});

/// The run has ended, by itself or because somebody stopped it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Finish {
    /// What it made.
    pub output: FinishOutput,
    /// How it ended.
    pub step_result: StepResult,
}

/// What a run made.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FinishOutput {
    /// What the model said in the last iteration.
    pub text: Option<String>,
    /// What all iterations cost.
    #[serde(deserialize_with = "usage")]
    pub usage: Usage,
    /// The iterations.
    pub steps: Vec<StepRecord>,
}

/// One iteration of a run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepRecord {
    /// What the model said.
    pub text: String,
    /// The tools that it called.
    pub tool_calls: Vec<ToolRecord>,
    /// What came of them.
    pub tool_results: Vec<ToolRecord>,
    /// What the call of the model cost.
    #[serde(deserialize_with = "usage")]
    pub usage: Usage,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepResult {
    /// Why.
    pub reason: FinishReason,
    /// What the provider warned of.
    pub warnings: Vec<Data>,
    /// Whether the model would have been called again, had there been no limit.
    pub is_continued: bool,
    /// What the last call of the model cost; `None` when it failed or was stopped.
    #[serde(deserialize_with = "some_usage")]
    pub total_usage: Option<Usage>,
    /// Headers of the last response, without those that are secret.
    pub headers: Option<Data>,
    /// The message that the last answer became.
    pub message_id: Option<Text>,
}

body!(Finish, "finish", |this, json| {
    json.nested("output", |json| {
        let output = &this.output;
        json.some_text("text", output.text.as_ref())
            .usage("usage", &output.usage)
            .objects("steps", &output.steps, |json, step| {
                json.text("text", &step.text)
                    .records("toolCalls", &step.tool_calls)
                    .records("toolResults", &step.tool_results)
                    .usage("usage", &step.usage)
                    .text("finishReason", step.finish_reason.as_str());
            });
    })
    .nested("stepResult", |json| {
        let result = &this.step_result;
        json.text("reason", result.reason.as_str())
            .array("warnings", result.warnings.iter())
            .bool("isContinued", result.is_continued);
        if let Some(usage) = &result.total_usage {
            json.usage("totalUsage", usage);
        }
        json.some_data("headers", result.headers.as_ref())
            .some_text("messageId", result.message_id.as_ref());
    })
});

impl Finish {
    pub(super) fn write(&self, json: &mut Writer) {
        Body::write(self, json);
    }
}

/// The run failed as a whole: the workflow below it did, or it could not start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failed {
    /// Why.
    pub error: Failure,
}

body!(Failed, "error", |this, json| json
    .failure("error", &this.error));

/// The run was stopped. Producers of today tell it by a [`Finish`] with the reason `abort`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Aborted {
    /// The iterations.
    pub steps: Vec<Data>,
    /// What the model said in the last one.
    pub text: Option<String>,
}

body!(Aborted, "abort", |this, json| json
    .array("steps", this.steps.iter())
    .some_text("text", this.text.as_ref()));
