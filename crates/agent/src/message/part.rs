//! The pieces of a message.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::Extra;
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
        /// Other members.
        extra: Extra,
    },
    /// What the model thought.
    Reasoning {
        /// The text.
        text: String,
        /// What only one provider knows.
        metadata: Option<Data>,
        /// Other members.
        extra: Extra,
    },
    /// A file.
    File {
        /// A URL, or the content in base 64.
        data: Text,
        /// Its media type.
        media_type: Text,
        /// Its name.
        filename: Option<Text>,
        /// Other members.
        extra: Extra,
    },
    /// A tool that was called, and what came of it.
    Tool {
        /// The call.
        invocation: ToolInvocation,
        /// Whether the provider executed it.
        provider_executed: bool,
        /// What only one provider knows.
        metadata: Option<Data>,
        /// Other members.
        extra: Extra,
    },
    /// Something else: an object with a `type`. One that this version knows in the right form is read as what it is.
    Other(Data),
}

/// A tool that was called, and what came of it.
#[derive(Debug, Clone, PartialEq)]
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
    pub result: Option<Data>,
    /// Why it failed.
    pub error_text: Option<String>,
    /// Who approved it, or did not.
    pub approval: Option<Approval>,
    /// Other members.
    pub extra: Extra,
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
    /// Somebody is asked whether it may be made.
    ApprovalRequested,
    /// Somebody answered that.
    ApprovalResponded,
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

impl Part {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            metadata: None,
            extra: Extra::default(),
        }
    }

    /// A file: a URL, or content in base 64.
    pub fn file(data: impl Into<Text>, media_type: impl Into<Text>) -> Self {
        Self::File {
            data: data.into(),
            media_type: media_type.into(),
            filename: None,
            extra: Extra::default(),
        }
    }

    /// The call of a tool that is to be made.
    pub fn tool(id: impl Into<Text>, name: impl Into<Text>, args: Data) -> Self {
        Self::Tool {
            invocation: ToolInvocation::new(id, name, args),
            provider_executed: false,
            metadata: None,
            extra: Extra::default(),
        }
    }

    /// The mark between two answers of a model in one message: what is before it was said before what is after it was asked.
    pub fn step_start() -> Self {
        // It cannot fail: this is JSON.
        Self::Other(Data::from_json(r#"{"type":"step-start"}"#).unwrap_or_default())
    }

    /// The call of a tool, if it is one.
    pub fn invocation(&self) -> Option<&ToolInvocation> {
        match self {
            Self::Tool { invocation, .. } => Some(invocation),
            _ => None,
        }
    }

    /// The `type` of what this version does not know.
    pub(crate) fn other_kind(&self) -> Option<Text> {
        match self {
            Self::Other(data) => Extra::of(data)?.take("type"),
            _ => None,
        }
    }
}

impl ToolInvocation {
    /// A call that is to be made.
    pub fn new(id: impl Into<Text>, name: impl Into<Text>, args: Data) -> Self {
        Self {
            state: ToolState::Call,
            tool_call_id: id.into(),
            tool_name: name.into(),
            args,
            result: None,
            error_text: None,
            approval: None,
            extra: Extra::default(),
        }
    }
}
