//! A store, a bus, and agents on them.

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{Agent, AgentHandle, DurableAgent};
use bowline_events::{CachingPubSub, Event, InProcessPubSub, MemoryCache, PubSub, Topic};
use bowline_store::{MemoryStore, Store};
use bowline_workflow::{Engine, EngineBuilder};

/// What processes share.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            bus: Arc::new(CachingPubSub::new(
                Arc::new(InProcessPubSub::new()),
                Arc::new(MemoryCache::new()),
            )),
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
        let store = Arc::clone(&self.store);
        let agent = DurableAgent::new(agent.clone(), store, Arc::clone(&self.bus));
        let engine = self.engine().workflow(agent.workflow().unwrap());
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
