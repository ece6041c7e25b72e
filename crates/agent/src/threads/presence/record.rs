//! What is asked and answered about who is there.

use bowline_events::{Dialect, Event, NewEvent, Payload, Text};
use serde::{Deserialize, Serialize};

use super::peer::ThreadPeer;
use crate::threads::record::{parse, write};
use crate::{Error, Result};

/// Somebody asks who has claimed a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct OwnerRequest {
    /// The key of the thread.
    pub key: Text,
    pub request_id: Text,
    pub reply_topic: Text,
    pub source_id: Text,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// The process that has claimed it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct OwnerResponse {
    /// The key of the thread.
    pub key: Text,
    pub request_id: Text,
    pub source_id: Text,
}

/// Somebody asks which agents are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct PeerRequest {
    pub request_id: Text,
    pub reply_topic: Text,
    pub source_id: Text,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// One of them answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct PeerResponse {
    pub request_id: Text,
    pub peer: ThreadPeer,
    pub source_id: Text,
}

/// The owner of a thread has taken a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct IdleAccepted {
    pub request_id: Text,
    /// The run that gets it.
    pub run_id: Text,
    pub source_id: Text,
}

/// The owner of a thread does not take a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct IdleRejected {
    pub request_id: Text,
    pub run_id: Text,
    pub source_id: Text,
    /// Why.
    #[serde(default)]
    pub error: String,
}

/// A question about who is there, or an answer. What this version does not know is not read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PresenceRecord {
    /// Who has claimed a thread?
    OwnerRequest(OwnerRequest),
    /// This process has.
    OwnerResponse(OwnerResponse),
    /// Which agents are there?
    PeerRequest(PeerRequest),
    /// This one is.
    PeerResponse(PeerResponse),
    /// An [`IdleSignal`](crate::threads::IdleSignal) is taken.
    IdleAccepted(IdleAccepted),
    /// It is not.
    IdleRejected(IdleRejected),
}

impl PresenceRecord {
    /// The type, which is that of the event, too.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OwnerRequest(_) => "thread-owner-request",
            Self::OwnerResponse(_) => "thread-owner-response",
            Self::PeerRequest(_) => "thread-peer-request",
            Self::PeerResponse(_) => "thread-peer-response",
            Self::IdleAccepted(_) => "idle-signal-accepted",
            Self::IdleRejected(_) => "idle-signal-rejected",
        }
    }

    /// The event that carries it. Its run is the request, or the run that a signal wakes.
    pub fn to_event(&self) -> NewEvent {
        let kind = self.kind();
        let (run, json) = match self {
            Self::OwnerRequest(it) => (&it.request_id, write(kind, it)),
            Self::OwnerResponse(it) => (&it.request_id, write(kind, it)),
            Self::PeerRequest(it) => (&it.request_id, write(kind, it)),
            Self::PeerResponse(it) => (&it.request_id, write(kind, it)),
            Self::IdleAccepted(it) => (&it.run_id, write(kind, it)),
            Self::IdleRejected(it) => (&it.run_id, write(kind, it)),
        };
        let data = Payload::from_valid_json(json, Dialect::Plain);
        NewEvent::new(kind, run.clone()).with_data(data)
    }

    /// The record that `event` carries; `None` for one that this version does not know.
    ///
    /// # Errors
    /// `Corrupt` for one that is not what its type says.
    pub fn read(event: &Event) -> Result<Option<Self>> {
        let json = event.data.to_json();
        let json = json.map_err(|error| Error::bus("read request", error))?;
        Ok(Some(match event.event_type.as_str() {
            "thread-owner-request" => Self::OwnerRequest(parse(&json)?),
            "thread-owner-response" => Self::OwnerResponse(parse(&json)?),
            "thread-peer-request" => Self::PeerRequest(parse(&json)?),
            "thread-peer-response" => Self::PeerResponse(parse(&json)?),
            "idle-signal-accepted" => Self::IdleAccepted(parse(&json)?),
            "idle-signal-rejected" => Self::IdleRejected(parse(&json)?),
            _ => return Ok(None),
        }))
    }
}
