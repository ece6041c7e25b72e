//! What travels on the topic of a thread.

use bowline_events::{Dialect, Event, NewEvent, Payload, Text, json};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Signal;
use crate::chunk::RawChunk;
use crate::{Data, Error, ErrorKind, Result};

/// A run begins to be told on the thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct RunRegistered {
    pub run_id: Text,
    /// Names this telling of the run.
    pub stream_id: Text,
    /// Which telling of the run it is, 1 for the first.
    #[serde(default = "one")]
    pub stream_seq: u64,
    /// Who tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Text>,
}

/// A piece of the stream of a run.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct StreamPart {
    pub run_id: Text,
    pub stream_id: Text,
    /// The piece, without what only whoever started the run may see.
    pub part: RawChunk,
    pub source_id: Option<Text>,
}

/// The run of which something is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct RunRef {
    pub run_id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<Text>,
}

/// A run has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct RunCompleted {
    pub run_id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<Text>,
    /// Whether it succeeded, so that what it said is in the memory; `None` from old senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persisted: Option<bool>,
}

/// A run has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct RunFailed {
    pub run_id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<Text>,
    /// Why.
    #[serde(default)]
    pub error: String,
}

/// Somebody wants a run to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct AbortRequested {
    pub run_id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<Text>,
    /// Whether what waits for the end of the run is to be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear_pending_signals: bool,
}

/// A signal is given to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct SignalEnqueued {
    pub run_id: Text,
    pub signal: Signal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Text>,
    /// Whether the run had not begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre_run: bool,
}

/// Signals that wait are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalsCancelled {
    /// Their ids.
    pub signal_ids: Vec<Text>,
}

/// A signal for a thread in which nobody is at work, given to one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct IdleSignal {
    pub run_id: Text,
    pub signal: Signal,
    pub source_id: Text,
    pub request_id: Text,
    pub reply_topic: Text,
    pub target_source_id: Text,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// A record of the topic of a thread. What this version does not know is not read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ThreadRecord {
    /// A run begins to be told.
    Registered(RunRegistered),
    /// A piece of its stream.
    Part(StreamPart),
    /// It has ended by itself.
    Completed(RunCompleted),
    /// It waits for somebody.
    Suspended(RunRef),
    /// Somebody has stopped it.
    Aborted(RunRef),
    /// It has failed.
    Failed(RunFailed),
    /// What was told of it does not count: it begins anew, or not at all.
    Discarded(RunRef),
    /// Somebody wants it to stop.
    AbortRequested(AbortRequested),
    /// A signal is given to it.
    SignalEnqueued(SignalEnqueued),
    /// Signals that wait are to be forgotten. Events carry the key of the thread as their run.
    SignalsCancelled(SignalsCancelled),
    /// A signal for an idle thread is given to one process.
    IdleSignal(IdleSignal),
}

fn one() -> u64 {
    1
}

