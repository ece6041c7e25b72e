//! What travels on the stream of a run, in the form of the wire.
//!
//! A [`Chunk`] is what the model says and the tools do, piece by piece; a [`RawChunk`] is the same as text, to forward it byte for
//! byte. The [`Encoder`] writes them. The other events of the topic are in [`event`]: an iteration or the run has ended, or waits.

mod decode;
mod encode;
pub mod event;
mod json;
mod part;
mod raw;
mod tool;
mod wire;

pub use decode::Decoder;
pub use encode::Encoder;
pub use part::{
    Block, DataPart, Delta, File, Redacted, Start, StepContent, StepFinish, StepStart, Tripwire,
};
pub use raw::RawChunk;
pub use tool::{
    APPROVAL_SCHEMA, ApprovalRequest, Denial, SuspensionRequest, ToolCall, ToolFailure,
    ToolInputDelta, ToolInputEnd, ToolOutput, ToolResult,
};
pub use wire::{Failure, ToolRecord};

use crate::Data;
use crate::model::{ResponseMetadata, Source, ToolInput};

/// A piece of the stream of a run.
///
/// Members that this version does not know are only in the [`RawChunk`]; a chunk whose type it does not know, or whose payload is not
/// what its type says, is [`Other`](Self::Other). Reading never fails for a JSON object with a `type`.
///
/// ```
/// use bowline_agent::chunk::{Chunk, RawChunk};
///
/// let raw = RawChunk::read(r#"{"type":"text-delta","runId":"r","from":"AGENT","payload":{"id":"t1","text":"Ahoy"}}"#)?;
/// let Chunk::TextDelta(delta) = Chunk::of(&raw) else {
///     panic!("it is a piece of text");
/// };
/// assert_eq!(delta.text, "Ahoy");
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Chunk {
    /// The run begins.
    Start(Start),
    /// A call of the model begins to answer.
    StepStart(Box<StepStart>),
    /// What the provider says of the answer.
    ResponseMetadata(Box<ResponseMetadata>),
    /// A text begins.
    TextStart(Block),
    /// More of a text.
    TextDelta(Delta),
    /// A text is complete.
    TextEnd(Block),
    /// The model begins to think aloud.
    ReasoningStart(Block),
    /// More of a reasoning.
    ReasoningDelta(Delta),
    /// A reasoning is complete.
    ReasoningEnd(Block),
    /// A reasoning that only the provider can read.
    RedactedReasoning(Redacted),
    /// Something that the model read.
    Source(Box<Source>),
    /// A file that the model made.
    File(File),
    /// The model begins to write the arguments of a tool call.
    ToolInputStart(Box<ToolInput>),
    /// More of the arguments.
    ToolInputDelta(ToolInputDelta),
    /// The arguments are complete.
    ToolInputEnd(ToolInputEnd),
    /// A tool is called.
    ToolCall(Box<ToolCall>),
    /// A tool returned.
    ToolResult(Box<ToolResult>),
    /// A tool failed, or there is none of this name.
    ToolError(Box<ToolFailure>),
    /// A tool tells of its progress.
    ToolOutput(ToolOutput),
    /// A call was not approved.
    ToolOutputDenied(Box<Denial>),
    /// A call waits to be approved.
    ToolCallApproval(Box<ApprovalRequest>),
    /// A call waits for data.
    ToolCallSuspended(Box<SuspensionRequest>),
    /// A call of the model and the tools that it called are done.
    StepFinish(Box<StepFinish>),
    /// An agent has finished; on the stream of a run this is an event of its own.
    Finish(Box<event::Finish>),
    /// The model failed.
    Error(Box<Failure>),
    /// Somebody stopped the run.
    Abort,
    /// A processor stopped the answer.
    Tripwire(Box<Tripwire>),
    /// What the provider sent, as it was.
    Raw(Data),
    /// What the application sends.
    Data(DataPart),
    /// What this version does not know.
    Other(RawChunk),
}

/// The types that are read, the most frequent first.
const KINDS: [&str; 28] = [
    "text-delta",
    "reasoning-delta",
    "tool-call-delta",
    "text-start",
    "text-end",
    "reasoning-start",
    "reasoning-end",
    "redacted-reasoning",
    "response-metadata",
    "tool-call-input-streaming-start",
    "tool-call-input-streaming-end",
    "tool-call",
    "tool-result",
    "tool-error",
    "tool-output",
    "tool-output-denied",
    "tool-call-approval",
    "tool-call-suspended",
    "step-start",
    "step-finish",
    "start",
    "finish",
    "source",
    "file",
    "error",
    "raw",
    "abort",
    "tripwire",
];

fn known_kind(kind: &[u8]) -> Option<&'static str> {
    KINDS.into_iter().find(|known| known.as_bytes() == kind)
}
