//! Writing chunks.

mod tool;

use bowline_events::{Dialect, NewEvent, Payload, Text, json};
use bytes::Bytes;

use super::json::Writer;
use super::{Block, Chunk, DataPart, Delta, File, RawChunk, StepContent, StepFinish, StepStart};
use crate::Data;
use crate::model::{ModelPart, ResponseMetadata, Source};

/// Writes the chunks of one run, each straight into bytes of its own, with its members in the order of the wire.
///
/// ```
/// use bowline_agent::chunk::Encoder;
/// use bowline_agent::model::ModelPart;
///
/// let mut encoder = Encoder::new("run-1");
/// let part = ModelPart::TextDelta { id: "t1".into(), text: "Ahoy".into(), metadata: None };
/// let chunk = encoder.part(&part).expect("not the end of the answer");
/// assert_eq!(chunk, r#"{"type":"text-delta","runId":"run-1","from":"AGENT","payload":{"id":"t1","text":"Ahoy"}}"#);
/// ```
#[derive(Debug, Clone)]
pub struct Encoder {
    run_id: Text,
    /// What every chunk has between its type and its payload.
    envelope: Vec<u8>,
    /// The tool calls of which arguments are being written: id and name.
    open_calls: Vec<(Text, Text)>,
}

impl Encoder {
    /// An encoder for the run `run_id`.
    pub fn new(run_id: impl Into<Text>) -> Self {
        let run_id = run_id.into();
        let mut envelope = b"\",\"runId\":".to_vec();
        json::escape_into(&run_id, &mut envelope);
        envelope.extend_from_slice(b",\"from\":\"AGENT\",\"payload\":");
        Self {
            run_id,
            envelope,
            open_calls: Vec::new(),
        }
    }

    /// The run.
    pub fn run_id(&self) -> &Text {
        &self.run_id
    }

    /// The chunk that `part` of an answer is; `None` for [`ModelPart::Finish`], which waits for the tools: see [`StepFinish`].
    pub fn part(&mut self, part: &ModelPart) -> Option<Bytes> {
        Some(match part {
            ModelPart::ResponseMetadata(metadata) => self.response_metadata(metadata),
            ModelPart::TextStart { id, metadata } => {
                self.block("text-start", id, metadata.as_ref())
            }
            ModelPart::TextDelta { id, text, metadata } => {
                self.delta("text-delta", id, text, metadata.as_ref())
            }
            ModelPart::TextEnd { id, metadata } => self.text_end(id, metadata.as_ref()),
            ModelPart::ReasoningStart { id, metadata } => {
                self.block("reasoning-start", id, metadata.as_ref())
            }
            ModelPart::ReasoningDelta { id, text, metadata } => {
                self.delta("reasoning-delta", id, text, metadata.as_ref())
            }
            ModelPart::ReasoningEnd { id, metadata } => {
                self.block("reasoning-end", id, metadata.as_ref())
            }
            ModelPart::ToolInputStart(call) => {
                self.open_calls.push((call.id.clone(), call.name.clone()));
                self.tool_input_start(call)
            }
            ModelPart::ToolInputDelta { id, delta } => {
                let open = self.open_calls.iter().find(|(open, _)| open == id);
                self.tool_input_delta(id, delta, open.map(|(_, name)| name), None)
            }
            ModelPart::ToolInputEnd { id } => {
                self.open_calls.retain(|(open, _)| open != id);
                self.tool_input_end(id, None)
            }
            ModelPart::ToolCall { call, args } => self.tool_call(call, args, None),
            ModelPart::ToolResult {
                call,
                result,
                is_error,
            } => self.tool_result(call, None, Some(result), *is_error),
            ModelPart::Source(source) => self.source(source),
            ModelPart::File { data, media_type } => self.file(data, media_type),
            ModelPart::Raw(data) => self.raw(data),
            ModelPart::Finish { .. } => return None,
        })
    }

