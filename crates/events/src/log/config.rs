//! The limits of a log.

use std::time::Duration;

use crate::{Retention, TopicFamily};

/// How often and how late a refused event is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redelivery {
    /// Deliveries of one event to one group at most, the first included; `None`: no cap.
    pub max_deliveries: Option<u32>,
    /// The k-th redelivery comes `delay_step * k` after the refusal.
    pub delay_step: Duration,
}

impl Redelivery {
    /// At most `max_deliveries` deliveries, the k-th redelivery after `delay_step * k`.
    pub const fn new(max_deliveries: Option<u32>, delay_step: Duration) -> Self {
        Self {
            max_deliveries,
            delay_step,
        }
    }

    pub(super) fn delay(&self, attempt: u32) -> Duration {
        self.delay_step.saturating_mul(attempt)
    }
}

impl Default for Redelivery {
    /// Sixteen deliveries, without delay.
    fn default() -> Self {
        Self::new(Some(16), Duration::ZERO)
    }
}

/// How far attached readers may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Unread events at which publishers are slowed.
    pub events: usize,
    /// Unread bytes at which publishers are slowed.
    pub bytes: usize,
    /// Bytes that a group has not been given yet at which publishers are slowed: a queue of work may be longer.
    pub group_bytes: usize,
    /// Unread bytes kept for attached readers at most; a reader further behind gets a `Truncated` notice.
    pub max_bytes: usize,
    /// How long one publish waits for readers at most.
    pub max_delay: Duration,
    /// A reader that has not read for this long is stalled: publishers wait for it no longer until it reads again.
    pub stall_after: Duration,
}

impl Default for Backlog {
    /// Publishers are slowed from 1,024 events or 1 MiB on (8 MiB for a group), by at most 25 ms each; a reader stalls after
    /// 1 s; at most 64 MiB are kept unread.
    fn default() -> Self {
        Self {
            events: 1024,
            bytes: 1024 * 1024,
            group_bytes: 8 * 1024 * 1024,
            max_bytes: 64 * 1024 * 1024,
            max_delay: Duration::from_millis(25),
            stall_after: Duration::from_secs(1),
        }
    }
}

/// The limits of one [`TopicLog`](super::TopicLog).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogConfig {
    /// What is kept for readers that come later.
    pub retention: Retention,
    /// Refuse to append, instead of dropping work that a group has not taken, when the retention is reached.
    pub refuse_when_full: bool,
    /// How far attached readers may be behind.
    pub backlog: Backlog,
    /// Redelivery to groups.
    pub redelivery: Redelivery,
    /// Events that one member of a group may hold unsettled.
    pub group_window: usize,
}

impl LogConfig {
    /// The defaults for topics of `family`.
    pub fn for_family(family: TopicFamily) -> Self {
        Self {
            retention: family.retention(),
            refuse_when_full: family.refuses_when_full(),
            backlog: Backlog::default(),
            redelivery: Redelivery::default(),
            group_window: 64,
        }
    }
}
