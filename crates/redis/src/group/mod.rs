//! Competing consumers.

use std::sync::Arc;

use bowline_events::{Event, Result, SubscribeOptions, Subscription, Text, Topic};

use crate::bus::Bus;

/// The groups that this process has members of.
#[derive(Debug)]
pub(crate) struct Groups {
    bus: Arc<Bus>,
}

impl Groups {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self { bus }
    }

    pub(crate) async fn subscribe(
        &self,
        topic: &Topic,
        _group: &Text,
        _options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.bus.check("subscribe", topic)?;
        Err(bowline_events::Error::new(
            bowline_events::ErrorKind::Unsupported,
            "subscribe",
            "soon",
        ))
    }

    pub(crate) async fn deliver_locally(&self, _topic: &Topic, _event: &Event) -> Result<()> {
        Ok(())
    }

    /// Waits until all settlements made before have reached the server.
    pub(crate) async fn settled(&self) {}

    pub(crate) async fn close(&self) {}
}
