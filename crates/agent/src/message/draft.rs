//! An answer of a model while it comes.

use std::collections::HashMap;

use bowline_events::Text;
use serde::Serialize;

use super::{Extra, Part, ToolOutcome, settle, text};
use crate::Data;
use crate::model::{FinishReason, ModelPart, ResponseMetadata, Source, ToolInput, Usage};

/// What a model has said so far, as the pieces of a message and as the calls of tools that it wants.
///
/// ```
/// use bowline_agent::message::AssistantDraft;
/// use bowline_agent::model::ModelPart;
/// let mut draft = AssistantDraft::new();
/// for piece in ["Hel", "lo"] {
///     draft.push(ModelPart::TextDelta { id: "t".into(), text: piece.into(), metadata: None });
/// }
/// assert_eq!(draft.text(), "Hello");
/// ```
#[derive(Debug, Clone, Default)]
pub struct AssistantDraft {
    pieces: Vec<Piece>,
    /// The texts and reasonings that are not complete, by kind and id.
    open: HashMap<(Kind, Text), usize>,
    calls: Vec<ToolCall>,
    response: ResponseMetadata,
    finish: Option<Finish>,
}

/// A tool that the model wants to be called.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// The arguments.
    pub args: Data,
    /// Whether the provider executes it.
    pub provider_executed: bool,
    /// What only one provider knows.
    pub metadata: Option<Data>,
    /// What came of it, if the provider has executed it.
    pub outcome: Option<ToolOutcome>,
}

#[derive(Debug, Clone)]
struct Finish {
    reason: FinishReason,
    usage: Usage,
    metadata: Option<Data>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Text,
    Reasoning,
}

#[derive(Debug, Clone)]
enum Piece {
    Span {
        kind: Kind,
        text: String,
        metadata: Option<Data>,
    },
    Part(Box<Part>),
}

impl AssistantDraft {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part of the answer.
    ///
    /// Texts and reasonings stand where they began; of several metadata of one of them the last counts. A second call with
    /// the id of another one is left out, as is a result without a call.
    pub fn push(&mut self, part: ModelPart) {
        match part {
            ModelPart::ResponseMetadata(response) => self.response = response,
            ModelPart::TextStart { id, metadata } => self.add(Kind::Text, id, "", metadata),
            ModelPart::TextDelta { id, text, metadata } => {
                self.add(Kind::Text, id, &text, metadata);
            }
            ModelPart::TextEnd { id, metadata } => self.close(Kind::Text, id, metadata),
            ModelPart::ReasoningStart { id, metadata } => {
                self.add(Kind::Reasoning, id, "", metadata);
            }
            ModelPart::ReasoningDelta { id, text, metadata } => {
                self.add(Kind::Reasoning, id, &text, metadata);
            }
            ModelPart::ReasoningEnd { id, metadata } => self.close(Kind::Reasoning, id, metadata),
            ModelPart::ToolCall { call, args } => self.call(call, args),
            ModelPart::ToolResult {
                call,
                result,
                is_error,
            } => self.result(&call, result, is_error),
            ModelPart::Source(source) => self.pieces.push(Piece::Part(source_part(source).into())),
            ModelPart::File { data, media_type } => {
                self.pieces
                    .push(Piece::Part(Part::file(data, media_type).into()));
            }
            ModelPart::Finish {
                reason,
                usage,
                metadata,
            } => {
                self.finish = Some(Finish {
                    reason,
                    usage,
                    metadata,
                });
            }
            ModelPart::ToolInputStart(_)
            | ModelPart::ToolInputDelta { .. }
            | ModelPart::ToolInputEnd { .. }
            | ModelPart::Raw(_) => {}
        }
    }

    fn add(&mut self, kind: Kind, id: Text, more: &str, newer: Option<Data>) {
        let end = self.pieces.len();
        let at = *self.open.entry((kind, id)).or_insert(end);
        if at == end {
            self.pieces.push(Piece::Span {
                kind,
                text: String::new(),
                metadata: None,
            });
        }
        if let Some(Piece::Span { text, metadata, .. }) = self.pieces.get_mut(at) {
            text.push_str(more);
            if newer.is_some() {
                *metadata = newer;
            }
        }
    }

    fn close(&mut self, kind: Kind, id: Text, newer: Option<Data>) {
        if let Some(at) = self.open.remove(&(kind, id))
            && let Some(Piece::Span { metadata, .. }) = self.pieces.get_mut(at)
            && newer.is_some()
        {
            *metadata = newer;
        }
    }

