//! One unsettled event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::Event;

use super::MemberId;
use crate::stream::StreamId;

/// An event for the group.
#[derive(Debug)]
pub(in crate::group) struct NewItem {
    /// The entry; `None` for an event that is of no stream.
    pub(in crate::group) id: Option<StreamId>,
    pub(in crate::group) event: Arc<Event>,
    /// Deliveries of the entry that the server counts, this one included.
    pub(in crate::group) counted: u32,
}

/// An event that a member did not do.
#[derive(Debug, Clone)]
pub(in crate::group) struct Refused {
    /// Names it to the work.
    pub(in crate::group) serial: u64,
    pub(in crate::group) id: Option<StreamId>,
    pub(in crate::group) event: Arc<Event>,
    /// Deliveries of the entry that the server counts.
    pub(in crate::group) counted: u32,
    /// Somebody else has taken the entry over.
    pub(in crate::group) lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In one of the queues.
    Queued,
    /// Set aside for a member that waits.
    Offered(MemberId),
    Held {
        member: MemberId,
        since: Instant,
        lease: Option<Duration>,
        deadline: Option<Instant>,
    },
    /// Refused; comes again later.
    Delayed,
    /// Refused; what follows from that is under way.
    Refused,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: Option<StreamId>,
    pub(super) event: Arc<Event>,
    pub(super) weight: usize,
    pub(super) counted: u32,
    /// How often it was handed out.
    pub(super) grant: u16,
    pub(super) place: Place,
    /// When the server last saw that we live.
    pub(super) renewed: Instant,
    pub(super) lost: bool,
}

impl Item {
    pub(super) fn new(new: NewItem, now: Instant) -> Self {
        Self {
            id: new.id,
            weight: new.event.weight(),
            event: new.event,
            counted: new.counted,
            grant: 0,
            place: Place::Queued,
            renewed: now,
            lost: false,
        }
    }

    pub(super) fn is_queued(&self) -> bool {
        self.place == Place::Queued
    }

    pub(super) fn refused(&self, serial: u64) -> Refused {
        Refused {
            serial,
            id: self.id,
            event: Arc::clone(&self.event),
            counted: self.counted,
            lost: self.lost,
        }
    }
}

/// Names one handing-out of one item: the number of the item, and which time it was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

impl Token {
    const GRANT_BITS: u32 = u16::BITS;

    pub(super) fn new(serial: u64, grant: u16) -> Self {
        Self(serial << Self::GRANT_BITS | u64::from(grant))
    }

    pub(super) fn parts(self) -> (u64, u16) {
        // The low bits are the grant.
        let grant = (self.0 & u64::from(u16::MAX)) as u16;
        (self.0 >> Self::GRANT_BITS, grant)
    }
}
