//! Setting up an application.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "agent")]
use bowline_agent::{DurableAgentBuilder, threads::NotificationPolicy};
use bowline_events::{CachingPubSub, Error, ErrorKind, EventCache, PubSub, Result};
use bowline_store::{Store, StoreCache};
use bowline_workflow::schedule::{Declared, Scheduler};
use bowline_workflow::{Engine, EngineBuilder, Workflow};

use super::Bowline;
#[cfg(feature = "agent")]
use super::agents;
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
    #[cfg(feature = "agent")]
    agents: Vec<DurableAgentBuilder>,
    #[cfg(feature = "agent")]
    notifications: agents::NotificationOptions,
    schedules: Vec<Declared>,
    name: Option<String>,
    engine: EngineOptions,
}

/// What is said of every engine of the application.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EngineOptions {
    idle: bool,
    max_runs: Option<usize>,
    lease: Option<Duration>,
    poll: Option<Duration>,
    drain: Option<Duration>,
    watch_retention: Option<Duration>,
    run_retention: Option<Duration>,
}

impl EngineOptions {
    /// An engine on `store` and `bus`.
    pub(super) fn builder(&self, store: &Arc<dyn Store>, bus: Arc<dyn PubSub>) -> EngineBuilder {
        let mut engine = Engine::builder(Arc::clone(store), bus).workers(!self.idle);
        macro_rules! set {
            ($($option:ident),*) => {
                $(if let Some(value) = self.$option {
                    engine = engine.$option(value);
                })*
            };
        }
        set!(max_runs, lease, poll, drain, watch_retention, run_retention);
        engine
    }
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

    /// An agent whose runs it starts and works on: an [`Agent`](bowline_agent::Agent), or what
    /// [`durable`](bowline_agent::Agent::durable) gives, for one that has a store, a bus or a cache of its own. Such a one has workers
    /// of its own, too, to which [`max_runs`](Self::max_runs) applies again, and threads of its own.
    #[cfg(feature = "agent")]
    pub fn agent(mut self, agent: impl Into<DurableAgentBuilder>) -> Self {
        self.agents.push(agent.into());
        self
    }

    /// What becomes of notifications in the threads of its agents; as
    /// [`ThreadsBuilder::notifications`](bowline_agent::threads::ThreadsBuilder::notifications).
    #[cfg(feature = "agent")]
    pub fn notifications(mut self, policy: NotificationPolicy) -> Self {
        self.notifications.policy = Some(policy);
        self
    }

    /// How long notifications that are done with are kept; as
    /// [`ThreadsBuilder::notification_retention`](bowline_agent::threads::ThreadsBuilder::notification_retention).
    #[cfg(feature = "agent")]
    pub fn notification_retention(mut self, retention: Duration) -> Self {
        self.notifications.retention = Some(retention);
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
        self.engine.idle = !workers;
        self
    }

    /// How many runs it works on at a time; as [`EngineBuilder::max_runs`](bowline_workflow::EngineBuilder::max_runs).
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.engine.max_runs = Some(runs);
        self
    }

    /// How long others wait before they take over from a process that is silent; as
    /// [`EngineBuilder::lease`](bowline_workflow::EngineBuilder::lease).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.engine.lease = Some(lease);
        self
    }

    /// How often it looks into the store for what nobody has told it; as
    /// [`EngineBuilder::poll`](bowline_workflow::EngineBuilder::poll).
    pub fn poll(mut self, poll: Duration) -> Self {
        self.engine.poll = Some(poll);
        self
    }

    /// How long steps, such as calls of models and tools, may take to end when it is closed; as
    /// [`EngineBuilder::drain`](bowline_workflow::EngineBuilder::drain).
    pub fn drain(mut self, drain: Duration) -> Self {
        self.engine.drain = Some(drain);
        self
    }

    /// How long the events of a run, and the stream of a run of an agent, are kept after its end; as
    /// [`EngineBuilder::watch_retention`](bowline_workflow::EngineBuilder::watch_retention).
    pub fn watch_retention(mut self, retention: Duration) -> Self {
        self.engine.watch_retention = Some(retention);
        self
    }

    /// How long a run is kept after its end; as
    /// [`EngineBuilder::run_retention`](bowline_workflow::EngineBuilder::run_retention).
    pub fn run_retention(mut self, retention: Duration) -> Self {
        self.engine.run_retention = Some(retention);
        self
    }

    /// Opens store and bus, starts the workers, and brings the declared schedules in order. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a definition that is none, for two agents of one id, and for schedules without a name; what
    /// opening bus and store says.
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
        let cache: Option<Arc<dyn EventCache>> = match cache_config {
            _ if self.no_cache => None,
            Some(cache) => Some(stores.open_cache(&cache).await?),
            None if store_config == StoreConfig::Memory => None,
            None => Some(Arc::new(StoreCache::new(Arc::clone(&store)))),
        };
        #[cfg(feature = "agent")]
        let below = bus.shared();
        let bus = match &cache {
            Some(cache) => cached(bus, Arc::clone(cache)),
            None => bus,
        };
        let mut engine = self.engine.builder(&store, bus.shared());
        for workflow in self.workflows {
            engine = engine.workflow(workflow);
        }
        #[cfg(feature = "agent")]
        let agents = {
            let place = agents::Place {
                store: &store,
                bus: bus.shared(),
                below: &below,
                cache: cache.as_ref(),
                options: self.engine,
                notifications: self.notifications,
            };
            let agents = place.prepare(&self.agents)?;
            for workflow in agents.workflows()? {
                engine = engine.workflow(workflow);
            }
            agents
        };
        let engine = engine.start().await?;
        #[cfg(feature = "agent")]
        let agents = agents.start(&engine).await?;
        if let Some(name) = &self.name {
            engine.schedules().sync(name, &self.schedules).await?;
        }
        let scheduler = match self.engine.idle {
            true => None,
            false => Some(Arc::new(schedule(&store, &engine)?)),
        };
        Ok(Bowline {
            bus,
            store,
            stores,
            engine,
            #[cfg(feature = "agent")]
            agents,
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
