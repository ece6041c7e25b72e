//! A bus from its configuration.

use std::sync::Arc;

use bowline_events::{Capabilities, PubSub, Result};

use crate::BusConfig;

/// An opened bus: the contract, and what only its kind can tell.
///
/// Opening does not touch the file system or the network; a bus starts when it is used first.
#[derive(Debug, Clone)]
pub struct OpenBus {
    pubsub: Arc<dyn PubSub>,
}
