//! Logs: lists of entries that only grow at their end and shrink at their beginning.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bytes::Bytes;

use crate::Table;

/// The name of a log. Logs and records of one table have names of their own and do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogName {
    /// The kind of the log.
    pub table: Table,
    /// Its name, unique among the logs of the table.
    pub key: Text,
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its position, counted from 0.
    pub position: u64,
    /// When it was appended; never earlier than the entry before it.
    pub at: Timestamp,
    /// The content.
    pub body: Bytes,
}

/// The state of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogInfo {
    /// The position of the oldest entry that is kept; equal to `end` when none is.
    pub first: u64,
    /// The position that the next entry will get.
    pub end: u64,
    /// Bytes of the entries that are kept.
    pub bytes: u64,
    /// The number of the commit that began this log. A log that was dropped and begins anew has another one.
    pub born: u64,
    /// When the last entry was appended.
    pub updated: Timestamp,
}

/// A part of a log, and the log's state at the same instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The entries in order, without a gap.
    pub entries: Vec<LogEntry>,
    /// The state of the log; `None` if there is no such log.
    pub info: Option<LogInfo>,
}

/// How much of a log stays when it is trimmed: the newest entries that fit all limits. The default keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// Entries from this position on.
    pub from: Option<u64>,
    /// At most this many entries.
    pub entries: Option<u64>,
    /// At most this many bytes of entries; not even the newest entry stays if it alone is larger.
    pub bytes: Option<u64>,
    /// Entries that are not older than this, at the time of the commit.
    pub age: Option<Duration>,
}

impl Keep {
    /// Keeps the entries from `position` on.
    pub fn starting_at(position: u64) -> Self {
        Self {
            from: Some(position),
            ..Self::default()
        }
    }

    /// The same, and at most `entries` entries.
    #[must_use]
    pub fn entries(mut self, entries: u64) -> Self {
        self.entries = Some(entries);
        self
    }

    /// The same, and at most `bytes` bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The same, and nothing older than `age`.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// The oldest position that `from` and `entries` let stay, in a log from `first` to `end`.
    pub(crate) fn floor(&self, first: u64, end: u64) -> u64 {
        let by_count = self
            .entries
            .map_or(first, |entries| end.saturating_sub(entries));
        let by_position = self.from.unwrap_or(first);
        by_count.max(by_position).clamp(first, end)
    }

    /// The instant before which entries go, in a commit at `now`.
    pub(crate) fn oldest(&self, now: Timestamp) -> Option<Timestamp> {
        let age = i64::try_from(self.age?.as_millis()).unwrap_or(i64::MAX);
        Some(Timestamp::from_millis(now.as_millis().saturating_sub(age)))
    }
}
