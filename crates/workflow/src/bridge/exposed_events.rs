//! What becomes of the events by which Node processes start, resume and cancel runs of ours.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Delivery, PubSub, Text, Topic};

use super::debts::{Debt, Debts, Owed};
use super::finish;
use super::members::Members;
use super::node_event::{CANCEL, FAIL, RESUME, START, data_of, publish};
use crate::engine::{Engine, Start};
use crate::machine::Failure;
use crate::{Data, Error, ErrorKind, Result, Resume, RunStatus, Workflow};

/// How often it is looked, and after which pauses, whether the halt of a run was told that is resumed already.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);
/// How often something is tried while the store or the bus is away, and the first pause; each further one is twice as long.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What Node processes may start, and what happens to their events.
pub(super) struct Exposure {
    pub(super) engine: Engine,
    pub(super) bus: Arc<dyn PubSub>,
    pub(super) allowed: HashMap<Text, Workflow>,
    pub(super) shares: bool,
    pub(super) debts: Debts,
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

impl Exposure {
    /// Works on an event, and settles it.
    pub(super) async fn take(&self, delivery: Delivery) -> Option<Debt> {
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
    pub(super) async fn pay(&self, mut debt: Debt) {
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
