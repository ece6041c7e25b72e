//! Records of an inbox, as the reference writes them.

use bowline_events::{Text, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::iso;
use crate::Data;
use crate::message::Extra;
use crate::threads::notification::{Notification, Priority};
use crate::threads::signal::{Signal, SignalKind};
use crate::threads::thread::ThreadId;

/// What has become of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NotificationStatus {
    /// The agent has not been told, or only in a summary.
    Pending,
    /// The agent has been given its signal.
    Delivered,
    /// Somebody has looked at it.
    Seen,
    /// Somebody does not want to hear of it.
    Dismissed,
    /// Somebody has put it away.
    Archived,
    /// The policy did not want it.
    Discarded,
    /// It could not be delivered; the record says why.
    Failed,
}

impl NotificationStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Seen => "seen",
            Self::Dismissed => "dismissed",
            Self::Archived => "archived",
            Self::Discarded => "discarded",
            Self::Failed => "failed",
        }
    }

    /// Whether nobody has looked at it who could.
    pub fn is_unread(self) -> bool {
        matches!(self, Self::Pending | Self::Delivered)
    }
}

/// A notification in an inbox. Its JSON is that of the reference, with dates in ISO form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NotificationRecord {
    /// Its id, unique in the thread.
    pub id: Text,
    /// The thread.
    pub thread_id: Text,
    /// Where it has happened.
    pub source: Text,
    /// What has.
    pub kind: Text,
    /// How urgent it is.
    pub priority: Priority,
    /// What has become of it.
    pub status: NotificationStatus,
    /// What the agent is told.
    pub summary: String,
    /// Details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Data>,
    /// Whom the thread is with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Text>,
    /// The agent.
    pub agent_id: Text,
    /// What the source calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Text>,
    /// See [`Notification::dedupe_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe_key: Option<Text>,
    /// See [`Notification::coalesce_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesce_key: Option<Text>,
    /// How many notifications it is.
    pub coalesced_count: u32,
    /// Attributes of its signal besides those that every notification has.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub attributes: Extra,
    /// When it came in.
    #[serde(with = "iso")]
    pub created_at: Timestamp,
    /// When it was changed.
    #[serde(with = "iso")]
    pub updated_at: Timestamp,
    /// When the agent was given its signal.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When somebody looked at it.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When it was dismissed.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub dismissed_at: Option<Timestamp>,
    /// When it was put away.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// When it was discarded.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub discarded_at: Option<Timestamp>,
    /// When its signal is due.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<Timestamp>,
    /// When it is due in a summary; not set when it has been in one.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub summary_at: Option<Timestamp>,
    /// Why the policy wants that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_reason: Option<Text>,
    /// Deliveries that failed.
    pub delivery_attempts: u32,
    /// When a delivery was tried last.
    #[serde(default, with = "iso::option", skip_serializing_if = "Option::is_none")]
    pub last_delivery_attempt_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery_error: Option<Text>,
    /// The signal that the agent was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_signal_id: Option<Text>,
    /// The summary that it is part of, from when it is put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary_signal_id: Option<Text>,
    /// What programs keep with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Data>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    signal: &'static str,
    record_id: &'a Text,
    source: &'a Text,
    kind: &'a Text,
    priority: Priority,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    coalesced_count: Option<u32>,
    #[serde(with = "iso")]
    delivered_at: Timestamp,
}

impl NotificationRecord {
    pub(in crate::threads) fn new(
        notification: Notification,
        agent: &Text,
        thread: &ThreadId,
        now: Timestamp,
    ) -> Self {
        Self {
            id: notification.id,
            thread_id: thread.id().clone(),
            source: notification.source,
            kind: notification.kind,
            priority: notification.priority.unwrap_or_default(),
            status: NotificationStatus::Pending,
            summary: notification.summary,
            payload: notification.payload,
            resource_id: thread.resource_id().cloned(),
            agent_id: agent.clone(),
            source_id: notification.source_id,
            dedupe_key: notification.dedupe_key,
            coalesce_key: notification.coalesce_key,
            coalesced_count: 1,
            attributes: notification.attributes,
            created_at: now,
            updated_at: now,
            delivered_at: None,
            seen_at: None,
            dismissed_at: None,
            archived_at: None,
            discarded_at: None,
            deliver_at: None,
            summary_at: None,
            delivery_reason: None,
            delivery_attempts: 0,
            last_delivery_attempt_at: None,
            last_delivery_error: None,
            delivered_signal_id: None,
            summary_signal_id: None,
            metadata: notification.metadata,
        }
    }

    /// The thread.
    pub fn thread(&self) -> ThreadId {
        ThreadId::of(self.thread_id.clone(), self.resource_id.clone())
    }

    pub(super) fn is_pending(&self) -> bool {
        self.status == NotificationStatus::Pending
    }

    pub(super) fn set_status(&mut self, status: NotificationStatus, now: Timestamp) {
        self.status = status;
        self.updated_at = now;
        let at = match status {
            NotificationStatus::Delivered => &mut self.delivered_at,
            NotificationStatus::Seen => &mut self.seen_at,
            NotificationStatus::Dismissed => &mut self.dismissed_at,
            NotificationStatus::Archived => &mut self.archived_at,
            NotificationStatus::Discarded => &mut self.discarded_at,
            NotificationStatus::Pending | NotificationStatus::Failed => return,
        };
        *at = Some(now);
    }

    /// The signal `id` that says it in full.
    pub(super) fn signal(&self, id: Text, now: Timestamp) -> Signal {
        const STATUS: &str = "delivered";
        let count = (self.coalesced_count > 1).then_some(self.coalesced_count);
        let mut signal = Signal::new(SignalKind::Notification, self.summary.clone()).with_id(id);
        let own = [
            ("id", written(&self.id)),
            ("source", written(&self.source)),
            ("type", written(&self.kind)),
            ("kind", written(&self.kind)),
            ("priority", written(&self.priority)),
            ("status", written(&STATUS)),
        ];
        let own = own.into_iter().map(|(name, value)| (name.into(), value));
        let count_of = count.map(|it| (Text::from("coalescedCount"), written(&it)));
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in attributes.chain(own).chain(count_of) {
            signal.attributes.insert(name, value);
        }
        let metadata = self.metadata.as_ref().and_then(Extra::of);
        let about = About {
            signal: "notification",
            record_id: &self.id,
            source: &self.source,
            kind: &self.kind,
            priority: self.priority,
            status: STATUS,
            coalesced_count: count,
            delivered_at: now,
        };
        let metadata = metadata
            .unwrap_or_default()
            .with("notification", written(&about));
        signal.with_metadata(metadata.to_data())
    }
}

/// The JSON of texts and numbers, which cannot fail to be written.
pub(super) fn written(value: &impl Serialize) -> Data {
    Data::of(value).unwrap_or_default()
}
