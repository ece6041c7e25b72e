//! Reading chunks.

mod tool;

use bowline_events::codec::date;
use bowline_events::json;
use bowline_events::{Text, Timestamp};
use bytes::Bytes;
use serde::Deserialize;

use super::raw::{self, Layout};
use super::wire::{present, usage};
use super::{
    Block, Chunk, DataPart, Delta, Failure, File, RawChunk, Redacted, StepContent, StepFinish,
    StepStart,
};
use crate::model::{FinishReason, ResponseMetadata, Source, Usage};
use crate::{Data, Result};
use tool::ToolWire;

/// Reads the chunks of a stream. It remembers the id of the last text, so that the many pieces of one text share it.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    last_id: Text,
}

impl Decoder {
    /// A decoder for the chunks of one stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the chunk in `text`. A piece of text takes one pass over it.
    ///
    /// # Errors
    /// As [`RawChunk::read`].
    pub fn decode(&mut self, text: impl Into<Bytes>) -> Result<(Chunk, RawChunk)> {
        let (raw, layout) = RawChunk::scan(text.into())?;
        let fast = match raw.kind().as_str() {
            "text-delta" => self.delta(&raw, layout).map(Chunk::TextDelta),
            "reasoning-delta" => self.delta(&raw, layout).map(Chunk::ReasoningDelta),
            _ => None,
        };
        let chunk = fast.unwrap_or_else(|| Chunk::of(&raw));
        Ok((chunk, raw))
    }

    fn delta(&mut self, raw: &RawChunk, layout: Layout) -> Option<Delta> {
        if layout.metadata.is_some() || layout.twice {
            return None;
        }
        let bytes = raw.to_bytes();
        let text = raw::string(&bytes, layout.text?)?;
        let id = raw::quoted(&bytes, layout.id?)?;
        if self.last_id.as_bytes() != id {
            self.last_id = json::unescape(id).ok()?.into_owned().into();
        }
        Some(Delta {
            id: self.last_id.clone(),
            text,
            metadata: None,
        })
    }
}

impl Chunk {
    /// What `raw` says.
    pub fn of(raw: &RawChunk) -> Self {
        Self::read(raw).unwrap_or_else(|| Self::Other(raw.clone()))
    }

