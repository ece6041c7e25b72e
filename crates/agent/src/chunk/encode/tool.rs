//! Writing the chunks that tell of tools.

use bowline_events::Text;
use bytes::Bytes;

use super::Encoder;
use crate::Data;
use crate::chunk::wire::write_approval;
use crate::chunk::{ApprovalRequest, Denial, SuspensionRequest, ToolFailure, ToolOutput};
use crate::model::ToolInput;

impl Encoder {
    pub(super) fn tool_input_start(&self, call: &ToolInput) -> Bytes {
        self.write("tool-call-input-streaming-start", |json| {
            json.text("toolCallId", &call.id)
                .text("toolName", &call.name)
                .flag("providerExecuted", call.provider_executed)
                .some_data("providerMetadata", call.metadata.as_ref());
        })
    }

    pub(super) fn tool_input_delta(
        &self,
        id: &str,
        delta: &str,
        name: Option<&Text>,
        metadata: Option<&Data>,
    ) -> Bytes {
        self.write("tool-call-delta", |json| {
            json.text("argsTextDelta", delta)
                .text("toolCallId", id)
                .some_text("toolName", name)
                .some_data("providerMetadata", metadata);
        })
    }

    pub(super) fn tool_input_end(&self, id: &str, metadata: Option<&Data>) -> Bytes {
        self.write("tool-call-input-streaming-end", |json| {
            json.text("toolCallId", id)
                .some_data("providerMetadata", metadata);
        })
    }

    pub(super) fn tool_call(&self, call: &ToolInput, args: &Data, output: Option<&Data>) -> Bytes {
        self.write("tool-call", |json| {
            json.text("toolCallId", &call.id)
                .text("toolName", &call.name)
                .data("args", args)
                .flag("providerExecuted", call.provider_executed)
                .some_data("output", output)
                .some_data("providerMetadata", call.metadata.as_ref());
        })
    }

    pub(super) fn tool_result(
        &self,
        call: &ToolInput,
        args: Option<&Data>,
        result: Option<&Data>,
        is_error: bool,
    ) -> Bytes {
        self.write("tool-result", |json| {
            json.text("toolCallId", &call.id)
                .text("toolName", &call.name)
                .some_data("args", args)
                .some_data("result", result)
                .flag("isError", is_error)
                .flag("providerExecuted", call.provider_executed)
                .some_data("providerMetadata", call.metadata.as_ref());
        })
    }

    pub(super) fn tool_error(&self, failure: &ToolFailure) -> Bytes {
        self.write("tool-error", |json| {
            json.text("toolCallId", &failure.call.id)
                .text("toolName", &failure.call.name)
                .some_data("args", failure.args.as_ref())
                .failure("error", &failure.error)
                .flag("providerExecuted", failure.call.provider_executed);
        })
    }

    pub(super) fn tool_output(&self, output: &ToolOutput) -> Bytes {
        self.write("tool-output", |json| {
            json.data("output", &output.output)
                .text("toolCallId", &output.id)
                .some_text("toolName", output.name.as_ref());
        })
    }

    pub(super) fn tool_output_denied(&self, denial: &Denial) -> Bytes {
        self.write("tool-output-denied", |json| {
            json.text("toolCallId", &denial.id)
                .text("toolName", &denial.name)
                .data("args", &denial.args);
            write_approval(json, &denial.approval);
        })
    }

    pub(super) fn tool_call_approval(&self, request: &ApprovalRequest) -> Bytes {
        self.write("tool-call-approval", |json| {
            json.text("toolCallId", &request.id)
                .text("toolName", &request.name)
                .data("args", &request.args)
                .some_text("resumeSchema", request.resume_schema.as_ref());
        })
    }

    pub(super) fn tool_call_suspended(&self, call: &SuspensionRequest) -> Bytes {
        self.write("tool-call-suspended", |json| {
            json.text("toolCallId", &call.id)
                .text("toolName", &call.name)
                .data("suspendPayload", &call.suspend_payload)
                .data("args", &call.args)
                .some_text("resumeSchema", call.resume_schema.as_ref());
        })
    }
}