    fn call(&mut self, call: ToolInput, args: Data) {
        if self.calls.iter().any(|other| other.id == call.id) {
            return;
        }
        let mut part = Part::tool(call.id.clone(), call.name.clone(), args.clone());
        if let Part::Tool {
            provider_executed,
            metadata,
            ..
        } = &mut part
        {
            *provider_executed = call.provider_executed;
            metadata.clone_from(&call.metadata);
        }
        self.pieces.push(Piece::Part(part.into()));
        self.calls.push(ToolCall {
            id: call.id,
            name: call.name,
            args,
            provider_executed: call.provider_executed,
            metadata: call.metadata,
            outcome: None,
        });
    }

    fn result(&mut self, of: &ToolInput, result: Data, is_error: bool) {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == of.id) else {
            return;
        };
        let outcome = if is_error {
            let text = result.parse::<String>();
            ToolOutcome::Error {
                name: "Error".into(),
                message: text.unwrap_or_else(|_| result.to_string()),
            }
        } else {
            ToolOutcome::Result(result)
        };
        call.provider_executed |= of.provider_executed;
        for piece in &mut self.pieces {
            let Piece::Part(part) = piece else { continue };
            if settle(std::slice::from_mut(&mut **part), &of.id, &outcome)
                && let Part::Tool {
                    provider_executed,
                    metadata,
                    ..
                } = &mut **part
            {
                *provider_executed |= of.provider_executed;
                if of.metadata.is_some() {
                    metadata.clone_from(&of.metadata);
                }
            }
        }
        call.outcome = Some(outcome);
    }

    /// Whether nothing was said and no tool is to be called.
    pub fn is_empty(&self) -> bool {
        self.parts().is_empty()
    }

    /// The texts so far, one after the other.
    pub fn text(&self) -> String {
        text(&self.parts())
    }

    /// The pieces of the message, without texts that are empty.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            let Some(part) = piece.part() else { continue };
            // Readers of the reference begin a new step there.
            if matches!(part, Part::Text { .. }) && matches!(parts.last(), Some(Part::Tool { .. }))
            {
                parts.push(Part::step_start());
            }
            parts.push(part);
        }
        parts
    }

    /// The tools that are to be called, in the order of the calls.
    pub fn tool_calls(&self) -> &[ToolCall] {
        &self.calls
    }

    /// What the provider said of the answer.
    pub fn response(&self) -> &ResponseMetadata {
        &self.response
    }

    /// Why the answer ended; `None` while it has not.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish.as_ref().map(|finish| finish.reason)
    }

    /// What the answer cost: nothing while it has not ended.
    pub fn usage(&self) -> Usage {
        let finish = self.finish.as_ref();
        finish
            .map(|finish| finish.usage.clone())
            .unwrap_or_default()
    }

    /// What only the provider knows of the whole answer.
    pub fn metadata(&self) -> Option<&Data> {
        self.finish.as_ref()?.metadata.as_ref()
    }
}

impl Piece {
    fn part(&self) -> Option<Part> {
        match self {
            Self::Part(part) => Some(Part::clone(part)),
            Self::Span {
                kind: Kind::Text,
                text,
                metadata,
            } => (!text.is_empty()).then(|| Part::Text {
                text: text.clone(),
                metadata: metadata.clone(),
                extra: Extra::default(),
            }),
            // Without a text it can still be what a provider wants back.
            Self::Span {
                kind: Kind::Reasoning,
                text,
                metadata,
            } => (!text.is_empty() || metadata.is_some()).then(|| Part::Reasoning {
                text: text.clone(),
                metadata: metadata.clone(),
                extra: Extra::default(),
            }),
        }
    }
}

/// The piece of a message that names something that the model read.
fn source_part(source: Source) -> Part {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Url {
        source_type: &'static str,
        id: Text,
        url: Text,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Text>,
        #[serde(skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<Data>,
    }
    #[derive(Serialize)]
    #[serde(
        tag = "type",
        rename_all = "kebab-case",
        rename_all_fields = "camelCase"
    )]
    enum Stored {
        Source {
            source: Url,
        },
        SourceDocument {
            source_id: Text,
            media_type: Text,
            title: Text,
            #[serde(skip_serializing_if = "Option::is_none")]
            filename: Option<Text>,
            #[serde(skip_serializing_if = "Option::is_none")]
            provider_metadata: Option<Data>,
        },
    }
    let stored = match source.url {
        Some(url) => Stored::Source {
            source: Url {
                source_type: "url",
                id: source.id,
                url,
                title: source.title,
                provider_metadata: source.metadata,
            },
        },
        None => Stored::SourceDocument {
            source_id: source.id,
            media_type: source.media_type.unwrap_or_default(),
            title: source.title.unwrap_or_default(),
            filename: source.filename,
            provider_metadata: source.metadata,
        },
    };
    // It cannot fail: there are only texts and JSON in it.
    Part::Other(Data::of(&stored).unwrap_or_default())
}
