//! Letting the processors of an agent look at a run.

use bowline_workflow::StepError;

use super::transcript::{Answer, Transcript};
use super::workflow::Services;
use crate::message::Role;
use crate::processor::{ProcessorContext, RunOutput, StepInput, Tripwire};
use crate::{Agent, Message};

use super::input::RunInput;

/// The run, as processors see it.
pub(crate) fn context(agent: &Agent, run: &RunInput) -> ProcessorContext {
    let mut context = ProcessorContext::new(agent.id().clone(), run.run_id.clone());
    context.thread_id.clone_from(&run.thread_id);
    context.resource_id.clone_from(&run.resource_id);
    context
}

/// What the processors have left of a run that has ended.
pub(crate) struct Processed {
    /// What is kept: what was said to the run, and what it has made.
    pub(crate) messages: Vec<Message>,
    /// What the model said at last, if a processor has changed that.
    pub(crate) text: Option<String>,
    pub(crate) tripwire: Option<Tripwire>,
}

impl Services {
    /// Whether the processors let the model be asked; what they have left of the question is in `step`.
    pub(crate) async fn look_at_step(
        &self,
        step: &mut StepInput,
    ) -> Result<Option<Tripwire>, StepError> {
        let looked = self.agent.0.processors.step(step).await;
        looked.map_err(|error| StepError::from(error).no_retry())
    }

    /// What the processors leave of the run, which ends with `answer`.
    pub(crate) async fn look_at_output(
        &self,
        transcript: &Transcript,
        answer: &Answer,
    ) -> Result<Processed, StepError> {
        let all = transcript.own_messages();
        let is_made = |message: &Message| message.role == Role::Assistant;
        let made: Vec<Message> = all.iter().filter(|it| is_made(it)).cloned().collect();
        let context = context(&self.agent, &transcript.run);
        let mut output = RunOutput::new(context, made, transcript.usage(), answer.reason);
        let looked = self.agent.0.processors.output_result(&mut output).await;
        let tripwire = looked.map_err(|error| StepError::from(error).no_retry())?;
        let last = output.messages.last().map(Message::text);
        let text = last.filter(|text| *text != answer.text());
        let mut left = output.messages.into_iter();
        let mut messages = Vec::with_capacity(all.len());
        for message in all {
            match is_made(&message) {
                true => messages.extend(left.next()),
                false => messages.push(message),
            }
        }
        messages.extend(left);
        Ok(Processed {
            messages,
            text,
            tripwire,
        })
    }
}
