//! What all parts of a bus share: settings, the connection for commands, names and counters.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use bowline_events::{Error, ErrorKind, Result, Topic};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::publish::Recoveries;
use crate::settings::Settings;
use crate::stream::StreamCommands;
use crate::tickets::{Ticket, Tickets};
use crate::wire::{Client, Connect, Failure, Link, LinkOptions};

/// What all parts of a bus share.
#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) settings: Settings,
    pub(crate) client: Arc<Client>,
    /// For everything but blocking reads.
    pub(crate) link: Link,
    pub(crate) counters: Counters,
    pub(crate) recoveries: Recoveries,
    /// Publishes that are not resolved yet.
    publishes: Tickets,
    closed: AtomicBool,
}

impl Bus {
    pub(crate) fn new(client: Client, settings: Settings) -> Self {
        let client = Arc::new(client);
        let connector: Arc<dyn Connect> = Arc::clone(&client) as Arc<dyn Connect>;
        let options = LinkOptions {
            patience: settings.publish_timeout,
        };
        Self {
            link: Link::new(connector, options),
            client,
            settings,
            counters: Counters::default(),
            recoveries: Recoveries::default(),
            publishes: Tickets::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The commands on the stream of `topic`.
    pub(crate) fn stream(&self, topic: &str) -> StreamCommands<'_> {
        StreamCommands::new(&self.settings, topic)
    }

    /// Refuses work on a closed bus, and topics that cannot be.
    pub(crate) fn check(&self, operation: &'static str, topic: &Topic) -> Result<()> {
        if self.is_closed() {
            let message = "the bus was closed; make a new one";
            return Err(Error::new(ErrorKind::Closed, operation, message).with_subject(topic));
        }
        self.settings.check_topic(operation, topic)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Refuses new work from now on. Whether it was open before.
    pub(crate) fn start_closing(&self) -> bool {
        !self.closed.swap(true, Relaxed)
    }

    /// The error of a failed command; that of a closed bus when that is the reason.
    pub(crate) fn error(
        &self,
        failure: Failure,
        operation: &'static str,
        command: &str,
        subject: &str,
    ) -> Error {
        if self.is_closed() && matches!(failure, Failure::Unreachable(_)) {
            let message = "the bus was closed; make a new one";
            return Error::new(ErrorKind::Closed, operation, message).with_subject(subject);
        }
        failure.into_error(operation, command, Some(subject))
    }

    /// Counts a publish until the guard is dropped.
    pub(crate) fn publishing(&self) -> Ticket<&Tickets> {
        Tickets::draw(&self.publishes)
    }

    /// Publishes that are not resolved yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.publishes.out()
    }

    /// Waits until every publish is resolved that was begun before this call.
    pub(crate) async fn settled(&self) {
        self.publishes.settled().await;
    }
}

/// What happened on the bus, for operators.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) malformed: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) reclaimed: AtomicU64,
    pub(crate) duplicates: AtomicU64,
}

/// Counts of what happened on a bus since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RedisStats {
    /// Entries that hold no event: they were acknowledged, and dead-lettered where a topic for that is set.
    pub malformed: u64,
    /// Events and entries that were written to the topic for dead letters.
    pub dead_lettered: u64,
    /// Events that were refused as often as they may and dropped, for want of a topic for dead letters.
    pub dropped: u64,
    /// Entries taken over from members that showed no sign of life.
    pub reclaimed: u64,
    /// Copies of the same delivery that were left out.
    pub duplicates: u64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> RedisStats {
        RedisStats {
            malformed: self.malformed.load(Relaxed),
            dead_lettered: self.dead_lettered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            reclaimed: self.reclaimed.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
        }
    }
}

/// A name that no other process has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4())
}

/// Where background work runs.
pub(crate) fn runtime(operation: &'static str) -> Result<Handle> {
    Handle::try_current().map_err(|error| {
        let message = "there is no Tokio runtime here; call this inside of one";
        Error::new(ErrorKind::Unsupported, operation, message).with_source(error)
    })
}
