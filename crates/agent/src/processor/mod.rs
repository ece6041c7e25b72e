//! What looks at messages before the model gets them and before the caller does.

mod chain;
mod tripwire;

use std::fmt;

use bowline_events::Text;

pub use chain::Processors;
pub use tripwire::{ProcessorError, Tripwire};

use crate::model::{FinishReason, ModelSettings, ToolChoice, Usage};
use crate::{BoxFuture, Data, Message};

/// What a processor answers: nothing, because what it changes is changed in place, or why the run is not to go on.
pub type Processed = Result<(), ProcessorError>;

/// Looks at the messages of runs, changes them, or stops a run. Every method does nothing unless it is written.
///
/// # Contract
/// A method is called again when the process ended before what it did was committed. So what it does outside of what it is
/// given has to bear repetition.
///
/// ```
/// use bowline_agent::BoxFuture;
/// use bowline_agent::processor::{Processed, Processor, ProcessorError, RunInput};
///
/// #[derive(Debug)]
/// struct NoSecrets;
///
/// impl Processor for NoSecrets {
///     fn id(&self) -> &str {
///         "no-secrets"
///     }
///
///     fn process_input<'a>(&'a self, input: &'a mut RunInput) -> BoxFuture<'a, Processed> {
///         Box::pin(async move {
///             match input.messages.iter().any(|message| message.text().contains("password")) {
///                 true => Err(ProcessorError::tripwire("there is a password in it")),
///                 false => Ok(()),
///             }
///         })
///     }
/// }
/// ```
pub trait Processor: fmt::Debug + Send + Sync + 'static {
    /// Its id, by which people tell processors apart.
    fn id(&self) -> &str;

    /// Looks at what is said to a run, once, before the run begins. What it changes is what is kept.
    fn process_input<'a>(&'a self, input: &'a mut RunInput) -> BoxFuture<'a, Processed> {
        let _ = input;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Looks at what the model is about to be asked, before every call. What it changes is so for this call only.
    fn process_step<'a>(&'a self, step: &'a mut StepInput) -> BoxFuture<'a, Processed> {
        let _ = step;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Looks at what the run has made, once, after its last step. What it changes is what is kept; what was streamed was
    /// seen already.
    fn process_output_result<'a>(&'a self, result: &'a mut RunOutput) -> BoxFuture<'a, Processed> {
        let _ = result;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The run that something is processed for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessorContext {
    /// The agent.
    pub agent_id: Text,
    /// The run.
    pub run_id: Text,
    /// The conversation, if the run belongs to one.
    pub thread_id: Option<Text>,
    /// Whom the run is for.
    pub resource_id: Option<Text>,
}

impl ProcessorContext {
    /// The run `run_id` of an agent, without a conversation.
    pub fn new(agent_id: impl Into<Text>, run_id: impl Into<Text>) -> Self {
        Self {
            agent_id: agent_id.into(),
            run_id: run_id.into(),
            ..Self::default()
        }
    }
}

/// What is said to a run.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunInput {
    /// The run. Changes of it count for nothing.
    pub context: ProcessorContext,
    /// What the model is to be.
    pub system: Vec<String>,
    /// The new messages, without those of the conversation before.
    pub messages: Vec<Message>,
}

impl RunInput {
    /// What `messages` say to the run of `context`.
    pub fn new(context: ProcessorContext, system: Vec<String>, messages: Vec<Message>) -> Self {
        Self {
            context,
            system,
            messages,
        }
    }
}

/// What the model is asked in one step.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct StepInput {
    /// The run. Changes of it count for nothing.
    pub context: ProcessorContext,
    /// Which step it is, counted from 0. Changes of it count for nothing.
    pub step: u32,
    /// What the model is to be.
    pub system: Vec<String>,
    /// The whole conversation.
    pub messages: Vec<Message>,
    /// The names of the tools that it may call; all unless set.
    pub active_tools: Option<Vec<Text>>,
    /// Whether it may call tools, or must.
    pub tool_choice: ToolChoice,
    /// How it is to answer.
    pub settings: ModelSettings,
    /// What only one provider understands: an object by provider.
    pub provider_options: Option<Data>,
}

impl StepInput {
    /// What `messages` ask in the step `step` of the run of `context`.
    pub fn new(context: ProcessorContext, step: u32, messages: Vec<Message>) -> Self {
        Self {
            context,
            step,
            messages,
            ..Self::default()
        }
    }
}

/// What a run has made.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunOutput {
    /// The run. Changes of it count for nothing.
    pub context: ProcessorContext,
    /// The messages of the run, without those that were said to it.
    pub messages: Vec<Message>,
    /// What all answers cost. Changes of it count for nothing.
    pub usage: Usage,
    /// Why the last answer ended. Changes of it count for nothing.
    pub finish_reason: FinishReason,
}

impl RunOutput {
    /// What the run of `context` has made in `messages`.
    pub fn new(
        context: ProcessorContext,
        messages: Vec<Message>,
        usage: Usage,
        finish_reason: FinishReason,
    ) -> Self {
        Self {
            context,
            messages,
            usage,
            finish_reason,
        }
    }
}
