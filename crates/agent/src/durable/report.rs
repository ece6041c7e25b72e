//! What is told of the rounds of a run.

use crate::chunk::event::{Finish, FinishOutput, IterationComplete, StepRecord, StepResult};
use crate::chunk::{Failure as ToldFailure, StepContent, StepFinish, ToolRecord};
use crate::message::Part;
use crate::model::FinishReason;
use crate::{Agent, Data};

use super::mapping::End;
use super::transcript::{Answer, Call, Failure, Outcome, Transcript};

impl From<&Failure> for ToldFailure {
    fn from(failure: &Failure) -> Self {
        Self::new(failure.name.clone(), failure.message.clone())
    }
}

impl Transcript {
    /// The calls of a round.
    fn tool_calls(&self, answer: &Answer) -> Vec<ToolRecord> {
        answer.calls().map(|call| self.record(call)).collect()
    }

    fn record(&self, call: Call<'_>) -> ToolRecord {
        let mut record = ToolRecord::new(call.id.clone(), call.name.clone(), call.args.clone());
        record.provider_executed = call.provider_executed.then_some(true);
        record
            .active_tools
            .clone_from(&self.run.options.active_tools);
        record
    }

    /// What came of the calls of a round.
    fn tool_results(&self, round: u32, answer: &Answer) -> Vec<ToolRecord> {
        let told = answer.calls().filter_map(|call| {
            let outcome = self.outcome(round, call.id).filter(|it| !it.client)?;
            let mut record = self.record(call);
            record.result.clone_from(&outcome.result);
            record.error = outcome.error.as_ref().map(ToldFailure::from);
            record.approval.clone_from(&outcome.approval);
            Some(record)
        });
        told.collect()
    }

    /// That the model and the tools that it called are done.
    pub(crate) fn step_finish(&self, round: u32, answer: &Answer, more: bool) -> StepFinish {
        StepFinish {
            reason: answer.reason,
            is_continued: more,
            usage: answer.usage.clone(),
            metadata: None,
            content: (answer.reason != FinishReason::Error)
                .then(|| self.step_content(round, answer)),
        }
    }

    fn step_content(&self, round: u32, answer: &Answer) -> Vec<StepContent> {
        let text = answer.text();
        let text = (!text.is_empty()).then_some(StepContent::Text(text));
        let calls = answer.calls().map(|call| StepContent::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            args: call.args.clone(),
        });
        let results = answer.calls().filter_map(|call| {
            let outcome = self.outcome(round, call.id).filter(|it| !it.client)?;
            Some(content_of(call, outcome))
        });
        text.into_iter().chain(calls).chain(results).collect()
    }

    pub(crate) fn iteration_complete(
        &self,
        agent: &Agent,
        round: u32,
        answer: &Answer,
        is_final: bool,
    ) -> IterationComplete {
        let failed = answer.reason == FinishReason::Error;
        IterationComplete {
            iteration: round,
            max_iterations: self.run.max_steps(&agent.0),
            // What a model said before it failed is no answer.
            text: Some(if failed { String::new() } else { answer.text() }),
            tool_calls: self.tool_calls(answer),
            tool_results: self.tool_results(round, answer),
            is_final,
            finish_reason: answer.reason,
            run_id: self.run.run_id.clone(),
            thread_id: self.run.thread_id.clone(),
            resource_id: self.run.resource_id.clone(),
            agent_id: agent.id().clone(),
            agent_name: agent.name().cloned(),
        }
    }

    /// That the run has ended.
    pub(crate) fn finish(&self, end: &End) -> Finish {
        let asked = || self.answers.iter().filter(|(_, answer)| !answer.unasked);
        let steps: Vec<StepRecord> = asked()
            .map(|(round, answer)| StepRecord {
                text: answer.text(),
                tool_calls: self.tool_calls(answer),
                tool_results: self.tool_results(*round, answer),
                usage: answer.usage.clone(),
                finish_reason: answer.reason,
            })
            .collect();
        let last = asked().next_back().map(|(_, answer)| answer);
        let reason = match last {
            _ if end.aborted => FinishReason::Abort,
            _ if end.tripped => FinishReason::Tripwire,
            Some(answer) => answer.reason,
            None => FinishReason::Unknown,
        };
        let bad = [
            FinishReason::Abort,
            FinishReason::Error,
            FinishReason::Tripwire,
        ];
        let good = !bad.contains(&reason);
        let text = end.text.clone();
        Finish {
            output: FinishOutput {
                text: text.or_else(|| Some(last.map(Answer::text).unwrap_or_default())),
                usage: self.usage(),
                steps,
            },
            step_result: StepResult {
                reason,
                warnings: Vec::new(),
                is_continued: end.more,
                total_usage: last.filter(|_| good).map(|answer| answer.usage.clone()),
                headers: last
                    .filter(|_| good)
                    .and_then(|answer| answer.headers.clone()),
                message_id: None,
            },
        }
    }
}

fn content_of(call: Call<'_>, outcome: &Outcome) -> StepContent {
    let (result, is_error) = match (&outcome.error, &outcome.result) {
        (Some(error), _) => (Data::of(&error.message).ok(), true),
        (None, result) => (result.clone(), false),
    };
    StepContent::ToolResult {
        id: call.id.clone(),
        name: call.name.clone(),
        result,
        is_error,
    }
}

/// Whether a part is the call of a tool.
pub(crate) fn is_call(part: &Part) -> bool {
    matches!(part, Part::Tool { .. })
}