    /// `chunk` as JSON text. [`Chunk::Other`] is as it was, whatever run it names.
    pub fn chunk(&self, chunk: &Chunk) -> Bytes {
        match chunk {
            Chunk::Start(start) => self.write("start", |json| {
                json.text("id", &start.agent_id)
                    .text("messageId", &start.message_id);
            }),
            Chunk::StepStart(start) => self.step_start(start),
            Chunk::ResponseMetadata(metadata) => self.response_metadata(metadata),
            Chunk::TextStart(Block { id, metadata }) => {
                self.block("text-start", id, metadata.as_ref())
            }
            Chunk::TextDelta(Delta { id, text, metadata }) => {
                self.delta("text-delta", id, text, metadata.as_ref())
            }
            Chunk::TextEnd(Block { id, metadata }) => self.text_end(id, metadata.as_ref()),
            Chunk::ReasoningStart(Block { id, metadata }) => {
                self.block("reasoning-start", id, metadata.as_ref())
            }
            Chunk::ReasoningDelta(Delta { id, text, metadata }) => {
                self.delta("reasoning-delta", id, text, metadata.as_ref())
            }
            Chunk::ReasoningEnd(Block { id, metadata }) => {
                self.block("reasoning-end", id, metadata.as_ref())
            }
            Chunk::RedactedReasoning(redacted) => self.write("redacted-reasoning", |json| {
                json.text("id", &redacted.id)
                    .data("data", &redacted.data)
                    .some_data("providerMetadata", redacted.metadata.as_ref());
            }),
            Chunk::Source(source) => self.source(source),
            Chunk::File(File { data, media_type }) => self.file(data, media_type),
            Chunk::StepFinish(finish) => self.step_finish(finish),
            Chunk::Finish(finish) => self.write("finish", |json| finish.write(json)),
            Chunk::Error(failure) => self.write("error", |json| {
                json.nested("error", |json| {
                    json.text("message", &failure.message)
                        .some_text("stack", failure.stack.as_ref())
                        .text("name", &failure.name);
                });
            }),
            Chunk::Abort => self.write("abort", |_| {}),
            Chunk::Tripwire(tripwire) => self.write("tripwire", |json| {
                json.text("reason", &tripwire.reason);
                if let Some(retry) = tripwire.retry {
                    json.bool("retry", retry);
                }
                json.some_data("metadata", tripwire.metadata.as_ref())
                    .some_text("processorId", tripwire.processor_id.as_ref());
            }),
            Chunk::Raw(data) => self.raw(data),
            Chunk::Data(part) => data_part(part),
            Chunk::Other(raw) => raw.to_bytes(),
            Chunk::ToolInputStart(call) => self.tool_input_start(call),
            Chunk::ToolInputDelta(delta) => {
                let (name, metadata) = (delta.name.as_ref(), delta.metadata.as_ref());
                self.tool_input_delta(&delta.id, &delta.delta, name, metadata)
            }
            Chunk::ToolInputEnd(end) => self.tool_input_end(&end.id, end.metadata.as_ref()),
            Chunk::ToolCall(call) => self.tool_call(&call.call, &call.args, call.output.as_ref()),
            Chunk::ToolResult(result) => {
                let (args, value) = (result.args.as_ref(), result.result.as_ref());
                self.tool_result(&result.call, args, value, result.is_error)
            }
            Chunk::ToolError(failure) => self.tool_error(failure),
            Chunk::ToolOutput(output) => self.tool_output(output),
            Chunk::ToolOutputDenied(denial) => self.tool_output_denied(denial),
            Chunk::ToolCallApproval(request) => self.tool_call_approval(request),
            Chunk::ToolCallSuspended(call) => self.tool_call_suspended(call),
        }
    }

    /// The event that carries `chunk`, which has to be a chunk as this type writes it.
    pub fn event(&self, chunk: Bytes) -> NewEvent {
        self.carry("chunk", chunk)
    }

    /// The event that says that a call of the model begins to answer.
    pub fn step_start_event(&self, start: &StepStart) -> NewEvent {
        self.carry("step-start", self.step_start(start))
    }

    /// The event that carries a chunk that somebody else made, for example a tool.
    pub fn raw_event(&self, chunk: &RawChunk) -> NewEvent {
        self.event(chunk.to_bytes())
    }

    fn carry(&self, kind: &'static str, json: Bytes) -> NewEvent {
        let data = Payload::from_valid_json(json, Dialect::Plain);
        NewEvent::new(kind, self.run_id.clone()).with_data(data)
    }

    /// The head of a chunk of type `kind`, with room for `more` bytes behind it.
    fn head(&self, kind: &str, more: usize) -> Vec<u8> {
        const TYPE: &[u8] = b"{\"type\":\"";
        let mut out = Vec::with_capacity(TYPE.len() + kind.len() + self.envelope.len() + more);
        out.extend_from_slice(TYPE);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(&self.envelope);
        out
    }

    fn write(&self, kind: &str, fill: impl FnOnce(&mut Writer)) -> Bytes {
        const USUAL: usize = 128;
        let mut json = Writer::after(self.head(kind, USUAL));
        fill(&mut json);
        let mut out = json.end();
        out.push(b'}');
        out.into()
    }

