//! What the adapter does not pass on of a stream: who answers, and the stream itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::genai::chat::{ChatFrameSink, FrameCtx, RawFrameRef};
use bowline_events::{Text, Timestamp};
use serde::Deserialize;

use crate::Data;
use crate::model::ResponseMetadata;

/// Sees every message of one stream.
#[derive(Debug)]
pub(super) struct Tap {
    /// Whether the messages are wanted as they are.
    raw: bool,
    state: Mutex<State>,
    /// Bytes of the messages.
    seen: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    metadata: Option<ResponseMetadata>,
    raw: VecDeque<Data>,
}

/// Who answers, as the providers say it.
#[derive(Deserialize)]
struct Head {
    #[serde(alias = "responseId", alias = "response_id")]
    id: Option<String>,
    #[serde(alias = "modelVersion")]
    model: Option<String>,
    created: Option<i64>,
    /// Where it is inside of the first message.
    #[serde(alias = "response")]
    message: Option<Box<Head>>,
}

impl Tap {
    pub(super) fn new(raw: bool) -> Self {
        Self {
            raw,
            state: Mutex::default(),
            seen: AtomicUsize::new(0),
        }
    }

    /// How many bytes the messages had: none before the first.
    pub(super) fn bytes(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Who answers, as far as it was said.
    pub(super) fn metadata(&self) -> ResponseMetadata {
        self.state().metadata.clone().unwrap_or_default()
    }

    /// The messages since the last time.
    pub(super) fn take_raw(&self) -> VecDeque<Data> {
        if self.raw {
            std::mem::take(&mut self.state().raw)
        } else {
            VecDeque::new()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatFrameSink for Tap {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        self.seen.fetch_add(frame.data.len(), Ordering::Relaxed);
        let mut state = self.state();
        if state.metadata.is_none()
            && let Ok(head) = serde_json::from_str::<Head>(frame.data)
        {
            state.metadata = head.metadata();
        }
        if self.raw
            && let Ok(raw) = Data::from_json(frame.data.to_owned())
        {
            state.raw.push_back(raw);
        }
    }
}

impl Head {
    fn metadata(self) -> Option<ResponseMetadata> {
        let head = match self.message {
            Some(message) if self.id.is_none() => *message,
            _ => self,
        };
        head.id.as_ref().or(head.model.as_ref())?;
        let millis = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        Some(ResponseMetadata {
            id: head.id.map(Text::from),
            model_id: head.model.map(Text::from),
            timestamp: head.created.map(millis),
            headers: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_is_found_where_providers_say_it() {
        for (frame, id, model) in [
            (
                r#"{"id":"c1","model":"m","created":5,"choices":[]}"#,
                "c1",
                "m",
            ),
            (
                r#"{"type":"message_start","message":{"id":"c1","model":"m"}}"#,
                "c1",
                "m",
            ),
            (
                r#"{"type":"response.created","response":{"id":"c1","model":"m"}}"#,
                "c1",
                "m",
            ),
            (r#"{"responseId":"c1","modelVersion":"m"}"#, "c1", "m"),
        ] {
            let head: Head = serde_json::from_str(frame).unwrap();
            let metadata = head.metadata().unwrap();
            assert_eq!(metadata.id.as_deref(), Some(id), "{frame}");
            assert_eq!(metadata.model_id.as_deref(), Some(model), "{frame}");
        }
        let head: Head = serde_json::from_str(r#"{"done":true}"#).unwrap();
        assert!(head.metadata().is_none());
    }
}
