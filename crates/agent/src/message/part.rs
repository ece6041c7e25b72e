//! The pieces of a message.

use bowline_events::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Data;

/// A piece of a message. What this version does not know is kept as it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What only one provider knows.
        metadata: Option<Data>,
    },
    /// What the model thought.
    Reasoning {
        /// The text.
        text: String,
        /// What only one provider knows.
        metadata: Option<Data>,
    },
    /// A file.
    File {
        /// A URL, or the content in base 64.
        data: Text,
        /// Its media type.
        media_type: Text,
        /// Its name.
        filename: Option<Text>,
    },
    /// A tool that was called, and what came of it.
    Tool {
        /// The call.
        invocation: ToolInvocation,
        /// Whether the provider executed it.
        provider_executed: bool,
        /// What only one provider knows.
        metadata: Option<Data>,
    },
    /// Something else: an object with a `type`.
    Other(Data),
}

/// A tool that was called, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolInvocation {
    /// How far it is.
    pub state: ToolState,
    /// The id of the call.
    pub tool_call_id: Text,
    /// The name of the tool.
    pub tool_name: Text,
    /// The arguments.
    pub args: Data,
    /// What it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Data>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// Who approved it, or did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// How far a call of a tool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ToolState {
    /// Its arguments are being written.
    PartialCall,
    /// It is to be made.
    Call,
    /// It returned.
    Result,
    /// It failed.
    OutputError,
    /// It was not approved.
    OutputDenied,
}

/// Whether a call was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The id of the question: that of the call.
    pub id: Text,
    /// The answer.
    pub approved: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("messages"))
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Data::deserialize(deserializer).map(Self::Other)
    }
}
