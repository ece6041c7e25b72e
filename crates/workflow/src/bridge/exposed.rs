//! Workflows of ours that Node processes start on the bus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{Delivery, PubSub, StartFrom, SubscribeOptions, Subscription, Text, Topic};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::finish;
use super::members::Members;
use super::node_event::{CANCEL, FAIL, RESUME, START, data_of, failed, publish};
use crate::engine::{Engine, Run, Start};
use crate::machine::Failure;
use crate::{Data, Error, ErrorKind, Result, Resume, Workflow};

/// The group in which the reference's workers share the work.
const ORCHESTRATION: &str = "mastra-orchestration";
/// How often something is tried while the store or the bus is away, and the first pause; each further one is twice as long.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

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
/// The run is in the store of the engine as soon as it began, and survives this process. Telling how it ended does not: if the
/// process dies in between, the Node caller is not told.
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
}

struct Shared {
    engine: Engine,
    bus: Arc<dyn PubSub>,
    allowed: HashMap<Text, Workflow>,
    shares: bool,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is done with.
    Done,
    /// It is for somebody else.
    Foreign,
    /// It could not be worked on now.
    Later,
}

impl ExposedWorkflows {
    /// Sets up what Node processes on `bus` may start. It can be another bus than that of the engine.
    pub fn builder(engine: &Engine, bus: Arc<dyn PubSub>) -> ExposedWorkflowsBuilder {
        ExposedWorkflowsBuilder {
            engine: engine.clone(),
            bus,
            allowed: Vec::new(),
            shares: false,
        }
    }

