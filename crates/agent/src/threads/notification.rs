//! Signals that say that something has happened elsewhere.

use bowline_events::Text;
use serde::Serialize;

use super::options::{Accepted, IfActive, IfIdle, SendOptions};
use super::runtime::Threads;
use super::thread::ThreadId;
use super::{Signal, SignalKind};
use crate::message::Extra;
use crate::{Data, Result, RunOptions, random_id};

/// How urgent a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
    Urgent,
}

/// Something has happened elsewhere.
///
/// ```
/// use bowline_agent::threads::{Notification, Priority};
///
/// let arrival = Notification::new("harbour", "arrival", "A ship has come in.").priority(Priority::High);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Notification {
    id: Text,
    source: Text,
    kind: Text,
    summary: String,
    priority: Priority,
    attributes: Vec<(Text, Data)>,
    metadata: Option<Data>,
}

/// What becomes of notifications, by their priority.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct NotificationPolicy {
    ways: [(IfActive, IfIdle); 4],
    run: RunOptions,
}

impl Notification {
    /// Something of a `kind` that `source` tells of. Its priority is medium, its id random.
    pub fn new(source: impl Into<Text>, kind: impl Into<Text>, summary: impl Into<String>) -> Self {
        Self {
            id: random_id(),
            source: source.into(),
            kind: kind.into(),
            summary: summary.into(),
            priority: Priority::default(),
            attributes: Vec::new(),
            metadata: None,
        }
    }

    /// The same with this id: two of one id are the same, and the thread hears them once.
    pub fn with_id(mut self, id: impl Into<Text>) -> Self {
        self.id = id.into();
        self
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// As [`Signal::with_attribute`]; id, source, type, kind, priority and status are those of the notification.
    ///
    /// # Errors
    /// As there.
    pub fn with_attribute(mut self, name: impl Into<Text>, value: impl Serialize) -> Result<Self> {
        let attribute = super::signal::attribute(name.into(), &value)?;
        self.attributes.push(attribute);
        Ok(self)
    }

    /// As [`Signal::with_metadata`]; what is said of the notification comes to it.
    pub fn with_metadata(mut self, metadata: Data) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The signal that says it, with the attributes and metadata of the reference.
    fn into_signal(self) -> Signal {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct About<'a> {
            signal: &'static str,
            record_id: &'a Text,
            source: &'a Text,
            kind: &'a Text,
            priority: Priority,
            status: &'static str,
        }
        const STATUS: &str = "delivered";
        fn written(value: &impl Serialize) -> Data {
            // Texts: nothing of it can fail to be written.
            Data::of(value).unwrap_or_default()
        }
        let mut signal = Signal::new(SignalKind::Notification, self.summary);
        let own = [
            ("id", written(&self.id)),
            ("source", written(&self.source)),
            ("type", written(&self.kind)),
            ("kind", written(&self.kind)),
            ("priority", written(&self.priority)),
            ("status", written(&STATUS)),
        ];
        let own = own.into_iter().map(|(name, value)| (name.into(), value));
        for (name, value) in self.attributes.into_iter().chain(own) {
            signal.attributes.insert(name, value);
        }
        let mut metadata = self
            .metadata
            .as_ref()
            .and_then(Extra::of)
            .unwrap_or_default();
        let about = About {
            signal: "notification",
            record_id: &self.id,
            source: &self.source,
            kind: &self.kind,
            priority: self.priority,
            status: STATUS,
        };
        metadata.insert("notification", written(&about));
        signal.with_metadata(metadata.to_data()).with_id(self.id)
    }
}

impl Default for NotificationPolicy {
    fn default() -> Self {
        Self {
            ways: [
                (IfActive::Persist, IfIdle::Persist),
                (IfActive::Persist, IfIdle::Wake),
                (IfActive::Deliver, IfIdle::Wake),
                (IfActive::Deliver, IfIdle::Wake),
            ],
            run: RunOptions::default(),
        }
    }
}

impl NotificationPolicy {
    /// An agent at work is told of what is high or urgent; it is woken by everything that is not low. The rest is kept for its next run.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of notifications of a priority.
    pub fn on(mut self, priority: Priority, if_active: IfActive, if_idle: IfIdle) -> Self {
        self.ways[priority as usize] = (if_active, if_idle);
        self
    }

    /// How a run is that a notification wakes.
    pub fn run(mut self, options: RunOptions) -> Self {
        self.run = options;
        self
    }
}

impl Threads {
    /// Says that something has happened elsewhere, as urgently as `policy` wants.
    ///
    /// There is no inbox: notifications are not gathered, summed up or put off as in the reference; each is a signal that is given,
    /// kept in the memory of the thread, or dropped at once.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub async fn send_notification(
        &self,
        agent: &str,
        thread: &ThreadId,
        notification: Notification,
        policy: NotificationPolicy,
    ) -> Result<Accepted> {
        let (if_active, if_idle) = policy.ways[notification.priority as usize];
        let options = SendOptions::new()
            .if_active(if_active)
            .if_idle(if_idle)
            .run(policy.run);
        let signal = notification.into_signal();
        self.send_signal(agent, thread, signal, options).await
    }
}
