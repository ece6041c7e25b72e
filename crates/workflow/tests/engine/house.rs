//! A store, a bus, and engines on them.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{InProcessPubSub, PubSub};
use bowline_store::{MemoryStore, Store};
use bowline_workflow::{Engine, EngineBuilder, Workflow};

/// What engines share.
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            bus: Arc::new(InProcessPubSub::new()),
        }
    }

    /// An engine that notices what it has to within moments.
    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store), Arc::clone(&self.bus))
            .lease(Duration::from_millis(500))
            .poll(Duration::from_millis(20))
    }

    pub(crate) async fn with(&self, workflow: &Workflow) -> Engine {
        self.engine()
            .workflow(workflow.clone())
            .start()
            .await
            .unwrap()
    }
}