    /// Takes no further events. Runs go on, and how they end is not told any more. Closing again is fine.
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
        let shared = Arc::new(Shared {
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
async fn listen(shared: Arc<Shared>, mut events: Subscription, mut stopped: watch::Receiver<bool>) {
    let mut ends = JoinSet::new();
    loop {
        let delivery = tokio::select! {
            delivery = events.next() => delivery,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        while ends.try_join_next().is_some() {}
        match delivery {
            Some(Ok(delivery)) => {
                if let Some((workflow, run, context)) = shared.take(delivery).await {
                    let shared = Arc::clone(&shared);
                    ends.spawn(async move { shared.tell(&workflow, &run, &context).await });
                }
            }
            Some(Err(error)) => tracing::warn!(%error, "events for exposed workflows were lost"),
            None => return,
        }
    }
}

/// A run whose end is told, and its request context.
type Begun = (Workflow, Run, Data);

impl Shared {
    /// Works on an event, and settles it.
    async fn take(&self, delivery: Delivery) -> Option<Begun> {
        let (verdict, begun) = match self.read(&delivery) {
            Some((workflow, data)) => self.handle(&delivery.event_type, &workflow, &data).await,
            None => (Verdict::Foreign, None),
        };
        if delivery.is_settleable() {
            let settled = match verdict {
                Verdict::Done => delivery.ack().await,
                Verdict::Foreign if self.shares => delivery.release().await,
                Verdict::Foreign => delivery.ack().await,
                Verdict::Later => delivery.nack().await,
            };
            if let Err(error) = settled {
                tracing::debug!(%error, "an event for an exposed workflow was not settled");
            }
        }
        begun
    }

    fn read(&self, delivery: &Delivery) -> Option<(Workflow, Members)> {
        let data = data_of(delivery.event())?;
        let workflow = self.allowed.get(data.text("workflowId")?.as_str())?;
        Some((workflow.clone(), data))
    }

    async fn handle(
        &self,
        kind: &str,
        workflow: &Workflow,
        data: &Members,
    ) -> (Verdict, Option<Begun>) {
        let Some(run) = data.text("runId") else {
            return (Verdict::Done, None);
        };
        // A run within one of Node's: it waits for an event that only Node's own engine can make.
        if data.get("parentWorkflow").is_some_and(Data::is_object) {
            return (Verdict::Done, None);
        }
        let done = match kind {
            START => self.start(workflow, &run, data).await,
            RESUME => self.resume(&run, data).await,
            CANCEL => self.cancel(&run).await,
            _ => Ok(None),
        };
        match done {
            Ok(run) => {
                let context = data.get("requestContext").filter(|data| data.is_object());
                let context = context.cloned().unwrap_or_else(Data::object);
                let begun = run.map(|run| (workflow.clone(), run, context));
                (Verdict::Done, begun)
            }
            Err(error) => (self.failed(kind, workflow, &run, &error).await, None),
        }
    }

    async fn start(&self, workflow: &Workflow, run: &str, data: &Members) -> Result<Option<Run>> {
        if let Some(what) = ["timeTravel", "restart"]
            .into_iter()
            .find(|what| data.get(what).is_some_and(Data::is_object))
        {
            let message = format!("a run of another engine cannot be begun with {what:?}");
            return Err(Error::new(ErrorKind::InvalidInput, "start", message));
        }
        let last = data.get("prevResult").and_then(Members::of);
        let input = last.and_then(|mut last| last.remove("output"));
        let object = |name: &str| data.get(name).filter(|data| data.is_object()).cloned();
        let start = Start {
            input: input.unwrap_or_default(),
            run_id: Some(run.to_owned().into()),
            resource: data.text("resourceId").map(Text::from),
            state: object("initialState").or_else(|| object("state")),
            context: object("requestContext"),
            per_step: data
                .get("perStep")
                .is_some_and(|per| per.as_str() == "true"),
        };
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.engine.start(workflow.id(), start.clone()).await {
                Ok(run) => return Ok(Some(run)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt == 1 => {
                    return Ok(None);
                }
                // An attempt whose answer was lost has begun it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return self.engine.run(run).await.map(Some);
                }
                Err(error) if !error.is_retryable() || attempt >= ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(run, %error, attempt, "a run was not begun"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(None)
    }

    async fn resume(&self, run: &str, data: &Members) -> Result<Option<Run>> {
        let steps = data.get("resumeSteps").and_then(|steps| steps.parse().ok());
        let resume = Resume {
            step: steps.unwrap_or_default(),
            label: None,
            index: data
                .get("forEachIndex")
                .and_then(|index| index.parse().ok()),
            data: data.get("resumeData").cloned().unwrap_or_default(),
            context: data
                .get("requestContext")
                .filter(|data| data.is_object())
                .cloned(),
            per_step: data
                .get("perStep")
                .is_some_and(|per| per.as_str() == "true"),
        };
        self.engine.resume(run, resume).await?;
        self.engine.run(run).await.map(Some)
    }

    /// The end is told here too: nobody waits for a run that was suspended.
    async fn cancel(&self, run: &str) -> Result<Option<Run>> {
        self.engine.cancel(run).await?;
        self.engine.run(run).await.map(Some)
    }

    /// What becomes of an event that failed. Who started a run that cannot begin is told.
    async fn failed(&self, kind: &str, workflow: &Workflow, run: &str, error: &Error) -> Verdict {
        match error.kind() {
            ErrorKind::Store | ErrorKind::Closed | ErrorKind::Timeout => {
                tracing::warn!(run, %error, "an event for an exposed workflow was not worked on");
                return Verdict::Later;
            }
            // Another member of the group may be about to start it.
            ErrorKind::NotFound if self.shares => return Verdict::Later,
            ErrorKind::InvalidInput | ErrorKind::TooLarge if kind == START => {
                let error = Failure::new("Error", &error.to_string()).error;
                let data = finish::refusal(workflow.id(), run, &error);
                self.publish(FAIL, run, &data).await;
            }
            // Somebody else was faster, or the run has ended.
            _ => tracing::info!(run, %error, "an event for an exposed workflow had no effect"),
        }
        Verdict::Done
    }

    /// Waits for the end of a run, and tells it.
    async fn tell(&self, workflow: &Workflow, run: &Run, context: &Data) {
        match run.result().await {
            Ok(result) => {
                let (kind, data) = finish::event(workflow, &result, context);
                self.publish(kind, run.id(), &data).await;
            }
            Err(error) => {
                tracing::warn!(run = %run.id(), %error, "how an exposed run ended is not known");
            }
        }
    }

    async fn publish(&self, kind: &'static str, run: &str, data: &Data) {
        let topic = Topic::workflows_finish();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            match publish(&*self.bus, &topic, kind, run, data).await {
                Ok(()) => return,
                Err(error) if attempt == ATTEMPTS || !error.is_retryable() => {
                    tracing::error!(run, %error, "nobody was told how an exposed run ended");
                    return;
                }
                Err(error) => {
                    tracing::debug!(run, %error, attempt, "the end of a run was not told");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

impl fmt::Debug for ExposedWorkflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedWorkflows").finish_non_exhaustive()
    }
}
