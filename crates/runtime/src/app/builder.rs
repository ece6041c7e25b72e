//! Setting up an application.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{CachingPubSub, Error, ErrorKind, Result};
use bowline_store::{Store, StoreCache};
use bowline_workflow::schedule::{Declared, Scheduler};
use bowline_workflow::{Engine, Workflow};

use super::Bowline;
use crate::{BusConfig, CacheConfig, MemoryConfig, OpenBus, Settings, StoreConfig, Stores};

/// Sets up a [`Bowline`].
#[derive(Debug, Default)]
#[must_use = "an application is made by `start`"]
pub struct BowlineBuilder {
    bus: Source<BusConfig>,
    cache: Source<CacheConfig>,
    store: Source<StoreConfig>,
    no_cache: bool,
    workflows: Vec<Workflow>,
    schedules: Vec<Declared>,
    name: Option<String>,
    idle: bool,
    max_runs: Option<usize>,
    lease: Option<Duration>,
    watch_retention: Option<Duration>,
    run_retention: Option<Duration>,
}

/// A part of the configuration, as it was given.
#[derive(Debug, Default)]
enum Source<T> {
    #[default]
    Default,
    Url(String),
    Config(T),
}

impl<T> Source<T> {
    fn read(self, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        match self {
            Self::Default => Ok(None),
            Self::Url(url) => parse(&url).map(Some),
            Self::Config(config) => Ok(Some(config)),
        }
    }
}

impl BowlineBuilder {
    /// The bus, by its URL; `memory:` unless set.
    pub fn bus(mut self, url: impl Into<String>) -> Self {
        self.bus = Source::Url(url.into());
        self
    }

    /// The bus.
    pub fn bus_config(mut self, config: BusConfig) -> Self {
        self.bus = Source::Config(config);
        self
    }

    /// The cache that makes topics resumable, by its URL. Unless set, histories are kept in the store, if that survives the
    /// process, and otherwise by the bus, if it can.
    pub fn cache(mut self, url: impl Into<String>) -> Self {
        self.cache = Source::Url(url.into());
        self
    }

    /// The cache that makes topics resumable.
    pub fn cache_config(mut self, config: CacheConfig) -> Self {
        self.cache = Source::Config(config);
        self
    }

    /// No cache: only what the bus itself keeps can be resumed.
    pub fn no_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// The store of runs and schedules, by its URL; `memory:`, which survives nothing, unless set.
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Source::Url(url.into());
        self
    }

    /// The store of runs and schedules.
    pub fn store_config(mut self, config: StoreConfig) -> Self {
        self.store = Source::Config(config);
        self
    }

    /// Bus, cache and store as `settings` name them; what they do not name stays.
    pub fn settings(mut self, settings: &Settings) -> Self {
        if let Ok(bus) = settings.bus() {
            self.bus = Source::Config(bus.clone());
        }
        if let Some(cache) = settings.cache() {
            self.cache = Source::Config(cache.clone());
        }
        if let Some(store) = settings.store() {
            self.store = Source::Config(store.clone());
        }
        self
    }

    /// A workflow whose runs it starts and works on.
    pub fn workflow(mut self, workflow: impl Into<Workflow>) -> Self {
        self.workflows.push(workflow.into());
        self
    }

    /// A schedule that is to exist, as declared, while this application is deployed. Needs a [`name`](Self::name).
    pub fn schedule(mut self, schedule: Declared) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// What the application is called. Its declared schedules belong to it: one that is not declared any more is deleted, those
    /// of other names are left alone.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether it runs steps and fires schedules (the default), or leaves that to other processes on the same store.
    pub fn workers(mut self, workers: bool) -> Self {
        self.idle = !workers;
        self
    }

    /// How many runs it works on at a time; as [`EngineBuilder::max_runs`](bowline_workflow::EngineBuilder::max_runs).
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.max_runs = Some(runs);
        self
    }

    /// How long others wait before they take over from a process that is silent; as
    /// [`EngineBuilder::lease`](bowline_workflow::EngineBuilder::lease).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long the events of a run are kept after its end; as
    /// [`EngineBuilder::watch_retention`](bowline_workflow::EngineBuilder::watch_retention).
    pub fn watch_retention(mut self, retention: Duration) -> Self {
        self.watch_retention = Some(retention);
        self
    }

    /// How long a run is kept after its end; as
    /// [`EngineBuilder::run_retention`](bowline_workflow::EngineBuilder::run_retention).
    pub fn run_retention(mut self, retention: Duration) -> Self {
        self.run_retention = Some(retention);
        self
    }

    /// Opens store and bus, starts the workers, and brings the declared schedules in order. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a definition that is none, and for schedules without a name; what opening bus and store
    /// says.
    pub async fn start(self) -> Result<Bowline> {
        if !self.schedules.is_empty() && self.name.is_none() {
            let message =
                "schedules are declared, and the application has no name; give it one with `name`";
            return Err(Error::new(ErrorKind::InvalidInput, "start", message));
        }
        let stores = Stores::new();
        let store_config = self
            .store
            .read(StoreConfig::from_url)?
            .unwrap_or(StoreConfig::Memory);
        let bus_config = self.bus.read(BusConfig::from_url)?;
        let cache_config = self.cache.read(CacheConfig::from_url)?;
        let store = stores.open(&store_config).await?;
        let bus_config = bus_config.unwrap_or_else(|| BusConfig::Memory(MemoryConfig::default()));
        let bus = OpenBus::open(&bus_config)?;
        let bus = match cache_config {
            _ if self.no_cache => bus,
            Some(cache) => cached(bus, stores.open_cache(&cache).await?),
            None if store_config == StoreConfig::Memory => bus,
            None => cached(bus, Arc::new(StoreCache::new(Arc::clone(&store)))),
        };
        let mut engine = Engine::builder(Arc::clone(&store), bus.shared()).workers(!self.idle);
        for workflow in self.workflows {
            engine = engine.workflow(workflow);
        }
        if let Some(runs) = self.max_runs {
            engine = engine.max_runs(runs);
        }
        if let Some(lease) = self.lease {
            engine = engine.lease(lease);
        }
        if let Some(retention) = self.watch_retention {
            engine = engine.watch_retention(retention);
        }
        if let Some(retention) = self.run_retention {
            engine = engine.run_retention(retention);
        }
        let engine = engine.start().await?;
        if let Some(name) = &self.name {
            engine.schedules().sync(name, &self.schedules).await?;
        }
        let scheduler = match self.idle {
            true => None,
            false => Some(Arc::new(schedule(&store, &engine)?)),
        };
        Ok(Bowline {
            bus,
            store,
            stores,
            engine,
            scheduler,
        })
    }
}

fn schedule(store: &Arc<dyn Store>, engine: &Engine) -> Result<Scheduler> {
    Ok(Scheduler::builder(Arc::clone(store), engine.launcher()).start()?)
}

fn cached(bus: OpenBus, cache: Arc<dyn bowline_events::EventCache>) -> OpenBus {
    let inner = Box::new(bus);
    let bus = CachingPubSub::new(inner.shared(), cache).cache_run_local();
    OpenBus::Cached { bus, inner }
}
