//! What happens in a thread, for its readers.

use bowline_events::Text;

use crate::chunk::RawChunk;

/// What happens in a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ThreadEvent {
    /// A run begins.
    Began,
    /// A piece of its stream, in the form of [`Chunk`](crate::Chunk).
    Part(RawChunk),
    /// It waits for somebody. It goes on later.
    Suspended,
    /// It has ended by itself.
    Completed,
    /// Somebody has stopped it.
    Aborted,
    /// It has failed; the reason.
    Failed(String),
    /// What was seen of it does not count: it begins anew, or not at all.
    Discarded,
    /// Whoever tells of it is gone or silent. If it comes back, it goes on under `Began` where it was; if somebody else goes on with
    /// it, `Discarded` comes first.
    Lost,
}

impl ThreadEvent {
    /// Whether it is the last of its run, as it is told now.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Began | Self::Part(_) | Self::Suspended)
    }
}

/// Something that happens in a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ThreadItem {
    /// The run.
    pub run_id: Text,
    /// Names this telling of the run.
    pub stream_id: Text,
    /// What happens.
    pub event: ThreadEvent,
}