    /// A piece of text: with exactly the room that it takes when nothing in it has to be escaped.
    fn delta(&self, kind: &str, id: &str, text: &str, metadata: Option<&Data>) -> Bytes {
        const MEMBERS: usize = r#"{"id":"","text":""}}"#.len();
        let room = metadata.map_or(0, |data| data.as_str().len() + 20);
        let mut json = Writer::after(self.head(kind, MEMBERS + id.len() + text.len() + room));
        json.text("id", id)
            .text("text", text)
            .some_data("providerMetadata", metadata);
        let mut out = json.end();
        out.push(b'}');
        out.into()
    }

    fn block(&self, kind: &str, id: &str, metadata: Option<&Data>) -> Bytes {
        self.write(kind, |json| {
            json.text("id", id).some_data("providerMetadata", metadata);
        })
    }

    fn text_end(&self, id: &str, metadata: Option<&Data>) -> Bytes {
        self.write("text-end", |json| {
            json.text("type", "text-end")
                .text("id", id)
                .some_data("providerMetadata", metadata);
        })
    }

    fn response_metadata(&self, metadata: &ResponseMetadata) -> Bytes {
        self.write("response-metadata", |json| {
            json.text("type", "response-metadata")
                .some_text("id", metadata.id.as_ref())
                .some_text("modelId", metadata.model_id.as_ref())
                .iso("timestamp", metadata.timestamp)
                .some_data("headers", metadata.headers.as_ref());
        })
    }

    fn step_start(&self, start: &StepStart) -> Bytes {
        self.write("step-start", |json| {
            json.text("stepId", "durable-llm-execution")
                .text("messageId", &start.message_id);
            if let Some(at) = start.started_at {
                json.number("startedAt", at.as_millis());
            }
            json.raw("warnings", "[]").raw("request", "{}");
            if let Some(iteration) = start.iteration {
                json.number("iteration", iteration);
            }
        })
    }

    fn step_finish(&self, finish: &StepFinish) -> Bytes {
        self.write("step-finish", |json| {
            json.nested("stepResult", |json| {
                json.text("reason", finish.reason.as_str())
                    .bool("isContinued", finish.is_continued);
            });
            json.nested("output", |json| {
                json.usage("usage", &finish.usage);
            });
            match &finish.metadata {
                Some(metadata) => json.data("metadata", metadata),
                None => json.raw("metadata", "{}"),
            };
            if let Some(content) = &finish.content {
                json.raw("messages", r#"{"all":[],"user":[],"nonUser":[]}"#)
                    .text("type", "finish")
                    .elements("_durableStepContent", content, write_content);
            }
        })
    }

    fn source(&self, source: &Source) -> Bytes {
        self.write("source", |json| {
            let kind = if source.url.is_some() {
                "url"
            } else {
                "document"
            };
            json.text("id", &source.id)
                .text("sourceType", kind)
                .text("title", source.title.as_deref().unwrap_or_default())
                .some_text("url", source.url.as_ref())
                .some_text("mimeType", source.media_type.as_ref())
                .some_text("filename", source.filename.as_ref())
                .some_data("providerMetadata", source.metadata.as_ref());
        })
    }

    fn file(&self, data: &str, media_type: &str) -> Bytes {
        self.write("file", |json| {
            json.text("data", data).text("mimeType", media_type);
        })
    }

    /// A chunk whose payload is what the provider sent.
    fn raw(&self, data: &Data) -> Bytes {
        let mut out = self.head("raw", data.as_str().len() + 1);
        out.extend_from_slice(data.as_str().as_bytes());
        out.push(b'}');
        out.into()
    }
}

/// Data of the application name no run.
fn data_part(part: &DataPart) -> Bytes {
    let mut json = Writer::object();
    json.text("type", &part.kind)
        .data("data", &part.data)
        .some_text("id", part.id.as_ref());
    if let Some(transient) = part.transient {
        json.bool("transient", transient);
    }
    json.end_bytes()
}

fn write_content(json: &mut Writer, content: &StepContent) {
    match content {
        StepContent::Text(text) => json.element(|json| {
            json.text("type", "text").text("text", text);
        }),
        StepContent::ToolCall { id, name, args } => json.element(|json| {
            json.text("type", "tool-call")
                .text("toolCallId", id)
                .text("toolName", name)
                .data("args", args);
        }),
        StepContent::ToolResult {
            id,
            name,
            result,
            is_error,
        } => json.element(|json| {
            json.text("type", "tool-result")
                .text("toolCallId", id)
                .text("toolName", name)
                .some_data("result", result.as_ref())
                .flag("isError", *is_error);
        }),
        StepContent::Other(data) => json.raw_element(data),
    }
}
