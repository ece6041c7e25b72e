//! A bus from its configuration.

use std::sync::Arc;

use bowline_events::{InProcessPubSub, PubSub, Result};
#[cfg(feature = "unix")]
use bowline_unix::UnixSocketPubSub;

use crate::{BusConfig, MemoryConfig, UnixConfig};

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
    Memory(InProcessPubSub),
    /// A bus of this host.
    #[cfg(feature = "unix")]
    Unix(UnixSocketPubSub),
}

impl OpenBus {
    /// Makes the bus that `config` describes.
    ///
    /// # Errors
    /// `InvalidInput` for a limit or a path that the bus does not accept; `Unsupported` for a kind of bus whose feature is off.
    pub fn open(config: &BusConfig) -> Result<Self> {
        match config {
            BusConfig::Memory(config) => Ok(Self::Memory(memory(config))),
            BusConfig::Unix(config) => unix(config),
        }
    }

    /// The bus.
    pub fn pubsub(&self) -> &dyn PubSub {
        match self {
            Self::Memory(bus) => bus,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => bus,
        }
    }

    /// The bus, to share.
    pub fn shared(&self) -> Arc<dyn PubSub> {
        match self {
            Self::Memory(bus) => Arc::new(bus.clone()),
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Arc::new(bus.clone()),
        }
    }

    /// Whether this process is the broker of the bus; `None` for a kind of bus without a broker.
    pub fn is_broker(&self) -> Option<bool> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Some(bus.is_broker()),
        }
    }

    /// Connections of other processes to this one, which are none unless it is the broker; `None` for a kind of bus without a
    /// broker.
    pub fn remote_clients(&self) -> Option<usize> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Some(bus.remote_client_count()),
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

#[cfg(feature = "unix")]
fn unix(config: &UnixConfig) -> Result<OpenBus> {
    let mut builder = UnixSocketPubSub::builder(&config.path);
    macro_rules! set {
        ($($option:ident),*) => {
            $(if let Some(value) = config.$option {
                builder = builder.$option(value);
            })*
        };
    }
    set!(
        max_frame_bytes,
        max_client_queue_bytes,
        high_watermark,
        send_window_bytes,
        membership_ack_timeout,
        publish_deadline,
        path_check_interval,
        flush_timeout,
        allow_group,
        reclaim_plain_file
    );
    builder.build().map(OpenBus::Unix)
}

#[cfg(not(feature = "unix"))]
fn unix(_config: &UnixConfig) -> Result<OpenBus> {
    use bowline_events::{Error, ErrorKind};

    Err(Error::new(
        ErrorKind::Unsupported,
        "open",
        "this program was built without unix buses; build it with the feature unix of bowline-runtime",
    ))
}
