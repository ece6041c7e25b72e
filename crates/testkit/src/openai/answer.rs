//! What the server answers.

use std::time::Duration;

use serde_json::{Value, json};

/// One answer of an [`OpenAiServer`](crate::OpenAiServer): a stream, or a refusal.
///
/// A stream begins with the role, and ends with the finish reason, the usage and `[DONE]`, unless it breaks off.
#[derive(Clone, Debug)]
#[must_use = "an answer that no server gives does nothing"]
pub struct OpenAiAnswer {
    pub(super) refusal: Option<(u16, Value)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) events: Vec<Event>,
    finish: Option<&'static str>,
    usage: Value,
    broken: bool,
    pub(super) any_path: bool,
    calls: usize,
}

/// What the server does next.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A change of the answer.
    Delta(Value),
    /// Any message.
    Message(Value),
    /// Bytes as they are.
    Raw(String),
    Pause(Duration),
    /// Closes the connection in the middle of the body.
    Cut,
    /// Says nothing any more.
    Hang,
}

impl Default for OpenAiAnswer {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenAiAnswer {
    /// An empty answer.
    pub fn new() -> Self {
        Self {
            refusal: None,
            headers: Vec::new(),
            events: vec![Event::Delta(json!({"role": "assistant", "content": ""}))],
            finish: None,
            usage: json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}),
            broken: false,
            any_path: false,
            calls: 0,
        }
    }

    /// The stream of another protocol, at any path: these bytes and no others.
    pub fn stream(bytes: impl Into<String>) -> Self {
        Self {
            events: vec![Event::Raw(bytes.into())],
            broken: true,
            any_path: true,
            ..Self::new()
        }
    }

    /// A refusal with this status.
    pub fn status(status: u16) -> Self {
        let body = json!({"error": {"message": format!("refused with {status}"), "type": "error"}});
        Self {
            refusal: Some((status, body)),
            ..Self::new()
        }
    }

    /// The body of a refusal.
    pub fn body(mut self, body: Value) -> Self {
        if let Some(refusal) = &mut self.refusal {
            refusal.1 = body;
        }
        self
    }

    /// A header of the response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Pieces of text.
    pub fn text<const N: usize>(mut self, pieces: [&str; N]) -> Self {
        let pieces = pieces.map(|piece| Event::Delta(json!({"content": piece})));
        self.events.extend(pieces);
        self
    }

    /// Pieces of reasoning, as DeepSeek and others tell it.
    pub fn reasoning<const N: usize>(mut self, pieces: [&str; N]) -> Self {
        let pieces = pieces.map(|piece| Event::Delta(json!({"reasoning_content": piece})));
        self.events.extend(pieces);
        self
    }

    /// A tool call with its arguments in pieces, which need not be JSON.
    pub fn tool_call<const N: usize>(mut self, id: &str, name: &str, pieces: [&str; N]) -> Self {
        let index = self.begin_call(id, name);
        self.events
            .extend(pieces.map(|piece| arguments(index, piece)));
        self
    }

    /// Tool calls whose arguments come in turns, a character at a time.
    pub fn interleaved_calls<const N: usize>(mut self, calls: [(&str, &str, &str); N]) -> Self {
        let begun = calls.map(|(id, name, args)| (self.begin_call(id, name), args));
        let longest = begun.iter().map(|(_, args)| args.chars().count()).max();
        for i in 0..longest.unwrap_or(0) {
            for (index, args) in &begun {
                if let Some(piece) = args.chars().nth(i) {
                    self.events.push(arguments(*index, &piece.to_string()));
                }
            }
        }
        self
    }

    fn begin_call(&mut self, id: &str, name: &str) -> usize {
        let index = self.calls;
        self.calls += 1;
        let mut call = json!({
            "index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""},
        });
        if id.is_empty()
            && let Some(call) = call.as_object_mut()
        {
            call.remove("id");
        }
        self.events
            .push(Event::Delta(json!({"tool_calls": [call]})));
        index
    }

    /// An error in mid-stream, and the end.
    pub fn error(mut self, error: &Value) -> Self {
        self.events.push(Event::Message(json!({"error": error})));
        self.broken = true;
        self
    }

    /// Bytes of the stream as they are.
    pub fn raw(mut self, bytes: &str) -> Self {
        self.events.push(Event::Raw(bytes.to_owned()));
        self
    }

    /// Nothing for a while.
    pub fn pause(mut self, time: Duration) -> Self {
        self.events.push(Event::Pause(time));
        self
    }

    /// The connection is closed in the middle of the body.
    pub fn cut(mut self) -> Self {
        self.events.push(Event::Cut);
        self.broken = true;
        self
    }

    /// The body ends properly, and the stream does not.
    pub fn end_early(mut self) -> Self {
        self.broken = true;
        self
    }

    /// Nothing any more, until the client goes away.
    pub fn hang(mut self) -> Self {
        self.events.push(Event::Hang);
        self.broken = true;
        self
    }

    /// The finish reason, in place of `tool_calls` or `stop`.
    pub fn finish(mut self, reason: &'static str) -> Self {
        self.finish = Some(reason);
        self
    }

    /// What it costs, as OpenAI counts it.
    pub fn usage(mut self, usage: Value) -> Self {
        self.usage = usage;
        self
    }

    /// The stream from the first message to the last: number `number`, of `model`.
    pub(super) fn script(self, number: usize, model: &Value) -> Vec<Event> {
        let head = |choices: Value| {
            json!({
                "id": format!("chatcmpl-{number}"), "object": "chat.completion.chunk",
                "created": 1_700_000_000, "model": model, "choices": choices,
            })
        };
        let choice = |delta: Value, finish: Value| {
            head(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
        };
        let natural = if self.calls > 0 { "tool_calls" } else { "stop" };
        let mut script: Vec<_> = self
            .events
            .into_iter()
            .map(|event| match event {
                Event::Delta(delta) => Event::Message(choice(delta, Value::Null)),
                other => other,
            })
            .collect();
        if !self.broken {
            let finish = json!(self.finish.unwrap_or(natural));
            script.push(Event::Message(choice(json!({}), finish)));
            let mut usage = head(json!([]));
            usage["usage"] = self.usage;
            script.push(Event::Message(usage));
            script.push(Event::Raw("data: [DONE]\n\n".to_owned()));
        }
        script
    }
}

fn arguments(index: usize, piece: &str) -> Event {
    let call = json!({"index": index, "function": {"arguments": piece}});
    Event::Delta(json!({"tool_calls": [call]}))
}
