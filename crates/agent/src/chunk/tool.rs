//! The payloads of chunks that tell of tools.

use bowline_events::Text;

use super::Failure;
use crate::Data;
use crate::message::Approval;
use crate::model::ToolInput;

/// The JSON schema of the answer to a call that waits to be approved, as text.
pub const APPROVAL_SCHEMA: &str = r#"{"type":"object","properties":{"approved":{"type":"boolean"},"reason":{"type":"string"}},"required":["approved"]}"#;

/// More of the arguments of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolInputDelta {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool, where the producer says it.
    pub name: Option<Text>,
    /// What is added: a piece of JSON text.
    pub delta: String,
    /// What only the provider knows.
    pub metadata: Option<Data>,
}

/// The arguments of a tool call are complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolInputEnd {
    /// The id of the call.
    pub id: Text,
    /// What only the provider knows.
    pub metadata: Option<Data>,
}

/// A tool is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The call.
    pub call: ToolInput,
    /// The arguments.
    pub args: Data,
    /// What the provider returned for it, where it executed the call.
    pub output: Option<Data>,
}

/// A tool returned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolResult {
    /// The call.
    pub call: ToolInput,
    /// The arguments, where the producer says them.
    pub args: Option<Data>,
    /// What it returned; `None` when it returned nothing at all.
    pub result: Option<Data>,
    /// Whether the result is a failure; only for tools that the provider executes.
    pub is_error: bool,
}

/// A tool failed, or there is none of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFailure {
    /// The call.
    pub call: ToolInput,
    /// The arguments.
    pub args: Option<Data>,
    /// Why.
    pub error: Failure,
}

/// A tool tells of its progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool, where the producer says it.
    pub name: Option<Text>,
    /// What it tells; a chunk, if another agent is the tool.
    pub output: Data,
}

/// A call was not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// The arguments.
    pub args: Data,
    /// The answer.
    pub approval: Approval,
}

/// A call waits to be approved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// The arguments.
    pub args: Data,
    /// The JSON schema of the answer, as text: [`APPROVAL_SCHEMA`].
    pub resume_schema: Option<Text>,
}

/// A call waits for data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuspensionRequest {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// What it waits for.
    pub suspend_payload: Data,
    /// The arguments.
    pub args: Data,
    /// The JSON schema of the answer, as text.
    pub resume_schema: Option<Text>,
}
