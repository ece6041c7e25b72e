//! Something that has happened elsewhere, as whoever tells of it describes it.

use bowline_events::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inbox::{limit_of, too_large};
use crate::message::Extra;
use crate::{Data, Error, ErrorKind, Result, random_id};

/// Bytes of the id of a notification.
pub const MAX_NOTIFICATION_ID: usize = 128;
/// Bytes of its source, its kind, and each of its keys.
pub const MAX_NOTIFICATION_NAME: usize = 256;
/// Bytes of its summary.
pub const MAX_NOTIFICATION_SUMMARY: usize = 16 * 1024;
/// Bytes of its payload, and of its attributes and metadata together.
pub const MAX_NOTIFICATION_PAYLOAD: usize = 64 * 1024;

/// How urgent a notification is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
    Urgent,
}

impl Priority {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

/// Something has happened elsewhere.
///
/// ```
/// use bowline_agent::threads::{Notification, Priority};
///
/// let arrival = Notification::new("harbour", "arrival", "A ship has come in.")
///     .priority(Priority::High)
///     .coalesce_key("berth-4");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Notification {
    pub(super) id: Text,
    pub(super) source: Text,
    pub(super) kind: Text,
    pub(super) summary: String,
    /// `None`: not said.
    pub(super) priority: Option<Priority>,
    pub(super) payload: Option<Data>,
    pub(super) source_id: Option<Text>,
    pub(super) dedupe_key: Option<Text>,
    pub(super) coalesce_key: Option<Text>,
    pub(super) attributes: Extra,
    pub(super) metadata: Option<Data>,
}

impl Notification {
    /// Something of a `kind` that `source` tells of. Its priority is medium, its id random.
    pub fn new(source: impl Into<Text>, kind: impl Into<Text>, summary: impl Into<String>) -> Self {
        Self {
            id: random_id(),
            source: source.into(),
            kind: kind.into(),
            summary: summary.into(),
            priority: None,
            payload: None,
            source_id: None,
            dedupe_key: None,
            coalesce_key: None,
            attributes: Extra::default(),
            metadata: None,
        }
    }

    /// The same with this id: one whose id is in the inbox of the thread is not taken again.
    pub fn with_id(mut self, id: impl Into<Text>) -> Self {
        self.id = id.into();
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Details, kept in the inbox and not said to the agent.
    pub fn payload(mut self, payload: Data) -> Self {
        self.payload = Some(payload);
        self
    }

    /// What the source calls it.
    pub fn source_id(mut self, id: impl Into<Text>) -> Self {
        self.source_id = Some(id.into());
        self
    }

    /// While one with this key, for the same agent, of the same source and kind, is pending in the thread, this one becomes part of it.
    pub fn dedupe_key(mut self, key: impl Into<Text>) -> Self {
        self.dedupe_key = Some(key.into());
        self
    }

    /// As [`dedupe_key`](Self::dedupe_key), for those that are not the same and belong together.
    pub fn coalesce_key(mut self, key: impl Into<Text>) -> Self {
        self.coalesce_key = Some(key.into());
        self
    }

    /// As [`Signal::with_attribute`](super::Signal::with_attribute); id, source, type, kind, priority and status are those of the
    /// notification.
    ///
    /// # Errors
    /// As there.
    pub fn with_attribute(mut self, name: impl Into<Text>, value: impl Serialize) -> Result<Self> {
        let (name, value) = super::signal::attribute(name.into(), &value)?;
        self.attributes.insert(name, value);
        Ok(self)
    }

    /// As [`Signal::with_metadata`](super::Signal::with_metadata); what is said of the notification comes to it.
    pub fn with_metadata(mut self, metadata: Data) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// # Errors
    /// `InvalidInput` for names that are empty or too long, `TooLarge`.
    pub(super) fn check(&self) -> Result<()> {
        let names = [
            ("id", Some(&self.id), MAX_NOTIFICATION_ID),
            ("source", Some(&self.source), MAX_NOTIFICATION_NAME),
            ("kind", Some(&self.kind), MAX_NOTIFICATION_NAME),
            (
                "id at the source",
                self.source_id.as_ref(),
                MAX_NOTIFICATION_NAME,
            ),
            (
                "dedupe key",
                self.dedupe_key.as_ref(),
                MAX_NOTIFICATION_NAME,
            ),
            (
                "coalesce key",
                self.coalesce_key.as_ref(),
                MAX_NOTIFICATION_NAME,
            ),
        ];
        for (what, name, limit) in names {
            if name.is_some_and(|name| name.is_empty() || name.len() > limit) {
                let message = format!("the {what} of a notification has 1 to {limit} bytes");
                let error = Error::new(ErrorKind::InvalidInput, "notify", message);
                return Err(error.with_subject(self.source.clone()));
            }
        }
        if self.summary.len() > MAX_NOTIFICATION_SUMMARY {
            let what = "its summary";
            let error = too_large(what, self.summary.len(), MAX_NOTIFICATION_SUMMARY);
            return Err(error.with_subject(self.id.clone()));
        }
        let metadata = self.metadata.as_ref();
        limit_of(&self.id, self.payload.as_ref(), &self.attributes, metadata)
    }
}
