//! Ungrouped subscribers.

use std::sync::Arc;

use bowline_events::{Event, Result, SubscribeOptions, Subscription, Topic};

use crate::bus::Bus;

/// The ungrouped subscribers of a process, on one connection.
#[derive(Debug)]
pub(crate) struct FanOut {
    bus: Arc<Bus>,
}

impl FanOut {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self { bus }
    }

    pub(crate) async fn subscribe(
        &self,
        topic: &Topic,
        _options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.bus.check("subscribe", topic)?;
        Err(bowline_events::Error::new(
            bowline_events::ErrorKind::Unsupported,
            "subscribe",
            "soon",
        ))
    }

    pub(crate) async fn deliver_locally(&self, _topic: &Topic, _event: Event) -> Result<()> {
        Ok(())
    }

    pub(crate) async fn close(&self) {}
}
