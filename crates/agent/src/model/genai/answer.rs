//! Answers of the adapter as parts.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::genai::chat::{
    ChatStream, ChatStreamEvent, ContentPart, StopReason, StreamEnd, ToolCall, Usage as GenaiUsage,
};
use bowline_events::{Text, Timestamp};
use futures_core::Stream;
use serde_json::Value;

use super::calls::{Calls, Excess};
use super::failure::Subject;
use super::prompt::kept;
use super::tap::Tap;
use crate::model::{FinishReason, ModelPart, Usage};
use crate::tool::MAX_TOOL_BYTES;
use crate::{Data, ErrorKind, Result};

/// Bytes of the longest answer, as the provider sends it.
const LONGEST: usize = 256 << 20;

/// An answer that is being given.
pub(super) struct Answer {
    stream: ChatStream,
    tap: Arc<Tap>,
    subject: Subject,
    namespace: String,
    /// Whether an end that nobody gives a reason for is none: the adapter makes one up when the connection is cut.
    needs_reason: bool,
    parts: VecDeque<ModelPart>,
    open: Open,
    calls: Calls,
    texts: usize,
    reasonings: usize,
    named: bool,
    over: bool,
}

/// What is being said.
#[derive(Debug)]
enum Open {
    Nothing,
    Text(Text),
    Reasoning { id: Text, signature: String },
}

impl Answer {
    pub(super) fn new(
        stream: ChatStream,
        tap: Arc<Tap>,
        subject: Subject,
        namespace: String,
        needs_reason: bool,
    ) -> Self {
        Self {
            stream,
            tap,
            subject,
            namespace,
            needs_reason,
            parts: VecDeque::new(),
            open: Open::Nothing,
            calls: Calls::default(),
            texts: 0,
            reasonings: 0,
            named: false,
            over: false,
        }
    }

    /// Waits until the model begins to answer.
    pub(super) async fn opened(mut self) -> Result<Self> {
        poll_fn(|cx| self.poll_opened(cx)).await?;
        Ok(self)
    }

    /// Ready at the first message, also at one that says nothing yet. The adapter says that it starts before it sends the request.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            return match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(ChatStreamEvent::Start))) => continue,
                Poll::Ready(Some(Ok(event))) => Poll::Ready(self.hear(event)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(self.subject.of(&error))),
                Poll::Ready(None) => Poll::Ready(Err(self.subject.cut())),
                Poll::Pending if self.tap.bytes() > 0 => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn hear(&mut self, event: ChatStreamEvent) -> Result<()> {
        if matches!(event, ChatStreamEvent::Start | ChatStreamEvent::Heartbeat) {
            return Ok(());
        }
        if self.tap.bytes() > LONGEST {
            let message =
                format!("the answer has more than {LONGEST} bytes; ask for a shorter one");
            return Err(self.subject.error(ErrorKind::TooLarge, message));
        }
        if !mem::replace(&mut self.named, true) {
            let mut metadata = self.tap.metadata();
            metadata.timestamp.get_or_insert_with(Timestamp::now);
            self.parts.push_back(ModelPart::ResponseMetadata(metadata));
        }
        let raw = self.tap.take_raw();
        self.parts.extend(raw.into_iter().map(ModelPart::Raw));
        match event {
            ChatStreamEvent::Chunk(chunk) => self.text(chunk.content),
            ChatStreamEvent::ReasoningChunk(chunk) => self.reasoning(chunk.content),
            ChatStreamEvent::ThoughtSignatureChunk(chunk) => self.signature(&chunk.content),
            ChatStreamEvent::ToolCallChunk(chunk) => return self.call(chunk.tool_call),
            ChatStreamEvent::End(end) => return self.end(end),
            ChatStreamEvent::Start | ChatStreamEvent::Heartbeat => {}
        }
        Ok(())
    }

    fn text(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        let id = match &self.open {
            Open::Text(id) => id.clone(),
            _ => {
                self.close();
                self.texts += 1;
                let id = Text::from(format!("text-{}", self.texts));
                self.open = Open::Text(id.clone());
                let metadata = None;
                let start = ModelPart::TextStart {
                    id: id.clone(),
                    metadata,
                };
                self.parts.push_back(start);
                id
            }
        };
        let metadata = None;
        self.parts
            .push_back(ModelPart::TextDelta { id, text, metadata });
    }

    fn reasoning(&mut self, text: String) {
        // What comes after a signature is the next thought.
        if matches!(&self.open, Open::Reasoning { signature, .. } if !signature.is_empty()) {
            self.close();
        }
        let id = self.reasoning_id();
        let metadata = None;
        self.parts
            .push_back(ModelPart::ReasoningDelta { id, text, metadata });
    }

    fn signature(&mut self, piece: &str) {
        self.reasoning_id();
        if let Open::Reasoning { signature, .. } = &mut self.open {
            signature.push_str(piece);
        }
    }

    /// The reasoning that is open, or a new one.
    fn reasoning_id(&mut self) -> Text {
        if let Open::Reasoning { id, .. } = &self.open {
            return id.clone();
        }
        self.close();
        self.reasonings += 1;
        let id = Text::from(format!("reasoning-{}", self.reasonings));
        self.open = Open::Reasoning {
            id: id.clone(),
            signature: String::new(),
        };
        let start = ModelPart::ReasoningStart {
            id: id.clone(),
            metadata: None,
        };
        self.parts.push_back(start);
        id
    }

