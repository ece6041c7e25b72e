//! Workflows of ours that Node processes start on the bus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{Delivery, PubSub, StartFrom, SubscribeOptions, Subscription, Text, Topic};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::debts::{Debt, Debts, Owed};
use super::finish;
use super::members::Members;
use super::node_event::{CANCEL, FAIL, RESUME, START, data_of, failed, publish};
use crate::engine::{Engine, Start};
use crate::machine::Failure;
use crate::{Data, Error, ErrorKind, Result, Resume, RunStatus, Workflow};

/// The group in which the reference's workers share the work.
const ORCHESTRATION: &str = "mastra-orchestration";
/// How long another process waits before it tells what this one has not told.
const TAKEOVER: Duration = Duration::from_secs(30);
const SHORTEST_TAKEOVER: Duration = Duration::from_millis(100);
/// How often it is looked, and after which pauses, whether the halt of a run was told that is resumed already.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);
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

struct Shared {
    engine: Engine,
    bus: Arc<dyn PubSub>,
    allowed: HashMap<Text, Workflow>,
    shares: bool,
    debts: Debts,
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
        let shared = Arc::new(Shared {
            debts: Debts::new(store, self.takeover),
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

impl Shared {
    /// Works on an event, and settles it.
    async fn take(&self, delivery: Delivery) -> Option<Debt> {
        let (verdict, debt) = match self.read(&delivery) {
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
        debt
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
    ) -> (Verdict, Option<Debt>) {
        let Some(run) = data.text("runId") else {
            return (Verdict::Done, None);
        };
        // A run within one of Node's: it waits for an event that only Node's own engine can make.
        if data.get("parentWorkflow").is_some_and(Data::is_object) {
            return (Verdict::Done, None);
        }
        if ![START, RESUME, CANCEL].contains(&kind) {
            return (Verdict::Done, None);
        }
        let owed = match self.owe(kind, workflow, &run, data).await {
            Ok(owed) => owed,
            Err(error) => return (self.failed(kind, workflow, &run, &error).await, None),
        };
        let done = match (kind, &owed) {
            (START, Owed::Told) => Ok(()),
            (START, _) => self.start(workflow, &run, data).await,
            (RESUME, _) => self.resume(&run, data).await,
            _ => self.engine.cancel(&run).await,
        };
        match (done, owed) {
            (Ok(()), Owed::Here(debt)) => (Verdict::Done, Some(debt)),
            (Ok(()), _) => (Verdict::Done, None),
            (Err(error), owed) => {
                match owed {
                    Owed::Here(debt) if kind == START => self.debts.forget(debt).await,
                    Owed::Here(debt) => self.debts.settle(debt).await,
                    _ => {}
                }
                (self.failed(kind, workflow, &run, &error).await, None)
            }
        }
    }

    /// Takes on the end of the run that the event is about, before anything happens to the run.
    async fn owe(
        &self,
        kind: &str,
        workflow: &Workflow,
        run: &str,
        data: &Members,
    ) -> Result<Owed> {
        let context = data.get("requestContext").filter(|data| data.is_object());
        let context = context.cloned().unwrap_or_else(Data::object);
        if kind == START {
            return self.debts.owe(run, workflow.id(), &context, false).await;
        }
        let status = self.engine.run(run).await?.status().await?;
        let halted = matches!(status, RunStatus::Suspended | RunStatus::Paused);
        let mut owed = self.debts.owe(run, workflow.id(), &context, true).await?;
        // Whoever told that the run halted is about to write that down.
        for _ in 0..LOOKS {
            if !halted || !matches!(owed, Owed::Elsewhere) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            owed = self.debts.owe(run, workflow.id(), &context, true).await?;
        }
        Ok(owed)
    }

    /// Starts a run. That it was started already is fine: by another process, or by an attempt whose answer was lost.
    async fn start(&self, workflow: &Workflow, run: &str, data: &Members) -> Result<()> {
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
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                Err(error) if !error.is_retryable() || attempt >= ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(run, %error, attempt, "a run was not begun"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn resume(&self, run: &str, data: &Members) -> Result<()> {
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
        self.engine.resume(run, resume).await
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
    async fn pay(&self, mut debt: Debt) {
        let Some(workflow) = self.allowed.get(debt.workflow()) else {
            // It is claimed for a while only.
            return;
        };
        let run = match self.engine.run(debt.run()).await {
            Ok(run) => run,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.debts.forget(debt).await;
            }
            Err(error) => return tracing::warn!(%error, "an exposed run was not found"),
        };
        let mut result = std::pin::pin!(run.result());
        let result = loop {
            tokio::select! {
                result = result.as_mut() => break result,
                () = tokio::time::sleep(self.debts.pace()) => {}
            }
            match self.debts.renew(&debt).await {
                Ok(Some(renewed)) => debt = renewed,
                // Somebody else tells it.
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, "a debt to a Node caller was not renewed"),
            }
        };
        match result {
            Ok(result) => {
                let (kind, data) = finish::event(workflow, &result, &debt.context());
                if self.publish(kind, run.id(), &data).await {
                    self.debts.settle(debt).await;
                }
            }
            Err(error) => {
                tracing::warn!(run = %run.id(), %error, "how an exposed run ended is not known");
            }
        }
    }

    /// Whether it was published.
    async fn publish(&self, kind: &'static str, run: &str, data: &Data) -> bool {
        let topic = Topic::workflows_finish();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            match publish(&*self.bus, &topic, kind, run, data).await {
                Ok(()) => return true,
                Err(error) if attempt == ATTEMPTS || !error.is_retryable() => {
                    tracing::error!(run, %error, "nobody was told how an exposed run ended");
                    return false;
                }
                Err(error) => {
                    tracing::debug!(run, %error, attempt, "the end of a run was not told");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        false
    }
}

impl fmt::Debug for ExposedWorkflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedWorkflows").finish_non_exhaustive()
    }
}
