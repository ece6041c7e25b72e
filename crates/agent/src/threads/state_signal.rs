//! Signals that say how something is, as long as it stays so.

use bowline_events::codec::date;
use bowline_events::{Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::options::{Accepted, SendOptions};
use super::runtime::Threads;
use super::thread::ThreadId;
use super::tracking::{Said, Step, Tracking};
use super::{Contents, Signal, SignalKind};
use crate::message::Extra;
use crate::{Data, Error, ErrorKind, Result, random_id};

/// Bytes of the id of a state, and of its cache key.
const MAX_ID: usize = 256;

/// Whether a state is said as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StateMode {
    /// It is.
    #[default]
    Snapshot,
    /// Only what has changed is.
    Delta,
}

/// How something is: a battery, an open file, a list of tasks. A thread hears it when it changes.
///
/// ```
/// use bowline_agent::threads::StateSignal;
///
/// let tide = StateSignal::new("tide", "high", "The tide is high.").with_attribute("metres", 4.2)?;
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct StateSignal {
    id: Text,
    cache_key: Text,
    mode: StateMode,
    value: Option<Data>,
    delta: Option<Data>,
    signal: Signal,
}

impl StateSignal {
    /// The thing `id` is as `contents` say. It has changed when `cache_key` is another one.
    pub fn new(
        id: impl Into<Text>,
        cache_key: impl Into<Text>,
        contents: impl Into<Contents>,
    ) -> Self {
        Self {
            id: id.into(),
            cache_key: cache_key.into(),
            mode: StateMode::Snapshot,
            value: None,
            delta: None,
            signal: Signal::new(SignalKind::State, contents),
        }
    }

    /// Says only what has changed.
    pub fn delta(mut self) -> Self {
        self.mode = StateMode::Delta;
        self
    }

    /// The whole state, for programs.
    pub fn with_value(mut self, value: Data) -> Self {
        self.value = Some(value);
        self
    }

    /// What has changed, for programs.
    pub fn with_delta(mut self, delta: Data) -> Self {
        self.delta = Some(delta);
        self
    }

    /// As [`Signal::with_attribute`].
    ///
    /// # Errors
    /// As there.
    pub fn with_attribute(mut self, name: impl Into<Text>, value: impl Serialize) -> Result<Self> {
        self.signal = self.signal.with_attribute(name, value)?;
        Ok(self)
    }

    /// As [`Signal::with_tag_name`].
    ///
    /// # Errors
    /// As there.
    pub fn with_tag_name(mut self, name: impl Into<Text>) -> Result<Self> {
        self.signal = self.signal.with_tag_name(name)?;
        Ok(self)
    }

    /// As [`Signal::with_metadata`].
    pub fn with_metadata(mut self, metadata: Data) -> Self {
        self.signal = self.signal.with_metadata(metadata);
        self
    }

    fn check(&self) -> Result<()> {
        for (what, text) in [("id", &self.id), ("cache key", &self.cache_key)] {
            if text.is_empty() || text.len() > MAX_ID {
                let message = format!("the {what} of a state has 1 to {MAX_ID} bytes");
                let error = Error::new(ErrorKind::InvalidInput, "signal", message);
                return Err(error.with_subject(self.id.clone()));
            }
        }
        self.signal.check()
    }

    /// The signal that says it in a thread.
    fn signal(&self, id: Text, thread: &ThreadId, version: u64) -> Signal {
        let written = |value: &Text| Data::of(value).unwrap_or_default();
        let metadata = self.signal.metadata.as_ref();
        let mut metadata = metadata.and_then(Extra::of).unwrap_or_default();
        let mut state = metadata
            .get("state")
            .and_then(Extra::of)
            .unwrap_or_default();
        state.insert("id", written(&self.id));
        state.insert("cacheKey", written(&self.cache_key));
        state.insert("mode", Data::of(&self.mode).unwrap_or_default());
        state.insert("threadId", written(thread.id()));
        state.insert("version", Data::of(&version).unwrap_or_default());
        metadata.insert("state", state.to_data());
        for (name, value) in [("value", &self.value), ("delta", &self.delta)] {
            if let Some(value) = value {
                metadata.insert(name, value.clone());
            }
        }
        let signal = self.signal.clone().with_id(id);
        signal.with_metadata(metadata.to_data())
    }
}

impl Threads {
    /// Says how something is, if the thread does not know it: `Skipped` when the last state of this id that it took has the same cache
    /// key and mode, whatever process said it. What the thread knows is kept in the metadata of its memory, where the reference keeps
    /// it. A state that is not taken, or of which this process does not come to know whether it was, is not known.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal); `InvalidInput` also for an id or a cache key that is empty or longer than 256 bytes.
    pub async fn send_state_signal(
        &self,
        agent: &str,
        thread: &ThreadId,
        state: StateSignal,
        options: SendOptions,
    ) -> Result<Accepted> {
        let shared = self.shared();
        shared.check_open("signal")?;
        shared.agent("signal", agent)?;
        state.check()?;
        let memory = shared.memory(thread).await?;
        let signal = random_id();
        let now = Text::from(date::format_iso(Timestamp::now().as_millis()));
        let said = Said {
            cache_key: &state.cache_key,
            mode: state.mode,
            signal: &signal,
            now: &now,
        };
        // Most of what is said is known: that is found out without writing.
        let known = memory.thread(thread.id()).await?;
        let known = known.and_then(|it| it.details.metadata);
        let mut known = Tracking::of(known.as_ref(), &state.id);
        if Tracking::say(&mut known, said) == Step::Skip {
            return Ok(Accepted::Skipped);
        }
        let mut step = Step::Skip;
        let tracked = memory.update(thread.id(), |details| {
            let metadata = details.metadata.as_ref();
            let mut known = Tracking::of(metadata, &state.id);
            step = Tracking::say(&mut known, said);
            details.metadata = Some(Tracking::set(metadata, &state.id, known.as_ref()));
        });
        tracked.await?;
        let Step::Give { signal, version } = step else {
            return Ok(Accepted::Skipped);
        };
        let given = state.signal(signal.clone(), thread, version);
        let accepted = self.send_signal(agent, thread, given, options).await?;
        let taken = !matches!(accepted, Accepted::Discard | Accepted::Blocked { .. });
        let settled = memory.update(thread.id(), |details| {
            let metadata = details.metadata.as_ref();
            let mut known = Tracking::of(metadata, &state.id);
            if Tracking::settle(&mut known, &signal, taken) {
                details.metadata = Some(Tracking::set(metadata, &state.id, known.as_ref()));
            }
        });
        if let Err(error) = settled.await {
            tracing::warn!(thread = %thread.id(), %error, "it is noted later whether a state is known");
        }
        Ok(match accepted {
            // Somebody else said it at the same time.
            Accepted::Before => Accepted::Skipped,
            accepted => accepted,
        })
    }
}
