//! What a run made, gathered while its stream is read.

use bowline_events::Text;
use serde::de::DeserializeOwned;

use crate::chunk::event::{Aborted, Finish, StepRecord, Suspended};
use crate::chunk::{Chunk, Failure, ToolRecord};
use crate::model::{FinishReason, Usage};
use crate::{Error, ErrorKind, Result};

/// What a run made, as far as its stream was read.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunOutput {
    /// The run; empty before its first event.
    pub run_id: Text,
    /// What the model said in the last iteration.
    pub text: String,
    /// The iterations.
    pub steps: Vec<StepRecord>,
    /// What they cost together.
    pub usage: Usage,
    /// Why the run ended; `None` while it has not, and while it waits.
    pub finish_reason: Option<FinishReason>,
    /// What it waits for.
    pub suspended: Vec<Suspended>,
    /// Why it failed, if it did.
    pub error: Option<Failure>,
}

impl RunOutput {
    /// The text as the JSON of a `T`, for an answer with a schema.
    ///
    /// # Errors
    /// `Model` when it is something else.
    pub fn object<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.text.trim()).map_err(|error| {
            let message = format!("the answer is not of the expected type: {error}");
            Error::new(ErrorKind::Model, "read output", message)
                .with_subject(self.run_id.clone())
                .with_source(error)
        })
    }

    /// The tool calls of all iterations.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolRecord> {
        self.steps.iter().flat_map(|step| &step.tool_calls)
    }

    /// What came of the tool calls of all iterations.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolRecord> {
        self.steps.iter().flat_map(|step| &step.tool_results)
    }

    /// Whether the run waits for somebody.
    pub fn is_suspended(&self) -> bool {
        !self.suspended.is_empty()
    }
}

/// A [`RunOutput`] in the making.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    output: RunOutput,
    /// Whether the pieces are kept, not only what the last event says.
    whole: bool,
    /// Events were lost: what comes may belong to another step than the last one.
    adrift: bool,
    last_error: Option<Failure>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self {
            output: RunOutput::default(),
            whole: true,
            adrift: false,
            last_error: None,
        }
    }

    pub(super) fn discard(&mut self) {
        self.whole = false;
    }

    pub(super) fn name(&mut self, run_id: &Text) {
        if self.output.run_id.is_empty() {
            self.output.run_id = run_id.clone();
        }
    }

    /// A step begins, in the place of the last one if that is void.
    pub(super) fn begin(&mut self, again: bool) {
        self.last_error = None;
        self.adrift = false;
        self.output.suspended.clear();
        if again {
            self.output.steps.pop();
        }
        if self.whole {
            self.output.steps.push(StepRecord::default());
        }
    }

    pub(super) fn lose(&mut self) {
        self.adrift = true;
    }

    pub(super) fn chunk(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Error(error) => self.last_error = Some((**error).clone()),
            Chunk::ToolResult(result) => self.resolve(&result.call.id),
            Chunk::ToolError(failure) => self.resolve(&failure.call.id),
            Chunk::ToolOutputDenied(denial) => self.resolve(&denial.id),
            _ => {}
        }
        if self.whole {
            self.keep(chunk);
        }
    }

    fn keep(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::TextDelta(delta) => self.step().text.push_str(&delta.text),
            Chunk::ToolCall(call) => {
                let args = call.args.clone();
                let mut record =
                    ToolRecord::new(call.call.id.clone(), call.call.name.clone(), args);
                record.provider_metadata.clone_from(&call.call.metadata);
                record.provider_executed = call.call.provider_executed.then_some(true);
                record.output.clone_from(&call.output);
                self.step().tool_calls.push(record);
            }
            Chunk::ToolResult(result) => {
                self.outcome(&result.call.id, &result.call.name, |record| {
                    record.result.clone_from(&result.result);
                });
            }
            Chunk::ToolError(failure) => {
                self.outcome(&failure.call.id, &failure.call.name, |record| {
                    record.error = Some(failure.error.clone());
                });
            }
            Chunk::ToolOutputDenied(denial) => self.outcome(&denial.id, &denial.name, |record| {
                record.approval = Some(denial.approval.clone());
            }),
            Chunk::StepFinish(finish) => {
                self.output.usage.add(&finish.usage);
                let step = self.step();
                step.usage = finish.usage.clone();
                step.finish_reason = finish.reason;
            }
            _ => {}
        }
    }

    /// The step under way; one without a begin if the reader came later.
    fn step(&mut self) -> &mut StepRecord {
        if std::mem::take(&mut self.adrift) || self.output.steps.is_empty() {
            self.output.steps.push(StepRecord::default());
        }
        let last = self.output.steps.len() - 1;
        &mut self.output.steps[last]
    }

    fn outcome(&mut self, id: &Text, name: &Text, fill: impl FnOnce(&mut ToolRecord)) {
        let step = self.step();
        let call = step.tool_calls.iter().find(|call| call.tool_call_id == *id);
        let mut record = match call {
            Some(call) => call.clone(),
            None => ToolRecord::new(id.clone(), name.clone(), crate::Data::object()),
        };
        fill(&mut record);
        step.tool_results.push(record);
    }

    pub(super) fn suspend(&mut self, suspended: &Suspended) {
        if let Some(id) = &suspended.tool_call_id {
            self.resolve(id);
        }
        self.output.suspended.push(suspended.clone());
    }

    fn resolve(&mut self, id: &Text) {
        let waits = |suspended: &Suspended| suspended.tool_call_id.as_ref() == Some(id);
        self.output.suspended.retain(|suspended| !waits(suspended));
    }

    /// The last event knows everything, whenever the reader came.
    pub(super) fn finish(&mut self, finish: &Finish) {
        let output = &mut self.output;
        output.suspended.clear();
        if !finish.output.steps.is_empty() {
            output.steps.clone_from(&finish.output.steps);
        }
        output.usage = finish.output.usage.clone();
        let reason = finish.step_result.reason;
        output.finish_reason = Some(reason);
        if reason == FinishReason::Error {
            let error = self.last_error.take();
            output.error = error.or_else(|| Some(Failure::new("Error", "the run failed")));
        }
        self.last_text(finish.output.text.clone());
    }

    pub(super) fn fail(&mut self, error: &Failure) {
        self.output.finish_reason = Some(FinishReason::Error);
        self.output.error = Some(error.clone());
    }

    pub(super) fn abort(&mut self, aborted: &Aborted) {
        self.output.suspended.clear();
        self.output.finish_reason = Some(FinishReason::Abort);
        self.last_text(aborted.text.clone());
    }

    fn last_text(&mut self, text: Option<String>) {
        if let Some(text) = text {
            self.output.text = text;
        } else if let Some(step) = self.output.steps.last() {
            self.output.text.clone_from(&step.text);
        }
    }

    pub(super) fn text(&self) -> &str {
        match self.output.steps.last() {
            Some(step) if self.output.finish_reason.is_none() => &step.text,
            _ => &self.output.text,
        }
    }

    pub(super) fn into_output(mut self) -> RunOutput {
        if self.output.text.is_empty() {
            self.last_text(None);
        }
        self.output
    }
}
