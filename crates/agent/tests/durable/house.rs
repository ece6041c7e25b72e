//! A store, a bus, and agents on them.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{Agent, AgentHandle, DurableAgent, Strategy};
use bowline_events::{CachingPubSub, Event, InProcessPubSub, MemoryCache, PubSub, Reach, Topic};
use bowline_store::{MemoryStore, Store};
use bowline_workflow::{Engine, EngineBuilder};

use crate::line::Line;
use crate::wires::{FarBus, FarStore};

/// All strategies.
pub(crate) const STRATEGIES: [Strategy; 2] = [Strategy::Durable, Strategy::Evented];

/// What processes share.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
    /// Who works on the runs.
    pub(crate) strategy: Strategy,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    /// A house whose runs are worked on like this.
    pub(crate) fn with_strategy(strategy: Strategy) -> Self {
        Self {
            strategy,
            ..Self::new()
        }
    }

    /// A house whose store is this.
    pub(crate) fn on(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            bus: Arc::new(CachingPubSub::new(
                Arc::new(InProcessPubSub::new()),
                Arc::new(MemoryCache::new()),
            )),
            strategy: Strategy::default(),
        }
    }

    /// An engine that notices what it has to within moments.
    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store), Arc::clone(&self.bus))
            .lease(Duration::from_millis(500))
            .poll(Duration::from_millis(20))
    }

    /// A process with the agent.
    pub(crate) async fn with(&self, agent: &Agent) -> AgentHandle {
        self.on_engine(agent, self.engine()).await
    }

    /// A process with the agent, whose engine is set up like this.
    pub(crate) async fn on_engine(&self, agent: &Agent, engine: EngineBuilder) -> AgentHandle {
        let (store, bus) = (Arc::clone(&self.store), Arc::clone(&self.bus));
        self.serve(agent, store, bus, engine).await
    }

    /// A process with the agent at the end of a line.
    pub(crate) async fn far(&self, agent: &Agent, line: &Arc<Line>, reach: Reach) -> AgentHandle {
        let store: Arc<dyn Store> = Arc::new(FarStore {
            inner: Arc::clone(&self.store),
            line: Arc::clone(line),
        });
        let bus: Arc<dyn PubSub> = Arc::new(FarBus {
            inner: Arc::clone(&self.bus),
            line: Arc::clone(line),
            reach,
        });
        let engine = Engine::builder(Arc::clone(&store), Arc::clone(&bus))
            .lease(Duration::from_millis(100))
            .poll(Duration::from_millis(20));
        self.serve(agent, store, bus, engine).await
    }

    async fn serve(
        &self,
        agent: &Agent,
        store: Arc<dyn Store>,
        bus: Arc<dyn PubSub>,
        engine: EngineBuilder,
    ) -> AgentHandle {
        let agent = DurableAgent::new(agent.clone(), store, bus).strategy(self.strategy);
        let engine = engine.workflow(agent.workflow().unwrap());
        agent.on(&engine.start().await.unwrap()).unwrap()
    }

    /// What the stream of a run has so far.
    pub(crate) async fn told(&self, run: &str) -> Vec<Arc<Event>> {
        let topic = Topic::agent_stream(run);
        self.bus.history(&topic, 0, 100_000).await.unwrap()
    }

    /// What the stream of a run has, once that has `done`.
    pub(crate) async fn told_until(
        &self,
        run: &str,
        done: impl Fn(&Event) -> bool,
    ) -> Vec<Arc<Event>> {
        loop {
            let events = self.told(run).await;
            if events.iter().any(|event| done(event)) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
