//! A store, a bus, and engines on them.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Event, InProcessPubSub, PubSub, Reach, Topic};
use bowline_store::{MemoryStore, Store, Table};
use bowline_workflow::{Clock, Engine, EngineBuilder, Workflow};

use crate::line::Line;
use crate::wires::{FarBus, FarStore, Hints};

/// What engines share.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    /// A house whose store is this.
    pub(crate) fn on(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            bus: Arc::new(InProcessPubSub::new()),
        }
    }

    /// An engine that notices what it has to within moments.
    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store), Arc::clone(&self.bus))
            .lease(Duration::from_millis(500))
            .poll(Duration::from_millis(20))
    }

    /// An engine at the end of a line.
    pub(crate) fn far(&self, line: &Arc<Line>) -> EngineBuilder {
        self.far_with(line, Hints::Times(1), Reach::Process)
    }

    /// An engine at the end of a line, on a bus that is like this.
    pub(crate) fn far_with(&self, line: &Arc<Line>, hints: Hints, reach: Reach) -> EngineBuilder {
        let bus = FarBus {
            inner: Arc::clone(&self.bus),
            line: Arc::clone(line),
            hints,
            reach,
            replay: true,
        };
        self.far_on(line, bus)
    }

    /// An engine at the end of a line, on this bus.
    pub(crate) fn far_on(&self, line: &Arc<Line>, bus: FarBus) -> EngineBuilder {
        Engine::builder(self.far_store(line), Arc::new(bus))
            .clock(Arc::clone(line.clock()) as Arc<dyn Clock>)
            .lease(Duration::from_millis(100))
            .poll(Duration::from_millis(20))
    }

    /// The store at the end of a line.
    pub(crate) fn far_store(&self, line: &Arc<Line>) -> Arc<dyn Store> {
        Arc::new(FarStore {
            inner: Arc::clone(&self.store),
            line: Arc::clone(line),
        })
    }

    pub(crate) async fn with(&self, workflow: &Workflow) -> Engine {
        self.engine()
            .workflow(workflow.clone())
            .start()
            .await
            .unwrap()
    }

    /// What watchers of a run were told from the beginning on.
    pub(crate) async fn told(&self, run: &str) -> Vec<Arc<Event>> {
        let topic = Topic::workflow_events(run);
        self.bus.history(&topic, 0, 100_000).await.unwrap()
    }

    /// What watchers of a run were told, as JSON, once they were told that it has ended.
    pub(crate) async fn told_to_the_end(&self, run: &str) -> Vec<String> {
        loop {
            let events = self.told(run).await;
            let json = |event: &Arc<Event>| {
                let json = event.data.to_json().unwrap();
                String::from_utf8(json.to_vec()).unwrap()
            };
            let told: Vec<String> = events.iter().map(json).collect();
            let is_end = |event: &String| {
                event.contains("\"workflow-finish\"") && !event.contains("\"suspended\"")
            };
            if told.last().is_some_and(is_end) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The facts of a run, as they are kept.
    pub(crate) async fn journal(&self, run: &str) -> Vec<serde_json::Value> {
        let log = Table::new("journal").log(run.to_owned());
        let mut facts = Vec::new();
        loop {
            let from = facts.len() as u64;
            let page = self.store.read_log(&log, from, 1000).await.unwrap();
            if page.entries.is_empty() {
                return facts;
            }
            for entry in page.entries {
                let entry: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
                facts.push(entry["f"].clone());
            }
        }
    }
}

/// How many facts are of a kind.
pub(crate) fn count(facts: &[serde_json::Value], kind: &str) -> usize {
    let is_kind = |fact: &&serde_json::Value| fact.get(kind).is_some();
    facts.iter().filter(is_kind).count()
}
