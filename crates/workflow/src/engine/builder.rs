//! Setting up an engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{PubSub, Text};
use bowline_store::Store;
use tokio::time::Instant;

use super::options::Options;
use super::shared::Shared;
use super::{Engine, graphs, lease, recovery, signal};
use crate::context::Hold;
use crate::{Clock, Error, ErrorKind, Result, Workflow};

/// Sets up an [`Engine`].
#[derive(Debug)]
#[must_use = "an engine is made by `start`"]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    bus: Arc<dyn PubSub>,
    workflows: Vec<Workflow>,
    options: Options,
}

impl EngineBuilder {
    pub(super) fn new(store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> Self {
        Self {
            store,
            bus,
            workflows: Vec::new(),
            options: Options::default(),
        }
    }

    /// A workflow whose runs it starts and works on.
    pub fn workflow(mut self, workflow: impl Into<Workflow>) -> Self {
        self.workflows.push(workflow.into());
        self
    }

    /// Whether it runs steps (the default), or leaves that to other processes and only starts, watches and controls runs.
    pub fn workers(mut self, workers: bool) -> Self {
        self.options.workers = workers;
        self
    }

    /// How many runs it works on at a time; 1024 unless set, at least 1. Others wait in the store.
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.options.max_runs = runs.max(1);
        self
    }

    /// How long others wait before they take over the runs of a process that is silent; 10 s unless set, at least 100 ms. They
    /// measure it themselves, beginning when they see its last sign of life, so a process that was just started waits as well.
    /// A process that has not renewed it for most of that time is silent until it has, as [`may_speak`](crate::StepContext::may_speak)
    /// says.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// How often it looks into the store for what nobody has told it; every second unless set, at least every 10 ms.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.options.poll = poll.max(Duration::from_millis(10));
        self
    }

    /// A run that sleeps longer than this leaves the memory meanwhile; 1 s unless set.
    pub fn park_after(mut self, sleep: Duration) -> Self {
        self.options.park_after = sleep;
        self
    }

    /// How long the events of a run are kept for watchers after its end; 30 s unless set, as core 1.71 does.
    pub fn watch_retention(mut self, retention: Duration) -> Self {
        self.options.watch_retention = retention;
        self
    }

    /// How long a run is kept after its end; a day unless set. Afterwards nothing of it is left.
    pub fn run_retention(mut self, retention: Duration) -> Self {
        self.options.run_retention = retention;
        self
    }

    /// How long steps may take to end when the engine is closed; 5 s unless set.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = drain;
        self
    }

    /// What tells it the time of day, instead of the clock of this machine. It decides when sleeps and retentions are over and
    /// dates what happens; how long a process may be silent is measured by the monotonic clock of Tokio.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// What the names of its work topics begin with; `rs.` unless set. Engines of different namespaces on one bus do not
    /// tell each other of work. It must not be empty: the topics of the reference belong to Node workers, which answer for
    /// workflows that they do not know.
    pub fn namespace(mut self, namespace: impl Into<Text>) -> Self {
        self.options.namespace = namespace.into();
        self
    }

    /// Enters the engine in the store, takes over what was left behind, and begins to work. Must be called in a Tokio
    /// runtime.
    ///
    /// # Errors
    /// `InvalidDefinition` for two workflows of one id, `InvalidInput` for an empty namespace, `Store` when the store fails.
    pub async fn start(self) -> Result<Engine> {
        if self.options.namespace.is_empty() {
            let message = "the namespace is empty; give it at least one character";
            return Err(Error::new(ErrorKind::InvalidInput, "start", message));
        }
        let mut workflows = HashMap::with_capacity(self.workflows.len());
        for workflow in self.workflows {
            let id = workflow.id().clone();
            if workflows.insert(id.clone(), workflow).is_some() {
                let message = "two workflows have this id; give one of them another";
                return Err(
                    Error::new(ErrorKind::InvalidDefinition, "start", message).with_subject(id)
                );
            }
        }
        if self.options.workers {
            for workflow in workflows.values() {
                graphs::publish(&*self.store, workflow, self.options.clock.now()).await?;
            }
        }
        let hold = Hold::new(Instant::now(), self.options.lease);
        let (worker, version) = match self.options.workers {
            true => lease::sign_on(&*self.store, &self.options).await?,
            false => (Text::default(), 0),
        };
        let workers = self.options.workers;
        let shared = Shared::new(self.store, self.bus, workflows, self.options, worker, hold);
        let shared = Arc::new(shared);
        let ears = signal::open(&shared).await;
        let mut tasks = vec![tokio::spawn(signal::listen(Arc::clone(&shared), ears))];
        if workers {
            tasks.push(tokio::spawn(lease::renew(Arc::clone(&shared), version)));
            tasks.push(tokio::spawn(lease::watch_others(Arc::clone(&shared))));
            tasks.push(tokio::spawn(recovery::keep_watch(Arc::clone(&shared))));
        }
        Ok(Engine::new(shared, tasks))
    }
}
