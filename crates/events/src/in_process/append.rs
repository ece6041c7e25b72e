//! Events on their way into a log.

use std::sync::Arc;

use super::pressure::Pressure;
use super::topic::Wakes;
use crate::{Event, Text};

/// An event on its way into a log.
pub(super) enum Appendable {
    /// As it is.
    Ready(Arc<Event>),
    /// To get its position as index.
    Indexed(Event),
}

impl Appendable {
    pub(super) fn event(&self) -> &Event {
        match self {
            Self::Ready(event) => event,
            Self::Indexed(event) => event,
        }
    }

    pub(super) fn place(self, seq: u64, generation: &Text) -> Arc<Event> {
        match self {
            Self::Ready(event) => event,
            Self::Indexed(mut event) => {
                event.index = Some(seq);
                event.generation = Some(generation.clone());
                Arc::new(event)
            }
        }
    }
}

/// The result of an append.
pub(super) struct Appended {
    pub(super) seq: u64,
    pub(super) pressure: Option<Pressure>,
    /// The incarnation of the log, where the event was indexed.
    pub(super) generation: Option<Text>,
    /// To be fired when no lock of the bus is held.
    pub(super) wakes: Wakes,
}
