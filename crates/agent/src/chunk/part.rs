//! The payloads of chunks, apart from those of tools.

use bowline_events::{Text, Timestamp};
use serde::Deserialize;

use crate::Data;
use crate::model::{FinishReason, Usage};

/// The run begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The agent.
    #[serde(rename = "id")]
    pub agent_id: Text,
    /// The message that the first answer becomes.
    pub message_id: Text,
}

/// A call of the model begins to answer.
///
/// One that comes again for the same iteration says that the call was made again after a crash: what came since the last one is void.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepStart {
    /// The message that the answer becomes: a new one for each attempt.
    pub message_id: Text,
    /// When it began; `None` when no provider was asked.
    pub started_at: Option<Timestamp>,
    /// The iteration of the loop, 1 for the first. Producers in Node do not tell.
    pub iteration: Option<u32>,
}

/// A text or a reasoning begins or is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// Its id within the answer.
    pub id: Text,
    /// What only the provider knows.
    pub metadata: Option<Data>,
}

/// More of a text or of a reasoning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// The id of the text or of the reasoning.
    pub id: Text,
    /// What is added.
    pub text: String,
    /// What only the provider knows.
    pub metadata: Option<Data>,
}

/// A reasoning that only the provider can read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Its id within the answer.
    pub id: Text,
    /// What the provider wants back.
    pub data: Data,
    /// What only the provider knows.
    pub metadata: Option<Data>,
}

/// A file that the model made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Its content in base 64.
    pub data: Text,
    /// Its media type.
    pub media_type: Text,
}

/// A call of the model and the tools that it called are done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepFinish {
    /// Why the model stopped.
    pub reason: FinishReason,
    /// Whether the model is called again.
    pub is_continued: bool,
    /// What the call cost.
    pub usage: Usage,
    /// What only the provider knows: an object. Empty unless set.
    pub metadata: Option<Data>,
    /// What was said and done; `None` when the model failed.
    pub content: Option<Vec<StepContent>>,
}

/// A piece of what was said and done in a step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StepContent {
    /// The model said it.
    Text(String),
    /// It called a tool.
    ToolCall {
        /// The id of the call.
        id: Text,
        /// The name of the tool.
        name: Text,
        /// The arguments.
        args: Data,
    },
    /// A tool returned, failed, or was refused.
    ToolResult {
        /// The id of the call.
        id: Text,
        /// The name of the tool.
        name: Text,
        /// What it returned, or the message of its failure; `None` when it was refused.
        result: Option<Data>,
        /// Whether it failed.
        is_error: bool,
    },
    /// Something else.
    Other(Data),
}

/// A processor stopped the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tripwire {
    /// Why.
    pub reason: String,
    /// Whether the model is asked again.
    #[serde(default)]
    pub retry: Option<bool>,
    /// What the processor adds.
    #[serde(default)]
    pub metadata: Option<Data>,
    /// Which processor.
    #[serde(default)]
    pub processor_id: Option<Text>,
}

/// What the application sends: its type begins with `data-`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct DataPart {
    /// The type, with `data-`.
    #[serde(rename = "type")]
    pub kind: Text,
    /// What is sent.
    #[serde(default)]
    pub data: Data,
    /// Later data of the same id take the place of earlier.
    #[serde(default)]
    pub id: Option<Text>,
    /// Whether it is not to be kept with the message.
    #[serde(default)]
    pub transient: Option<bool>,
}