    fn read(raw: &RawChunk) -> Option<Self> {
        let kind = raw.kind().as_str();
        if kind.starts_with("tool-") {
            return Self::read_tool(kind, raw.parse_payload::<ToolWire>()?);
        }
        if kind.starts_with("data-") {
            return raw.parse::<DataPart>().map(Self::Data);
        }
        Some(match kind {
            "start" => Self::Start(raw.parse_payload()?),
            "step-start" => Self::StepStart(Box::new(raw.parse_payload::<StepStartWire>()?.into())),
            "response-metadata" => {
                let metadata: MetadataWire = raw.parse_payload()?;
                Self::ResponseMetadata(Box::new(metadata.into()))
            }
            "text-start" => Self::TextStart(raw.parse_payload::<BlockWire>()?.block()),
            "text-delta" => Self::TextDelta(raw.parse_payload::<BlockWire>()?.delta()?),
            "text-end" => Self::TextEnd(raw.parse_payload::<BlockWire>()?.block()),
            "reasoning-start" => Self::ReasoningStart(raw.parse_payload::<BlockWire>()?.block()),
            "reasoning-delta" => Self::ReasoningDelta(raw.parse_payload::<BlockWire>()?.delta()?),
            "reasoning-end" => Self::ReasoningEnd(raw.parse_payload::<BlockWire>()?.block()),
            "redacted-reasoning" => {
                Self::RedactedReasoning(raw.parse_payload::<BlockWire>()?.redacted()?)
            }
            "source" => Self::Source(Box::new(raw.parse_payload::<SourceWire>()?.into())),
            "file" => Self::File(raw.parse_payload::<FileWire>()?.into()),
            "step-finish" => {
                let finish: StepFinishWire = raw.parse_payload()?;
                Self::StepFinish(Box::new(finish.into()))
            }
            "finish" => Self::Finish(Box::new(raw.parse_payload()?)),
            "error" => Self::Error(Box::new(raw.parse_payload::<ErrorWire>()?.error)),
            "abort" => Self::Abort,
            "tripwire" => Self::Tripwire(Box::new(raw.parse_payload()?)),
            "raw" => Self::Raw(raw.parse_payload()?),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockWire {
    id: Text,
    text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Data>,
    provider_metadata: Option<Data>,
}

impl BlockWire {
    fn block(self) -> Block {
        Block {
            id: self.id,
            metadata: self.provider_metadata,
        }
    }

    fn delta(self) -> Option<Delta> {
        Some(Delta {
            id: self.id,
            text: self.text?,
            metadata: self.provider_metadata,
        })
    }

    fn redacted(self) -> Option<Redacted> {
        Some(Redacted {
            id: self.id,
            data: self.data?,
            metadata: self.provider_metadata,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepStartWire {
    message_id: Option<Text>,
    started_at: Option<i64>,
    iteration: Option<u32>,
}

impl From<StepStartWire> for StepStart {
    fn from(wire: StepStartWire) -> Self {
        Self {
            message_id: wire.message_id.unwrap_or_default(),
            started_at: wire.started_at.map(Timestamp::from_millis),
            iteration: wire.iteration,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataWire {
    id: Option<Text>,
    model_id: Option<Text>,
    timestamp: Option<Data>,
    headers: Option<Data>,
}

impl From<MetadataWire> for ResponseMetadata {
    fn from(wire: MetadataWire) -> Self {
        let millis = |time: &Data| match time.parse::<String>() {
            Ok(iso) => date::parse_iso(&iso),
            Err(_) => time.parse().ok(),
        };
        let timestamp = wire.timestamp.as_ref().and_then(millis);
        Self {
            id: wire.id,
            model_id: wire.model_id,
            timestamp: timestamp.map(Timestamp::from_millis),
            headers: wire.headers,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceWire {
    id: Text,
    url: Option<Text>,
    title: Option<Text>,
    mime_type: Option<Text>,
    filename: Option<Text>,
    provider_metadata: Option<Data>,
}

impl From<SourceWire> for Source {
    fn from(wire: SourceWire) -> Self {
        Self {
            id: wire.id,
            url: wire.url,
            // It has to be there in the reference, empty or not.
            title: wire.title.filter(|title| !title.is_empty()),
            media_type: wire.mime_type,
            filename: wire.filename,
            metadata: wire.provider_metadata,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileWire {
    data: Text,
    mime_type: Option<Text>,
}

impl From<FileWire> for File {
    fn from(wire: FileWire) -> Self {
        Self {
            data: wire.data,
            media_type: wire.mime_type.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct ErrorWire {
    error: Failure,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepFinishWire {
    step_result: StepResultWire,
    #[serde(default)]
    output: OutputWire,
    metadata: Option<Data>,
    #[serde(rename = "_durableStepContent")]
    content: Option<Vec<Data>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepResultWire {
    #[serde(default)]
    reason: FinishReason,
    is_continued: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OutputWire {
    #[serde(deserialize_with = "usage")]
    usage: Usage,
}

impl From<StepFinishWire> for StepFinish {
    fn from(wire: StepFinishWire) -> Self {
        let content = wire.content;
        Self {
            reason: wire.step_result.reason,
            is_continued: wire.step_result.is_continued.unwrap_or_default(),
            usage: wire.output.usage,
            metadata: wire.metadata.filter(|data| data != &Data::object()),
            content: content.map(|parts| parts.into_iter().map(StepContent::of).collect()),
        }
    }
}

impl StepContent {
    fn of(data: Data) -> Self {
        Self::read(&data).unwrap_or(Self::Other(data))
    }

    fn read(data: &Data) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            #[serde(rename = "type")]
            kind: String,
            text: Option<String>,
            tool_call_id: Option<Text>,
            tool_name: Option<Text>,
            args: Option<Data>,
            #[serde(default, deserialize_with = "present")]
            result: Option<Data>,
            is_error: Option<bool>,
        }
        let wire: Wire = data.parse().ok()?;
        Some(match wire.kind.as_str() {
            "text" => Self::Text(wire.text?),
            "tool-call" => Self::ToolCall {
                id: wire.tool_call_id?,
                name: wire.tool_name?,
                args: wire.args.unwrap_or_default(),
            },
            "tool-result" => Self::ToolResult {
                id: wire.tool_call_id?,
                name: wire.tool_name?,
                result: wire.result,
                is_error: wire.is_error.unwrap_or_default(),
            },
            _ => return None,
        })
    }
}
