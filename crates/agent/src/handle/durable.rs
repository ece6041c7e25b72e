//! What an agent has of its own in an application.

use std::fmt;
use std::sync::Arc;

use bowline_events::{CachingPubSub, EventCache, PubSub};
use bowline_store::Store;

use super::DurableAgent;
use crate::Agent;

/// Who works on a run of an agent. Whatever it is, one process does at any moment, the stream is the same, and any process goes on
/// where another one died. A process decides by what its own agent says, so processes that differ in this share runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The process that takes it, until it ends or waits for somebody: the fastest.
    #[default]
    Durable,
    /// After every call of the model and every call of a tool, whichever process has room: long runs spread over all processes. Tools
    /// that are called side by side stay together. See [`Dispatch::Step`](bowline_workflow::Dispatch::Step) for what it costs.
    Evented,
}

/// An agent to give to an application, with what is its own there: unless it is said, bus, cache and store are those of the
/// application. Made by [`Agent::durable`].
///
/// ```
/// use std::sync::Arc;
/// use bowline_agent::{Agent, ScriptedModel};
/// use bowline_events::{InProcessPubSub, MemoryCache};
///
/// let agent = Agent::builder("analyst").model(ScriptedModel::says("All is well.")).build()?;
/// let agent = agent.durable().bus(Arc::new(InProcessPubSub::new())).cache(Arc::new(MemoryCache::new()));
/// assert_eq!(agent.agent().id(), "analyst");
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an application is to have it"]
pub struct DurableAgentBuilder {
    agent: Agent,
    bus: Option<Arc<dyn PubSub>>,
    cache: Cache,
    store: Option<Arc<dyn Store>>,
    strategy: Strategy,
}

/// What keeps the streams of the runs.
#[derive(Clone)]
enum Cache {
    Inherited,
    Own(Arc<dyn EventCache>),
    Off,
}

impl Agent {
    /// The agent, for an application; what it has of its own there can be said.
    pub fn durable(&self) -> DurableAgentBuilder {
        self.clone().into()
    }
}

impl From<Agent> for DurableAgentBuilder {
    fn from(agent: Agent) -> Self {
        Self {
            agent,
            bus: None,
            cache: Cache::Inherited,
            store: None,
            strategy: Strategy::default(),
        }
    }
}

impl DurableAgentBuilder {
    /// Its runs are told on this bus. The cache goes in front of it; a bus that has one already goes with
    /// [`no_cache`](Self::no_cache). Whoever made the bus closes it, after the application.
    pub fn bus(mut self, bus: Arc<dyn PubSub>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// The streams of its runs are kept there.
    pub fn cache(mut self, cache: Arc<dyn EventCache>) -> Self {
        self.cache = Cache::Own(cache);
        self
    }

    /// No cache: of the streams of its runs only that can be read again which the bus keeps.
    pub fn no_cache(mut self) -> Self {
        self.cache = Cache::Off;
        self
    }

    /// Its runs, its memory and its threads are kept there. What keeps the streams of its runs is said by [`cache`](Self::cache).
    /// Whoever opened the store closes it, after the application.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Who works on its runs; [`Strategy::Durable`] unless set.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The store that it was given, if it was.
    pub fn own_store(&self) -> Option<&Arc<dyn Store>> {
        self.store.as_ref()
    }

    /// The bus of its threads, in an application whose bus below its cache is `bus`: one that keeps nothing, if there is one.
    pub fn thread_bus(&self, bus: &Arc<dyn PubSub>) -> Arc<dyn PubSub> {
        Arc::clone(self.bus.as_ref().unwrap_or(bus))
    }

    /// The agent with the store and the bus of its runs.
    pub fn build(&self, store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> DurableAgent {
        DurableAgent::new(self.agent.clone(), store, bus).strategy(self.strategy)
    }

    /// The bus that its runs are told on, in an application that has `cache` in front of `bus`; `None` when that is the bus of the
    /// application itself.
    pub fn own_bus(
        &self,
        bus: &Arc<dyn PubSub>,
        cache: Option<&Arc<dyn EventCache>>,
    ) -> Option<Arc<dyn PubSub>> {
        if self.bus.is_none() && matches!(self.cache, Cache::Inherited) {
            return None;
        }
        let bus = Arc::clone(self.bus.as_ref().unwrap_or(bus));
        let cache = match &self.cache {
            Cache::Inherited => cache,
            Cache::Own(cache) => Some(cache),
            Cache::Off => None,
        };
        Some(match cache {
            Some(cache) => Arc::new(CachingPubSub::new(bus, Arc::clone(cache)).cache_run_local()),
            None => bus,
        })
    }
}

impl fmt::Debug for DurableAgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableAgentBuilder")
            .field("agent", self.agent.id())
            .field("own_bus", &self.bus.is_some())
            .field("own_store", &self.store.is_some())
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}