impl ThreadRecord {
    /// The type, which is that of the event, too.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Registered(_) => "run-registered",
            Self::Part(_) => "stream-part",
            Self::Completed(_) => "run-completed",
            Self::Suspended(_) => "run-suspended",
            Self::Aborted(_) => "run-aborted",
            Self::Failed(_) => "run-failed",
            Self::Discarded(_) => "run-discarded",
            Self::AbortRequested(_) => "run-abort-requested",
            Self::SignalEnqueued(_) => "signal-enqueued",
            Self::SignalsCancelled(_) => "signals-cancelled",
            Self::IdleSignal(_) => "idle-signal-enqueued",
        }
    }

    /// The run of which it tells.
    pub fn run_id(&self) -> Option<&Text> {
        match self {
            Self::Registered(it) => Some(&it.run_id),
            Self::Part(it) => Some(&it.run_id),
            Self::Completed(it) => Some(&it.run_id),
            Self::Suspended(it) | Self::Aborted(it) | Self::Discarded(it) => Some(&it.run_id),
            Self::Failed(it) => Some(&it.run_id),
            Self::AbortRequested(it) => Some(&it.run_id),
            Self::SignalEnqueued(it) => Some(&it.run_id),
            Self::IdleSignal(it) => Some(&it.run_id),
            Self::SignalsCancelled(_) => None,
        }
    }

    /// The event for the topic of the thread whose key is `thread_key`.
    pub fn to_event(&self, thread_key: &Text) -> NewEvent {
        let run = self.run_id().unwrap_or(thread_key).clone();
        let data = Payload::from_valid_json(self.to_json(), Dialect::Plain);
        NewEvent::new(self.kind(), run).with_data(data)
    }

    /// The record as JSON, with its members in the order of the wire.
    pub fn to_json(&self) -> Bytes {
        match self {
            Self::Registered(it) => self.write(it),
            Self::Part(it) => it.to_json(),
            Self::Completed(it) => self.write(it),
            Self::Suspended(it) | Self::Aborted(it) | Self::Discarded(it) => self.write(it),
            Self::Failed(it) => self.write(it),
            Self::AbortRequested(it) => self.write(it),
            Self::SignalEnqueued(it) => self.write(it),
            Self::SignalsCancelled(it) => self.write(it),
            Self::IdleSignal(it) => self.write(it),
        }
    }

    fn write(&self, body: &impl Serialize) -> Bytes {
        write(self.kind(), body)
    }

    /// The record that `event` carries; `None` for one that this version does not know.
    ///
    /// # Errors
    /// `Corrupt` for one that is not what its type says.
    pub fn read(event: &Event) -> Result<Option<Self>> {
        let json = event.data.to_json();
        let json = json.map_err(|error| Error::bus("read thread", error))?;
        let known = match event.event_type.as_str() {
            "stream-part" => Self::Part(StreamPart::read(&json)?),
            "run-registered" => Self::Registered(parse(&json)?),
            "run-completed" => Self::Completed(parse(&json)?),
            "run-suspended" => Self::Suspended(parse(&json)?),
            "run-aborted" => Self::Aborted(parse(&json)?),
            "run-failed" => Self::Failed(parse(&json)?),
            "run-discarded" => Self::Discarded(parse(&json)?),
            "run-abort-requested" => Self::AbortRequested(parse(&json)?),
            "signal-enqueued" => Self::SignalEnqueued(parse(&json)?),
            "signals-cancelled" => Self::SignalsCancelled(parse(&json)?),
            "idle-signal-enqueued" => Self::IdleSignal(parse(&json)?),
            _ => return Ok(None),
        };
        Ok(Some(known))
    }
}

impl StreamPart {
    fn to_json(&self) -> Bytes {
        let part = self.part.as_str();
        let mut out = Vec::with_capacity(part.len() + 256);
        out.extend_from_slice(b"{\"type\":\"stream-part\",\"runId\":");
        json::escape_into(&self.run_id, &mut out);
        out.extend_from_slice(b",\"streamId\":");
        json::escape_into(&self.stream_id, &mut out);
        out.extend_from_slice(b",\"part\":");
        out.extend_from_slice(part.as_bytes());
        if let Some(source) = &self.source_id {
            out.extend_from_slice(b",\"sourceId\":");
            json::escape_into(source, &mut out);
        }
        out.push(b'}');
        out.into()
    }

    fn read(json: &Bytes) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            run_id: Text,
            stream_id: Text,
            part: Data,
            #[serde(default)]
            source_id: Option<Text>,
        }
        let body: Body = parse(json)?;
        let part = RawChunk::read(body.part.as_str().as_bytes().to_vec())?;
        Ok(Self {
            run_id: body.run_id,
            stream_id: body.stream_id,
            part,
            source_id: body.source_id,
        })
    }
}

/// A record of `kind` as JSON.
pub(super) fn write(kind: &'static str, body: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Typed<'a, T> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        body: &'a T,
    }
    // Texts, numbers and JSON that was read before: nothing of it can fail to be written.
    let json = serde_json::to_vec(&Typed { kind, body });
    json.unwrap_or_default().into()
}

pub(super) fn parse<T: DeserializeOwned>(json: &Bytes) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("the record is not what its type says: {error}");
        Error::new(ErrorKind::Corrupt, "read thread", message).with_source(error)
    })
}
