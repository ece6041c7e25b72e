//! What a scripted model answers.

use std::time::Duration;

use bowline_events::Text;
use serde::Serialize;

use super::words::Words;
use crate::model::{FinishReason, ModelPart, Usage};
use crate::{Data, ErrorKind};

/// One answer of a [`ScriptedModel`](super::ScriptedModel): what it says and does, in order.
///
/// What the model says of the answer comes first, and what the answer costs last, without being asked for. A text or reasoning
/// that is followed by an error, a cut or a hang stays open, as it does when a real model breaks off.
///
/// ```
/// use bowline_agent::scripted::Answer;
/// use serde_json::json;
///
/// let answer = Answer::new()
///     .text("Let me see.")
///     .tool_call("weather", &json!({"city": "Oslo"}))
///     .tool_call("weather", &json!({"city": "Bergen"}));
/// # drop(answer);
/// ```
#[derive(Debug, Clone)]
#[must_use = "an answer that no model gives does nothing"]
pub struct Answer {
    pub(super) lines: Vec<Line>,
    pub(super) finish: Option<FinishReason>,
    pub(super) usage: Usage,
    pub(super) response_id: Option<Text>,
    pub(super) headers: Option<Data>,
    pub(super) pace: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(super) enum Line {
    Text(Words),
    Reasoning(Words, Option<Data>),
    Call {
        id: Option<Text>,
        name: Text,
        /// As the model writes them.
        written: Text,
        args: Data,
    },
    Part(ModelPart),
    Pause(Duration),
    Error(ErrorKind, Text),
    Cut,
    Hang,
}

impl Line {
    /// Whether nothing comes after it.
    pub(super) fn breaks_off(&self) -> bool {
        matches!(self, Self::Error(..) | Self::Cut | Self::Hang)
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// An empty answer. It costs 3 tokens read and 5 written, until [`usage`](Self::usage) says otherwise.
    pub fn new() -> Self {
        let raw = Data::from_json(r#"{"inputTokens":3,"outputTokens":5,"totalTokens":8}"#);
        Self {
            lines: Vec::new(),
            finish: None,
            usage: Usage {
                raw: raw.ok(),
                ..Usage::new(3, 5)
            },
            response_id: None,
            headers: None,
            pace: None,
        }
    }

    /// An answer that is [`text`](Self::text).
    pub fn says(text: impl Into<String>) -> Self {
        Self::new().text(text)
    }

    /// An answer that is a [`tool_call`](Self::tool_call).
    ///
    /// # Panics
    /// When the arguments have no JSON.
    pub fn calls<A: Serialize + ?Sized>(tool: impl Into<Text>, args: &A) -> Self {
        Self::new().tool_call(tool, args)
    }

    /// A request that fails before there is an answer.
    pub fn fails(kind: ErrorKind, message: impl Into<Text>) -> Self {
        Self::new().error(kind, message)
    }

    /// A text, in a piece for each word and for what is between words.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.line(Line::Text(Words::Of(text.into())))
    }

    /// A text in these pieces.
    pub fn deltas<T: Into<String>>(self, deltas: impl IntoIterator<Item = T>) -> Self {
        let deltas = deltas.into_iter().map(Into::into).collect();
        self.line(Line::Text(Words::Listed(deltas)))
    }

    /// A text that is `delta`, `times` times. The pieces are made when they are asked for.
    pub fn repeated_delta(self, delta: impl Into<String>, times: usize) -> Self {
        let text = delta.into();
        self.line(Line::Text(Words::Same { text, times }))
    }

    /// What the model thinks, in pieces like those of [`text`](Self::text).
    pub fn reasoning(self, text: impl Into<String>) -> Self {
        self.line(Line::Reasoning(Words::Of(text.into()), None))
    }

    /// What the model thinks, with what its provider wants to have back, such as a signature.
    pub fn signed_reasoning(self, text: impl Into<String>, metadata: Data) -> Self {
        self.line(Line::Reasoning(Words::Of(text.into()), Some(metadata)))
    }

    /// A call of the tool `tool`. Its id depends only on the place of the call in the conversation.
    ///
    /// # Panics
    /// When `args` has no JSON: the script is wrong then.
    pub fn tool_call<A: Serialize + ?Sized>(self, tool: impl Into<Text>, args: &A) -> Self {
        self.call(None, tool.into(), json(args))
    }

    /// A call with this id.
    ///
    /// # Panics
    /// When `args` has no JSON: the script is wrong then.
    pub fn tool_call_as<A: Serialize + ?Sized>(
        self,
        id: impl Into<Text>,
        tool: impl Into<Text>,
        args: &A,
    ) -> Self {
        self.call(Some(id.into()), tool.into(), json(args))
    }

    /// A call whose arguments the model wrote as `text`, which may be no JSON.
    pub fn tool_call_text(self, tool: impl Into<Text>, text: impl Into<Text>) -> Self {
        let written: Text = text.into();
        let args = Data::from_json(written.clone()).unwrap_or_else(|_| json(&written));
        self.line(Line::Call {
            id: None,
            name: tool.into(),
            written,
            args,
        })
    }

    fn call(self, id: Option<Text>, name: Text, args: Data) -> Self {
        self.line(Line::Call {
            id,
            name,
            written: args.as_str().to_owned().into(),
            args,
        })
    }

    /// These parts as they are. A `ResponseMetadata` or `Finish` among them takes the place of that of the script.
    pub fn parts(mut self, parts: impl IntoIterator<Item = ModelPart>) -> Self {
        self.lines.extend(parts.into_iter().map(Line::Part));
        self
    }

    /// Nothing for a while.
    pub fn pause(self, time: Duration) -> Self {
        self.line(Line::Pause(time))
    }

    /// An error, and the end. Before anything else it is an error of the request, behind something one in mid-stream.
    pub fn error(self, kind: ErrorKind, message: impl Into<Text>) -> Self {
        self.line(Line::Error(kind, message.into()))
    }

    /// The end without an end, as no model should do it.
    pub fn cut(self) -> Self {
        self.line(Line::Cut)
    }

    /// Nothing any more, until the request is dropped.
    pub fn hang(self) -> Self {
        self.line(Line::Hang)
    }

    fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Waits for `time` before every piece of a text or reasoning.
    pub fn pace(mut self, time: Duration) -> Self {
        self.pace = Some(time);
        self
    }

    /// Why it ends, in place of `ToolCalls` when there are some, and `Stop` otherwise.
    pub fn finish(mut self, reason: FinishReason) -> Self {
        self.finish = Some(reason);
        self
    }

    /// What it costs.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Its id at the provider, in place of one that depends only on its place in the conversation.
    pub fn response_id(mut self, id: impl Into<Text>) -> Self {
        self.response_id = Some(id.into());
        self
    }

    /// The headers of the response: an object of texts.
    pub fn headers(mut self, headers: Data) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Why it ends.
    pub(super) fn reason(&self) -> FinishReason {
        let calls = self.lines.iter().any(|line| {
            let part = matches!(line, Line::Part(ModelPart::ToolCall { .. }));
            part || matches!(line, Line::Call { .. })
        });
        let natural = if calls {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        };
        self.finish.unwrap_or(natural)
    }

    /// Whether it never comes to an end.
    pub(super) fn breaks_off(&self) -> bool {
        self.lines.iter().any(Line::breaks_off)
    }

    /// Whether the script itself has a part like that.
    pub(super) fn has(&self, part: impl Fn(&ModelPart) -> bool) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|line| matches!(line, Line::Part(own) if part(own)))
    }
}

#[expect(
    clippy::expect_used,
    reason = "a value without JSON is a mistake in the script"
)]
fn json<T: Serialize + ?Sized>(value: &T) -> Data {
    Data::of(value).expect("the arguments have no JSON")
}
