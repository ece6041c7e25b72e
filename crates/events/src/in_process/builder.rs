//! The settings of the in-process bus.

use super::InProcessPubSub;
use crate::log::{Backlog, LogConfig, Redelivery};
use crate::{Retention, Topic, TopicFamily};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    retention: Vec<(TopicFamily, Retention)>,
    pub(super) redelivery: Redelivery,
    backlog: Backlog,
    pub(super) fanout_redelivery: bool,
    pub(super) max_bytes: usize,
    group_window: usize,
    pub(super) dead_letters: Option<Topic>,
}

impl Settings {
    pub(super) fn log_config(&self, family: TopicFamily) -> LogConfig {
        LogConfig {
            retention: self.retention(family),
            refuse_when_full: family.refuses_when_full() && !self.keeps_nothing(family),
            backlog: self.backlog,
            redelivery: self.redelivery,
            group_window: self.group_window,
        }
    }

    pub(super) fn retention(&self, family: TopicFamily) -> Retention {
        self.retention
            .iter()
            .rev()
            .find(|(other, _)| *other == family)
            .map_or_else(|| family.retention(), |(_, retention)| *retention)
    }

    pub(super) fn keeps_nothing(&self, family: TopicFamily) -> bool {
        self.retention(family).events == 0
    }

    pub(super) fn replays(&self) -> bool {
        TopicFamily::ALL
            .iter()
            .any(|family| !self.keeps_nothing(*family))
    }
}

/// Sets up an [`InProcessPubSub`].
#[derive(Debug, Clone)]
#[must_use = "call build"]
pub struct InProcessPubSubBuilder(Settings);

impl Default for InProcessPubSubBuilder {
    fn default() -> Self {
        Self(Settings {
            retention: Vec::new(),
            redelivery: Redelivery::default(),
            backlog: Backlog::default(),
            fanout_redelivery: false,
            max_bytes: 512 * 1024 * 1024,
            group_window: 64,
            dead_letters: None,
        })
    }
}

impl InProcessPubSubBuilder {
    /// Keeps events of `family` as `retention` says.
    pub fn retention(mut self, family: TopicFamily, retention: Retention) -> Self {
        self.0.retention.push((family, retention));
        self
    }

    /// Keeps nothing for later readers: events stay only until the attached readers have read them.
    pub fn no_replay(self) -> Self {
        TopicFamily::ALL.into_iter().fold(self, |builder, family| {
            builder.retention(family, Retention::NONE)
        })
    }

    /// How often and how late refused events come again.
    pub fn redelivery(mut self, redelivery: Redelivery) -> Self {
        self.0.redelivery = redelivery;
        self
    }

    /// Whether a nack by an ungrouped subscriber brings the event to it again. Off by default, as in the reference.
    pub fn fanout_redelivery(mut self, on: bool) -> Self {
        self.0.fanout_redelivery = on;
        self
    }

    /// How far attached readers may be behind.
    pub fn backlog(mut self, backlog: Backlog) -> Self {
        self.0.backlog = backlog;
        self
    }

    /// Bytes that all topics together may keep, 512 MiB by default. Beyond it histories that nobody reads are dropped, the
    /// longest untouched first.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.0.max_bytes = bytes;
        self
    }

    /// Events that one member of a group may hold unsettled, 64 by default.
    pub fn group_window(mut self, events: usize) -> Self {
        self.0.group_window = events.max(1);
        self
    }

    /// Where events go that a group refused as often as it may. Without it they are logged and dropped.
    pub fn dead_letters(mut self, topic: impl Into<Topic>) -> Self {
        self.0.dead_letters = Some(topic.into());
        self
    }

    /// Makes the bus.
    pub fn build(self) -> InProcessPubSub {
        InProcessPubSub::from_settings(self.0)
    }
}
