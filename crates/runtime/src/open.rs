//! A bus from its configuration.

use std::sync::Arc;

use bowline_events::{CachingPubSub, InProcessPubSub, PubSub, Result};
#[cfg(feature = "redis")]
use bowline_redis::RedisStreamsPubSub;
#[cfg(feature = "unix")]
use bowline_unix::UnixSocketPubSub;

use crate::{BusConfig, CacheConfig, MemoryConfig, Settings, Stores, UnixConfig, open_redis};

/// An opened bus: the contract, and what only its kind can tell.
///
/// Opening touches neither network nor file system, except that a file of certificates is read; a bus starts when it is first
/// used. Only the store of a cache (`sqlite:`, `postgres://`) is opened at once, so that what is wrong with it is told before the
/// first event.
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
    /// A bus of all hosts that reach one server.
    #[cfg(feature = "redis")]
    Redis(RedisStreamsPubSub),
    /// A bus whose topics can be resumed, because a cache keeps their history.
    Cached {
        /// The caching layer, which is the bus to use.
        bus: CachingPubSub,
        /// The bus below it.
        inner: Box<OpenBus>,
    },
}

impl OpenBus {
    /// Makes the bus that `config` describes.
    ///
    /// # Errors
    /// `InvalidInput` for a limit, a path or a file that the bus does not accept; `Unsupported` for a kind of bus whose feature is off.
    pub fn open(config: &BusConfig) -> Result<Self> {
        match config {
            BusConfig::Memory(config) => Ok(Self::Memory(memory(config))),
            BusConfig::Unix(config) => unix(config),
            BusConfig::Redis(config) => open_redis::bus(config),
        }
    }

    /// Makes the bus that `config` describes, with `cache` in front of it.
    ///
    /// # Errors
    /// As [`open`](Self::open), and as [`open_cache`](crate::open_cache).
    pub async fn open_cached(config: &BusConfig, cache: &CacheConfig) -> Result<Self> {
        Self::cached_with(config, cache, &Stores::new()).await
    }

    /// Makes the bus that the sources name, with a cache in front of it if they name one.
    ///
    /// # Errors
    /// As [`Settings::bus`] and [`open_cached`](Self::open_cached).
    pub async fn of_settings(settings: &Settings) -> Result<Self> {
        Self::of_settings_with(settings, &Stores::new()).await
    }

    /// The same; a cache in a store takes it from `stores`, where others can share it. Open the store of the settings before.
    ///
    /// ```
    /// use bowline_runtime::{OpenBus, Sources, Stores};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> bowline_events::Result<()> {
    /// let settings = Sources::new().flag(Some("memory:")).store_flag(Some("memory:")).load()?;
    /// let stores = Stores::new();
    /// if let Some(store) = settings.store() {
    ///     let store = stores.open(store).await?;
    ///     # drop(store);
    /// }
    /// let bus = OpenBus::of_settings_with(&settings, &stores).await?;
    /// bus.pubsub().close().await?;
    /// // Last, because the histories are in there.
    /// stores.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Settings::bus`], [`open`](Self::open) and [`Stores::open_cache`].
    pub async fn of_settings_with(settings: &Settings, stores: &Stores) -> Result<Self> {
        let config = settings.bus()?;
        match settings.cache() {
            Some(cache) => Self::cached_with(config, cache, stores).await,
            None => Self::open(config),
        }
    }

    async fn cached_with(config: &BusConfig, cache: &CacheConfig, stores: &Stores) -> Result<Self> {
        let inner = Box::new(Self::open(config)?);
        let bus = CachingPubSub::new(inner.shared(), stores.open_cache(cache).await?);
        Ok(Self::Cached { bus, inner })
    }

    /// The bus.
    pub fn pubsub(&self) -> &dyn PubSub {
        match self {
            Self::Memory(bus) => bus,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => bus,
            #[cfg(feature = "redis")]
            Self::Redis(bus) => bus,
            Self::Cached { bus, .. } => bus,
        }
    }

    /// The bus, to share.
    pub fn shared(&self) -> Arc<dyn PubSub> {
        match self {
            Self::Memory(bus) => Arc::new(bus.clone()),
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Arc::new(bus.clone()),
            #[cfg(feature = "redis")]
            Self::Redis(bus) => Arc::new(bus.clone()),
            Self::Cached { bus, .. } => Arc::new(bus.clone()),
        }
    }

    /// Whether this process is the broker of the bus; `None` for a kind of bus without a broker.
    pub fn is_broker(&self) -> Option<bool> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Some(bus.is_broker()),
            Self::Cached { inner, .. } => inner.is_broker(),
        }
    }

    /// Connections of other processes to this one, which are none unless it is the broker; `None` for a kind of bus without a
    /// broker.
    pub fn remote_clients(&self) -> Option<usize> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
            #[cfg(feature = "unix")]
            Self::Unix(bus) => Some(bus.remote_client_count()),
            Self::Cached { inner, .. } => inner.remote_clients(),
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
