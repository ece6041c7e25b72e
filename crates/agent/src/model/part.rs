//! What a model says, piece by piece.

use bowline_events::{Text, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Data;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelPart {
    /// What the provider says of the answer.
    ResponseMetadata(ResponseMetadata),
    /// A text begins.
    TextStart {
        /// The id of the text within the answer.
        id: Text,
        /// What only this provider knows, for the next request.
        metadata: Option<Data>,
    },
    /// More of a text.
    TextDelta {
        /// The id of the text.
        id: Text,
        /// What is added.
        text: String,
        /// What only this provider knows.
        metadata: Option<Data>,
    },
    /// A text is complete.
    TextEnd {
        /// The id of the text.
        id: Text,
        /// What only this provider knows.
        metadata: Option<Data>,
    },
    /// The model begins to think aloud.
    ReasoningStart {
        /// The id of the reasoning within the answer.
        id: Text,
        /// What only this provider knows, for example a signature.
        metadata: Option<Data>,
    },
    /// More of a reasoning.
    ReasoningDelta {
        /// The id of the reasoning.
        id: Text,
        /// What is added.
        text: String,
        /// What only this provider knows.
        metadata: Option<Data>,
    },
    /// A reasoning is complete.
    ReasoningEnd {
        /// The id of the reasoning.
        id: Text,
        /// What only this provider knows, for example a signature.
        metadata: Option<Data>,
    },
    /// The model begins to write the arguments of a tool call.
    ToolInputStart(ToolInput),
    /// More of the arguments, as JSON text.
    ToolInputDelta {
        /// The id of the call.
        id: Text,
        /// What is added.
        delta: String,
    },
    /// The arguments are complete.
    ToolInputEnd {
        /// The id of the call.
        id: Text,
    },
    /// A tool is to be called. It comes after the parts of its arguments, or without them.
    ToolCall {
        /// The call.
        call: ToolInput,
        /// The arguments: an object. What was no JSON is the text that it was.
        args: Data,
    },
    /// What a tool returned that the provider executed itself.
    ToolResult {
        /// The call.
        call: ToolInput,
        /// What it returned.
        result: Data,
        /// Whether it failed.
        is_error: bool,
    },
    /// Something that the model read.
    Source(Source),
    /// A file that the model made.
    File {
        /// Its content in base 64.
        data: Text,
        /// Its media type.
        media_type: Text,
    },
    /// What the provider sent, as it was; only where the request asks for it.
    Raw(Data),
    /// The answer is complete.
    Finish {
        /// Why.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
        /// What only this provider knows.
        metadata: Option<Data>,
    },
}

/// What the provider says of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResponseMetadata {
    /// Its id at the provider.
    pub id: Option<Text>,
    /// The model that answers.
    pub model_id: Option<Text>,
    /// When it began to answer.
    pub timestamp: Option<Timestamp>,
    /// Headers of the response, without those that are secret: an object of texts.
    pub headers: Option<Data>,
}

/// A tool call, apart from its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolInput {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// Whether the provider executes it.
    pub provider_executed: bool,
    /// What only this provider knows, for the next request.
    pub metadata: Option<Data>,
}

/// Something that the model read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Its id within the answer.
    pub id: Text,
    /// Where it is on the web; a document unless set.
    pub url: Option<Text>,
    /// Its title.
    pub title: Option<Text>,
    /// The media type of a document.
    pub media_type: Option<Text>,
    /// The file name of a document.
    pub filename: Option<Text>,
    /// What only this provider knows.
    pub metadata: Option<Data>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model is done.
    Stop,
    /// It wants tools to be called.
    ToolCalls,
    /// The longest answer was reached.
    Length,
    /// The provider stopped it for its content.
    ContentFilter,
    /// It failed.
    Error,
    /// Somebody stopped it.
    Abort,
    /// A processor stopped it.
    Tripwire,
    /// A processor wants another attempt.
    Retry,
    /// Something else.
    Other,
    /// Nobody says.
    #[default]
    #[serde(other)]
    Unknown,
}

impl FinishReason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool-calls",
            Self::Length => "length",
            Self::ContentFilter => "content-filter",
            Self::Error => "error",
            Self::Abort => "abort",
            Self::Tripwire => "tripwire",
            Self::Retry => "retry",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

/// What an answer cost, in tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Read.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Written while thinking; part of `output_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Read from the cache of the provider; part of `input_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Written to the cache of the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// As the provider counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Data>,
}

impl Usage {
    /// `input` tokens read and `output` written.
    pub fn new(input: u64, output: u64) -> Self {
        Self {
            input_tokens: input,
            output_tokens: output,
            total_tokens: input.saturating_add(output),
            ..Self::default()
        }
    }

    /// Adds what another answer of the same run cost: the three sums, as the reference does.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
    }

    /// Only the three sums.
    #[must_use]
    pub fn sums(&self) -> Self {
        Self {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            total_tokens: self.total_tokens,
            ..Self::default()
        }
    }
}
