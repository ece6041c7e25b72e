//! What a log says to its owner.

use crate::Truncated;

/// Names an ungrouped reader of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReaderId(pub(super) u64);

/// Names a group of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub(super) u64);

/// Names a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId {
    /// The group.
    pub group: GroupId,
    pub(super) member: u64,
}

/// Why an append was refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The log was closed.
    Closed,
    /// The retention is reached and a group has not taken the oldest events yet.
    Full,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// So many events.
    Some(usize),
    /// Nothing now.
    Empty,
    /// Events were trimmed before they were read; reading goes on at `first`.
    Truncated(Truncated),
    /// The topic was cleared; reading goes on at the start of the new generation.
    Cleared,
    /// The log is closed and everything was read.
    End,
    /// There is no such reader or member.
    Gone,
}

/// Sizes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Events kept.
    pub events: usize,
    /// Bytes kept.
    pub bytes: usize,
    /// The oldest kept position.
    pub first: u64,
    /// The next position.
    pub end: u64,
    /// Ungrouped readers.
    pub readers: usize,
    /// Members of all groups.
    pub members: usize,
    /// Grouped events that are handed out or wait for a redelivery.
    pub unsettled: usize,
    /// Counts how often the topic was cleared.
    pub generation: u64,
}
