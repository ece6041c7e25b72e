//! The bus that a command works on.

use std::time::Duration;

use bowline_events::{OpFuture, PubSub};
use bowline_runtime::{BusConfig, CacheConfig, OpenBus, Settings, Sources, Stores};

use crate::args::BusArgs;
use crate::outcome::Failure;

/// How long a command that is done waits for the bus to let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What the flags, the environment and the file say.
pub(crate) fn settings(args: &BusArgs) -> Result<Settings, Failure> {
    Ok(sources(args).load()?)
}

/// The same, before it is read.
pub(crate) fn sources(args: &BusArgs) -> Sources {
    Sources::of_process()
        .flag(args.bus.as_deref())
        .cache_flag(args.cache.as_deref())
        .file(args.config.as_deref())
}

/// The bus of a command, and the stores that it needs.
pub(crate) struct Opened {
    bus: OpenBus,
    stores: Stores,
    /// Whether a cache keeps the events for processes that come later.
    pub(crate) is_kept: bool,
}

/// Opens the bus that is configured.
pub(crate) async fn open(args: &BusArgs) -> Result<Opened, Failure> {
    open_settings(&settings(args)?).await
}

/// Opens the bus of `settings`.
pub(crate) async fn open_settings(settings: &Settings) -> Result<Opened, Failure> {
    let is_kept = settings.cache().is_some_and(outlives_the_process);
    if matches!(settings.bus()?, BusConfig::Memory(_)) && !is_kept {
        note(
            "a memory bus ends with this process and no other process sees it; use unix:///absolute/path.sock to share one",
        );
    }
    let stores = Stores::new();
    let bus = OpenBus::of_settings_with(settings, &stores).await?;
    Ok(Opened {
        bus,
        stores,
        is_kept,
    })
}

fn outlives_the_process(cache: &CacheConfig) -> bool {
    match cache {
        CacheConfig::Memory(_) => false,
        CacheConfig::Sqlite(cache) => !cache.store.is_in_memory(),
        _ => true,
    }
}

impl Opened {
    pub(crate) fn pubsub(&self) -> &dyn PubSub {
        self.bus.pubsub()
    }

    /// Whether this process is the broker, and nobody else is on the bus.
    pub(crate) fn is_alone(&self) -> bool {
        self.bus.remote_clients() == Some(0) && self.bus.is_broker() == Some(true)
    }

    /// Closes the bus, then its stores, but does not wait for ever.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        let closed = close(self.pubsub()).await;
        let stores = OpFuture::new(self.stores.close());
        closed.and(within(stores, "close the store of the cache").await)
    }
}

/// Closes `bus`, but does not wait for ever.
pub(crate) async fn close(bus: &dyn PubSub) -> Result<(), Failure> {
    within(bus.close(), "close the bus").await
}

/// Waits for `operation` as long as a command that is done may.
pub(crate) async fn within(operation: OpFuture<'_, ()>, what: &str) -> Result<(), Failure> {
    match tokio::time::timeout(CLOSE_WITHIN, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::failed(format!(
            "could not {what} within {} s; look for a process that stands still with bowline doctor",
            CLOSE_WITHIN.as_secs()
        ))),
    }
}

/// Tells something that is no result and no failure.
pub(crate) fn note(message: impl std::fmt::Display) {
    eprintln!("bowline: note: {message}");
}
