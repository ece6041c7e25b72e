//! Workflows of ours that Node processes start on the bus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{PubSub, StartFrom, SubscribeOptions, Subscription, Text, Topic};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::debts::Debts;
use super::exposed_events::Exposure;
use super::node_event::failed;
use crate::engine::Engine;
use crate::{Error, ErrorKind, Result, Workflow};

/// The group in which the reference's workers share the work.
const ORCHESTRATION: &str = "mastra-orchestration";
/// How long another process waits before it tells what this one has not told.
const TAKEOVER: Duration = Duration::from_secs(30);
const SHORTEST_TAKEOVER: Duration = Duration::from_millis(100);
/// Lets Node processes start workflows of an [`Engine`] on the bus that they share with it, as they start their own: with
/// `workflow.start` on `workflows`. How the run ends, or halts, is told on `workflows-finish` as the reference does, so that a
/// Node caller that waits for it gets its result. `workflow.resume` and `workflow.cancel` are understood, too.
///
/// Only workflows that are allowed are looked at; events about any other are never answered. A second start of a run does nothing.
/// Runs that Node starts as part of a workflow of its own, restarts, and time travel are not possible.
///
/// No Node process that has a workflow of that id may take the event as well: it would run its own one. A Node caller has a stub of
/// the workflow and `workers: false`, or publishes the event itself.
///
/// The run is in the store of the engine as soon as it began, and survives this process. So does the duty to tell how it ended:
/// another process with the same engine's store, workflow and bus does it after a while. It may be told twice then.
pub struct ExposedWorkflows {
    stop: watch::Sender<bool>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

/// Sets up [`ExposedWorkflows`].
#[derive(Debug)]
#[must_use = "nothing is started before `start`"]
pub struct ExposedWorkflowsBuilder {
    engine: Engine,
    bus: Arc<dyn PubSub>,
    allowed: Vec<Text>,
    shares: bool,
    takeover: Duration,
}

impl ExposedWorkflows {
    /// Sets up what Node processes on `bus` may start. It can be another bus than that of the engine.
    pub fn builder(engine: &Engine, bus: Arc<dyn PubSub>) -> ExposedWorkflowsBuilder {
        ExposedWorkflowsBuilder {
            engine: engine.clone(),
            bus,
            allowed: Vec::new(),
            shares: false,
            takeover: TAKEOVER,
        }
    }

    /// Takes no further events. Runs go on; how they end is told by other processes with the same store and bus, or when this is
    /// started again. Closing again is fine.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let listening = self.take();
        if let Some(listening) = listening {
            // It only fails when it was aborted, and then it has ended as well.
            let _ = listening.await;
        }
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.take()
    }
}

impl Drop for ExposedWorkflows {
    fn drop(&mut self) {
        if let Some(listening) = self.take() {
            listening.abort();
        }
    }
}

impl ExposedWorkflowsBuilder {
    /// A workflow of the engine that Node processes may start.
    pub fn allow(mut self, workflow: impl Into<Text>) -> Self {
        self.allowed.push(workflow.into());
        self
    }

    /// Says that every workflow whose events are on the bus is allowed here, and joins the group of the reference's workers, so
    /// that each event is worked on once. It is needed where Node workers share a queue (Redis).
    ///
    /// Without it every process gets every event. That is right where Node processes skip workflows that they do not have (the
    /// Unix socket).
    ///
    /// Where it is not true, the group hands events of Node's own workflows to this process, which gives them back: they are late.
    /// A Node worker in the group that does not know one of ours fails its runs.
    pub fn every_workflow_is_known(mut self) -> Self {
        self.shares = true;
        self
    }

    /// How long other processes wait before they tell how a run ended whose process is silent; 30 s unless set, at least 100 ms.
    pub fn takeover(mut self, wait: Duration) -> Self {
        self.takeover = wait.max(SHORTEST_TAKEOVER);
        self
    }

    /// Begins to listen. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// `NotFound` for a workflow that the engine does not have, `Bus` when it cannot listen.
    pub async fn start(self) -> Result<ExposedWorkflows> {
        let mut known: HashMap<Text, Workflow> = HashMap::new();
        for workflow in self.engine.workflows() {
            known.insert(workflow.id().clone(), workflow);
        }
        let mut allowed = HashMap::new();
        for id in self.allowed {
            let Some(workflow) = known.get(&id) else {
                let message = "the engine does not have this workflow; give it to its builder";
                return Err(Error::new(ErrorKind::NotFound, "expose", message).with_subject(id));
            };
            allowed.insert(id, workflow.clone());
        }
        let options = match self.shares {
            true => SubscribeOptions::new().group(ORCHESTRATION),
            false => SubscribeOptions::new().start(StartFrom::Latest),
        };
        let topic = Topic::workflows();
        let events = self.bus.subscribe_with(&topic, options).await;
        let events = events.map_err(|error| failed("expose", topic.as_str(), error))?;
        let store = Arc::clone(self.engine.store());
        let shared = Arc::new(Exposure {
            debts: Debts::new(store, self.takeover, Arc::clone(self.engine.clock())),
            engine: self.engine,
            bus: self.bus,
            allowed,
            shares: self.shares,
        });
        let (stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(listen(shared, events, stopped));
        Ok(ExposedWorkflows {
            stop,
            listening: Mutex::new(Some(listening)),
        })
    }
}

/// Works on events one after the other, so that a cancel does not overtake its start; only the ends of runs are waited for
/// beside each other.
async fn listen(
    shared: Arc<Exposure>,
    mut events: Subscription,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ends = JoinSet::new();
    let mut round = tokio::time::interval(shared.debts.pace());
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
        let debts = tokio::select! {
            delivery = events.next() => match delivery {
                Some(Ok(delivery)) => shared.take(delivery).await.into_iter().collect(),
                Some(Err(error)) => {
                    tracing::warn!(%error, "events for exposed workflows were lost");
                    Vec::new()
                }
                None => return,
            },
            _ = round.tick() => shared.debts.take_over().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "what others have not told was not looked for");
                Vec::new()
            }),
            () = stop => return,
        };
        while ends.try_join_next().is_some() {}
        for debt in debts {
            let shared = Arc::clone(&shared);
            ends.spawn(async move { shared.pay(debt).await });
        }
    }
}

impl fmt::Debug for ExposedWorkflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedWorkflows").finish_non_exhaustive()
    }
}
