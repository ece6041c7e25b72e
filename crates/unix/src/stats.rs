//! What a participant has been through.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the bus was made. Nothing that is dropped goes uncounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Times that this process became the broker.
    pub promotions: u64,
    /// Times that it connected to a broker.
    pub connections: u64,
    /// Times that it lost its broker or its role.
    pub failovers: u64,
    /// Clients that were cut off because they did not read what they were sent.
    pub kicked_clients: u64,
    /// Connections of other users, and lines longer than the limit, that were cut off.
    pub refused_connections: u64,
    /// Lines that were not frames.
    pub malformed_frames: u64,
    /// Events that were not passed on: a Node process would not survive them, they are too large, or four brokers in a row ended
    /// the connection over one of our own.
    pub rejected_events: u64,
    /// Frames that were sent again to the next broker because the last one had not taken them.
    pub resent_frames: u64,
    /// Events that this broker gave to memberships that came back after a failover.
    pub recovered_events: u64,
    /// Events that came twice and were delivered once.
    pub duplicates: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) promotions: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) failovers: AtomicU64,
    pub(crate) kicked_clients: AtomicU64,
    pub(crate) refused_connections: AtomicU64,
    pub(crate) malformed_frames: AtomicU64,
    pub(crate) rejected_events: AtomicU64,
    pub(crate) resent_frames: AtomicU64,
    pub(crate) recovered_events: AtomicU64,
    pub(crate) duplicates: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            promotions: get(&self.promotions),
            connections: get(&self.connections),
            failovers: get(&self.failovers),
            kicked_clients: get(&self.kicked_clients),
            refused_connections: get(&self.refused_connections),
            malformed_frames: get(&self.malformed_frames),
            rejected_events: get(&self.rejected_events),
            resent_frames: get(&self.resent_frames),
            recovered_events: get(&self.recovered_events),
            duplicates: get(&self.duplicates),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}
