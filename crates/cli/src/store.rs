//! The store that a command works on, with an engine that looks and steers but runs no steps.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{InProcessPubSub, OpFuture, PubSub};
use bowline_runtime::{BusConfig, OpenBus, Settings, StoreConfig, Stores};
use bowline_workflow::Engine;
use tokio::time::timeout;

use crate::args::StoreArgs;
use crate::bus::{self, within};
use crate::outcome::Failure;

/// How long the store has to answer the first question.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What a command needs beside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Store,
    /// The bus, to tell the workers or to hear from them, if one is configured.
    Bus,
}

/// An engine on the store that is configured.
pub(crate) struct Workplace {
    pub(crate) engine: Engine,
    bus: Arc<dyn PubSub>,
    stores: Stores,
    /// Whether the bus reaches the workers, as far as the configuration tells.
    pub(crate) is_shared: bool,
}

impl Workplace {
    /// Opens the store, which has to be there, and the bus if it is needed.
    pub(crate) async fn open(args: &StoreArgs, need: Need) -> Result<Self, Failure> {
        let sources = bus::sources(&args.bus).store_flag(args.store.as_deref());
        let settings = sources.load()?;
        let config = require(&settings)?;
        check(config).await?;
        let stores = Stores::new();
        let store = stores.open(config).await?;
        let (bus, is_shared) = match need {
            Need::Store => (in_process(), false),
            Need::Bus => open_bus(&settings, &stores).await?,
        };
        let engine = Engine::builder(store, Arc::clone(&bus)).workers(false);
        Ok(Self {
            engine: engine.start().await?,
            bus,
            stores,
            is_shared,
        })
    }

    pub(crate) fn bus(&self) -> &dyn PubSub {
        &*self.bus
    }

    /// Closes everything, but does not wait for ever.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.engine.close().await;
        let closed = bus::close(&*self.bus).await;
        let stores = OpFuture::new(self.stores.close());
        closed.and(within(stores, "close the store").await)
    }
}

fn in_process() -> Arc<dyn PubSub> {
    Arc::new(InProcessPubSub::new())
}

/// The bus that is configured, and whether it reaches other processes; one of this process if there is none.
async fn open_bus(
    settings: &Settings,
    stores: &Stores,
) -> Result<(Arc<dyn PubSub>, bool), Failure> {
    // Only a bus that was named has an origin.
    if settings.origin().is_none() {
        return Ok((in_process(), false));
    }
    let is_shared = !matches!(settings.bus()?, BusConfig::Memory(_));
    let bus = OpenBus::of_settings_with(settings, stores).await?;
    Ok((bus.shared(), is_shared))
}

/// The store that is configured.
pub(crate) fn require(settings: &Settings) -> Result<&StoreConfig, Failure> {
    settings.store().ok_or_else(|| {
        Failure::usage(
            "no store is configured: give --store sqlite:app.db, or set BOWLINE_STORE, or write store = \"...\" into bowline.toml",
        )
    })
}

/// Refuses a store that is not there: opening it would make an empty one, and hide a wrong path.
pub(crate) async fn check(config: &StoreConfig) -> Result<(), Failure> {
    let is_in_memory = match config {
        StoreConfig::Memory => true,
        StoreConfig::Sqlite(config) => config.is_in_memory(),
        _ => false,
    };
    if is_in_memory {
        return Err(Failure::usage(format!(
            "{config} is in the memory of one process, which is this one; name the store that the workers have, such as sqlite:app.db"
        )));
    }
    match timeout(ANSWER_WITHIN, config.inspect()).await {
        Ok(Ok(Some(_))) => Ok(()),
        Ok(Ok(None)) => Err(Failure::failed(format!(
            "there is no store at {config} yet; check the path or the database, or start a program that has it first"
        ))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::failed(format!(
            "{config} did not answer within {} s; look at it with bowline doctor --store",
            ANSWER_WITHIN.as_secs()
        ))),
    }
}
