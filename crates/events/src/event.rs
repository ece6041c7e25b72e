//! The one record that moves on the bus.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use crate::{Payload, Text};

/// Bytes that every event counts for beside its texts and its data.
const FIXED_WEIGHT: usize = 160;

/// The identity of an event, assigned by the transport: a UUID of ours, or whatever text a peer chose.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum EventId {
    /// A UUID, formatted only when somebody needs the text.
    Uuid(Uuid),
    /// Any other text.
    Text(Arc<str>),
}

impl EventId {
    /// A fresh random id (UUID version 4).
    pub fn random() -> Self {
        Self::Uuid(Uuid::new_v4())
    }

    /// Reads an id. Only the canonical lower-case UUID form is kept as a UUID, so that the text never changes.
    pub fn parse(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(id) if *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text => {
                Self::Uuid(id)
            }
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => fmt::Display::fmt(id, f),
            Self::Text(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present, by the clock of this machine.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // In 64 bits: the 128 of `as_millis` cost more than the rest.
        let millis = since.as_secs().saturating_mul(1000) + u64::from(since.subsec_millis());
        Self(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// Members of an event record that we do not know; they are forwarded unchanged, in order.
pub type ExtraMembers = Vec<(Text, Bytes)>;

/// What a publisher hands to the bus: an event without the fields that the transport assigns.
///
/// ```
/// use bowline_events::NewEvent;
/// let event = NewEvent::new("order.created", "run-1").with_json(r#"{"n":1}"#)?;
/// assert_eq!(event.event_type, "order.created");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct NewEvent {
    /// The family name of the event, such as `chunk` or `workflow.start`.
    pub event_type: Text,
    /// The run, task, request or thread that the event belongs to.
    pub run_id: Text,
    /// The data.
    pub data: Payload,
    /// Position in the cached history of the topic. Only a caching layer sets it.
    pub index: Option<u64>,
    /// Marks the incarnation of the history that `index` counts in (JSON name `logGeneration`).
    pub generation: Option<Text>,
    /// Unknown members, forwarded as they are. One that is named like a known member is left out.
    pub extra: Option<Box<ExtraMembers>>,
}

impl NewEvent {
    /// An event without data.
    pub fn new(event_type: impl Into<Text>, run_id: impl Into<Text>) -> Self {
        Self {
            event_type: event_type.into(),
            run_id: run_id.into(),
            ..Self::default()
        }
    }

    /// The same event with `data`.
    #[must_use]
    pub fn with_data(mut self, data: Payload) -> Self {
        self.data = data;
        self
    }

    /// The same event with JSON text as data; fails when `text` is not one JSON value.
    pub fn with_json(self, text: impl Into<Bytes>) -> crate::Result<Self> {
        Ok(self.with_data(Payload::json(text)?))
    }

    /// The event with a fresh id, the present time and delivery attempt 1.
    pub fn stamp(self) -> Event {
        Event {
            id: EventId::random(),
            event_type: self.event_type,
            run_id: self.run_id,
            data: self.data,
            created_at: Timestamp::now(),
            index: self.index,
            delivery_attempt: 1,
            generation: self.generation,
            extra: self.extra,
        }
    }
}

/// An event as subscribers see it. Shared, never changed.
#[derive(Debug, Clone)]
pub struct Event {
    /// Assigned by the transport; the same for every redelivery.
    pub id: EventId,
    /// The family name of the event, such as `chunk` or `workflow.start` (JSON name `type`).
    pub event_type: Text,
    /// The run, task, request or thread that the event belongs to (JSON name `runId`).
    pub run_id: Text,
    /// The data.
    pub data: Payload,
    /// When the transport accepted the event (JSON name `createdAt`).
    pub created_at: Timestamp,
    /// Position in the cached history of the topic, when a caching layer assigned one.
    pub index: Option<u64>,
    /// 1 for the first delivery, one more for each redelivery (JSON name `deliveryAttempt`).
    pub delivery_attempt: u32,
    /// Marks the incarnation of the history that `index` counts in (JSON name `logGeneration`).
    pub generation: Option<Text>,
    /// Members that we do not know.
    pub extra: Option<Box<ExtraMembers>>,
}

impl Event {
    /// Bytes that this event counts for against retention and memory limits.
    pub fn weight(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |members| {
            members
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum()
        });
        FIXED_WEIGHT + self.event_type.len() + self.run_id.len() + self.data.weight() + extra
    }

    /// The same event as delivery attempt `attempt`.
    #[must_use]
    pub fn with_attempt(&self, attempt: u32) -> Self {
        Self {
            delivery_attempt: attempt,
            ..self.clone()
        }
    }

    /// The event as a publisher would hand it to another bus.
    pub fn to_new(&self) -> NewEvent {
        NewEvent {
            event_type: self.event_type.clone(),
            run_id: self.run_id.clone(),
            data: self.data.clone(),
            index: self.index,
            generation: self.generation.clone(),
            extra: self.extra.clone(),
        }
    }
}
