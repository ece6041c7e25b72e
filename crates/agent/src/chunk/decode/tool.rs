//! Reading the chunks that tell of tools.

use bowline_events::Text;
use serde::Deserialize;

use crate::Data;
use crate::chunk::wire::present;
use crate::chunk::{
    ApprovalRequest, Chunk, Denial, Failure, SuspensionRequest, ToolCall, ToolFailure,
    ToolInputDelta, ToolInputEnd, ToolOutput, ToolResult,
};
use crate::message::Approval;
use crate::model::ToolInput;

impl Chunk {
    /// The chunk of type `kind` that tells of a tool.
    pub(super) fn read_tool(kind: &str, tool: ToolWire) -> Option<Self> {
        Some(match kind {
            "tool-call-input-streaming-start" => Self::ToolInputStart(Box::new(tool.call())),
            "tool-call-delta" => Self::ToolInputDelta(ToolInputDelta {
                id: tool.tool_call_id,
                name: tool.tool_name,
                delta: tool.args_text_delta?,
                metadata: tool.provider_metadata,
            }),
            "tool-call-input-streaming-end" => Self::ToolInputEnd(ToolInputEnd {
                id: tool.tool_call_id,
                metadata: tool.provider_metadata,
            }),
            "tool-call" => Self::ToolCall(Box::new(ToolCall {
                args: tool.args.clone().unwrap_or_default(),
                output: tool.output.clone(),
                call: tool.call(),
            })),
            "tool-result" => Self::ToolResult(Box::new(ToolResult {
                args: tool.args.clone(),
                result: tool.result.clone(),
                is_error: tool.is_error.unwrap_or_default(),
                call: tool.call(),
            })),
            "tool-error" => Self::ToolError(Box::new(ToolFailure {
                args: tool.args.clone(),
                error: tool.error.clone()?,
                call: tool.call(),
            })),
            "tool-output" => Self::ToolOutput(ToolOutput {
                id: tool.tool_call_id,
                name: tool.tool_name,
                output: tool.output?,
            }),
            "tool-output-denied" => Self::ToolOutputDenied(Box::new(Denial {
                id: tool.tool_call_id,
                name: tool.tool_name.unwrap_or_default(),
                args: tool.args.unwrap_or_default(),
                approval: tool.approval?,
            })),
            "tool-call-approval" => Self::ToolCallApproval(Box::new(ApprovalRequest {
                id: tool.tool_call_id,
                name: tool.tool_name.unwrap_or_default(),
                args: tool.args.unwrap_or_default(),
                resume_schema: tool.resume_schema,
            })),
            "tool-call-suspended" => Self::ToolCallSuspended(Box::new(SuspensionRequest {
                id: tool.tool_call_id,
                name: tool.tool_name.unwrap_or_default(),
                suspend_payload: tool.suspend_payload.unwrap_or_default(),
                args: tool.args.unwrap_or_default(),
                resume_schema: tool.resume_schema,
            })),
            _ => return None,
        })
    }
}

/// Whatever a chunk that tells of a tool may say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolWire {
    tool_call_id: Text,
    tool_name: Option<Text>,
    #[serde(default, deserialize_with = "present")]
    args: Option<Data>,
    args_text_delta: Option<String>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Data>,
    #[serde(default, deserialize_with = "present")]
    output: Option<Data>,
    #[serde(default, deserialize_with = "present")]
    suspend_payload: Option<Data>,
    is_error: Option<bool>,
    error: Option<Failure>,
    approval: Option<Approval>,
    resume_schema: Option<Text>,
    provider_executed: Option<bool>,
    provider_metadata: Option<Data>,
}

impl ToolWire {
    fn call(self) -> ToolInput {
        ToolInput {
            id: self.tool_call_id,
            name: self.tool_name.unwrap_or_default(),
            provider_executed: self.provider_executed.unwrap_or_default(),
            metadata: self.provider_metadata,
        }
    }
}