    fn call(&mut self, call: ToolCall) -> Result<()> {
        if !matches!(self.open, Open::Nothing) {
            self.close();
        }
        let signatures = call.thought_signatures.as_ref();
        let metadata = signatures.filter(|signatures| !signatures.is_empty());
        let metadata = metadata.map(|signatures| {
            let signatures = match signatures.as_slice() {
                [one] => Value::from(one.as_str()),
                more => Value::from(more),
            };
            kept(&self.namespace, "thoughtSignature", &signatures)
        });
        let taken = self.calls.piece(call, metadata, &mut self.parts);
        taken.map_err(|excess| {
            let (kind, message) = match excess {
                Excess::AfterEnd => (
                    ErrorKind::Model,
                    "the model went on with arguments of a tool call that were complete; ask again"
                        .to_owned(),
                ),
                Excess::TooLarge => (
                    ErrorKind::TooLarge,
                    format!(
                        "the arguments of a tool call have more than {MAX_TOOL_BYTES} bytes; ask for less"
                    ),
                ),
            };
            self.subject.error(kind, message)
        })
    }

    /// Closes what is open, before something else begins.
    fn close(&mut self) {
        match mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => self.calls.close_complete(&mut self.parts),
            Open::Text(id) => {
                let metadata = None;
                self.parts.push_back(ModelPart::TextEnd { id, metadata });
            }
            Open::Reasoning { id, signature } => {
                let signed = !signature.is_empty();
                let metadata =
                    signed.then(|| kept(&self.namespace, "signature", &Value::from(signature)));
                self.parts
                    .push_back(ModelPart::ReasoningEnd { id, metadata });
            }
        }
    }

    fn end(&mut self, end: StreamEnd) -> Result<()> {
        if self.needs_reason && end.captured_stop_reason.is_none() {
            return Err(self.subject.cut());
        }
        self.close();
        self.calls.close(&mut self.parts);
        if let Some(content) = &end.captured_content {
            for part in content.parts() {
                if let ContentPart::Custom(custom) = part {
                    self.hidden(&custom.data);
                }
            }
        }
        let usage = end.captured_usage.map_or_else(Usage::default, usage);
        self.parts.push_back(ModelPart::Finish {
            reason: reason(end.captured_stop_reason.as_ref(), !self.calls.is_empty()),
            usage,
            metadata: None,
        });
        self.over = true;
        Ok(())
    }

    /// What the model thought and does not show, but wants to have back.
    fn hidden(&mut self, block: &Value) {
        self.reasonings += 1;
        let id = Text::from(format!("reasoning-{}", self.reasonings));
        let metadata = Some(kept(&self.namespace, "block", block));
        let start = ModelPart::ReasoningStart {
            id: id.clone(),
            metadata: metadata.clone(),
        };
        self.parts.push_back(start);
        self.parts
            .push_back(ModelPart::ReasoningEnd { id, metadata });
    }
}

/// Why it ended. Some providers say that they are done where tools are to be called.
fn reason(reason: Option<&StopReason>, calls: bool) -> FinishReason {
    match reason {
        Some(StopReason::Completed(_)) if calls => FinishReason::ToolCalls,
        Some(StopReason::Completed(_) | StopReason::StopSequence(_)) => FinishReason::Stop,
        Some(StopReason::MaxTokens(_)) => FinishReason::Length,
        Some(StopReason::ToolCall(_)) => FinishReason::ToolCalls,
        Some(StopReason::ContentFilter(_)) => FinishReason::ContentFilter,
        Some(StopReason::Other(_)) => FinishReason::Other,
        None => FinishReason::Unknown,
    }
}

fn usage(usage: GenaiUsage) -> Usage {
    let count = |tokens: Option<i32>| tokens.and_then(|tokens| u64::try_from(tokens).ok());
    let raw = Data::of(&usage).ok();
    let read = usage.prompt_tokens_details.unwrap_or_default();
    let written = usage.completion_tokens_details.unwrap_or_default();
    let sums = Usage::new(
        count(usage.prompt_tokens).unwrap_or(0),
        count(usage.completion_tokens).unwrap_or(0),
    );
    Usage {
        total_tokens: count(usage.total_tokens).unwrap_or(sums.total_tokens),
        reasoning_tokens: count(written.reasoning_tokens),
        cached_input_tokens: count(read.cached_tokens),
        cache_creation_input_tokens: count(read.cache_creation_tokens),
        raw,
        ..sums
    }
}

impl Stream for Answer {
    type Item = Result<ModelPart>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(part) = this.parts.pop_front() {
                return Poll::Ready(Some(Ok(part)));
            }
            if this.over {
                return Poll::Ready(None);
            }
            let failed = match ready!(Pin::new(&mut this.stream).poll_next(cx)) {
                Some(Ok(event)) => this.hear(event).err(),
                Some(Err(error)) => Some(this.subject.of(&error)),
                None => Some(this.subject.cut()),
            };
            if let Some(error) = failed {
                this.over = true;
                this.parts.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
