//! A bus from its configuration.

use std::sync::Arc;

use bowline_events::{InProcessPubSub, PubSub, Result};

use crate::{BusConfig, MemoryConfig};

/// An opened bus: the contract, and what only its kind can tell.
///
/// Opening does not touch the file system; a bus starts when it is first used.
///
/// ```
/// use bowline_events::{NewEvent, PubSubExt, SubscribeOptions};
/// use bowline_runtime::{BusConfig, OpenBus};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// let bus = OpenBus::open(&BusConfig::from_url("memory:")?)?;
/// let mut orders = bus.pubsub().subscribe("orders", SubscribeOptions::new()).await?;
/// bus.pubsub().publish("orders", NewEvent::new("order.created", "run-1")).await?;
/// assert!(orders.next().await.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OpenBus {
    /// A bus of this process.
    Memory(Arc<InProcessPubSub>),
}

impl OpenBus {
    /// Makes the bus that `config` describes.
    ///
    /// # Errors
    /// `InvalidInput` for a limit that the bus does not accept; `Unsupported` for a kind of bus that was not compiled in.
    pub fn open(config: &BusConfig) -> Result<Self> {
        match config {
            BusConfig::Memory(config) => Ok(Self::Memory(Arc::new(memory(config)))),
            BusConfig::Unix(_) => Err(bowline_events::Error::new(
                bowline_events::ErrorKind::Unsupported,
                "open",
                "x",
            )),
        }
    }

    /// The bus.
    pub fn pubsub(&self) -> &dyn PubSub {
        match self {
            Self::Memory(bus) => &**bus,
        }
    }

    /// The bus, to share.
    pub fn shared(&self) -> Arc<dyn PubSub> {
        match self {
            Self::Memory(bus) => Arc::clone(bus) as _,
        }
    }

    /// Whether this process is the broker of the bus; `None` for a bus without one.
    pub fn is_broker(&self) -> Option<bool> {
        match self {
            Self::Memory(_) => None,
        }
    }

    /// Other processes that are connected to this one; `None` unless this process is the broker of a bus.
    pub fn remote_clients(&self) -> Option<usize> {
        match self {
            Self::Memory(_) => None,
        }
    }
}

fn memory(config: &MemoryConfig) -> InProcessPubSub {
    let mut builder = InProcessPubSub::builder();
    if let Some(bytes) = config.max_bytes {
        builder = builder.max_bytes(bytes);
    }
    if config.replay == Some(false) {
        builder = builder.no_replay();
    }
    builder.build()
}
