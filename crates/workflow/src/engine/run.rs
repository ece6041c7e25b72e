//! A handle on a run.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{PubSubExt, StartFrom, SubscribeOptions, Text, Topic};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::Engine;
use super::list::RunInfo;
use super::record::RunRecord;
use super::shared::{Active, Settled, Work};
use super::watch::RunWatch;
use crate::machine::{Machine, RunStatus};
use crate::{Data, Error, ErrorKind, Result, Resume, StepResult, SuspendedStep};

/// How often the store is asked about a run that another process works on: first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A handle on a run, which may be anywhere. Dropping it does nothing to the run.
#[derive(Debug, Clone)]
pub struct Run {
    engine: Engine,
    id: Text,
    active: Option<Arc<Active>>,
}

/// How a run is, when it has ended or halted.
#[derive(Debug, Clone)]
pub struct RunResult(Arc<Settled>);

impl Run {
    pub(super) fn new(engine: Engine, id: Text, active: Option<Arc<Active>>) -> Self {
        Self { engine, id, active }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its id.
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// How it is now.
    ///
    /// # Errors
    /// `NotFound` when its retention is over, `Store`.
    pub async fn status(&self) -> Result<RunStatus> {
        Ok(self.engine.record("status", &self.id).await?.status)
    }

    /// All that a list shows of it, as it is now.
    ///
    /// # Errors
    /// `NotFound` when its retention is over, `Store`, `Corrupt`.
    pub async fn info(&self) -> Result<RunInfo> {
        let record = self.engine.record("get", &self.id).await?;
        self.info_of(record).await
    }

    async fn info_of(&self, record: RunRecord) -> Result<RunInfo> {
        if !record.body.large {
            return Ok(record.into());
        }
        let RunResult(settled) = self.load(record).await?;
        Ok(settled.record.clone().into())
    }

    /// Waits until the run has ended, or halted because it is suspended or paused, and tells how it is then. A run that failed
    /// is no error of this. While the store is away it waits on. Cancel safe.
    ///
    /// # Errors
    /// `NotFound` when its retention is over, `Corrupt`, `Store` for a failure that does not pass by itself.
    pub async fn result(&self) -> Result<RunResult> {
        let active = self
            .active
            .clone()
            .or_else(|| self.engine.shared.active(&self.id));
        if let Some(active) = active
            && let Some(result) = self.settled(&active).await
        {
            return Ok(result);
        }
        self.result_from_store().await
    }

    /// Waits until this engine does not work on the run any more; the result, if it has ended or halted by that.
    async fn settled(&self, active: &Active) -> Option<RunResult> {
        match active.left().await {
            Work::Settled(settled) if self.is_present(&settled).await => Some(RunResult(settled)),
            _ => None,
        }
    }

    /// Whether a result is not that of an earlier halt.
    async fn is_present(&self, settled: &Settled) -> bool {
        if settled.record.status.is_final() {
            return true;
        }
        let record = self.engine.record("result", &self.id).await;
        record.map_or(true, |record| record.version == settled.record.version)
    }

    async fn result_from_store(&self) -> Result<RunResult> {
        let bus = &self.engine.shared.bus;
        let topic = Topic::workflow_events(&self.id);
        let mut events = bus
            .subscribe(
                topic,
                SubscribeOptions::new().start(StartFrom::Latest).skippable(),
            )
            .await
            .ok();
        let mut pause = FIRST_LOOK;
        let mut failures = 0;
        loop {
            match self.look().await {
                Ok(None) => failures = 0,
                Ok(Some(result)) => return Ok(result),
                Err(error) if passes(&error, failures) => {
                    failures += 1;
                    tracing::debug!(run = %self.id, %error, "the store is away; looking again");
                }
                Err(error) => return Err(error),
            }
            let told = async {
                match &mut events {
                    Some(events) => match events.next().await {
                        Some(_) => (),
                        None => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            // It may be back here.
            let active = self.engine.shared.active(&self.id);
            let here = async {
                match &active {
                    Some(active) => self.settled(active).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = told => pause = FIRST_LOOK,
                settled = here => match settled {
                    Some(result) => return Ok(result),
                    None => pause = FIRST_LOOK,
                },
                () = sleep(pause) => pause = (pause * 2).min(LAST_LOOK),
            }
        }
    }

    /// The result, if the run has ended or halted.
    async fn look(&self) -> Result<Option<RunResult>> {
        let record = self.engine.record("result", &self.id).await?;
        match record.status.is_active() {
            true => Ok(None),
            false => self.load(record).await.map(Some),
        }
    }

    async fn load(&self, mut record: RunRecord) -> Result<RunResult> {
        let workflow = self.engine.workflow_of("result", &record).await?;
        let machine = match self.engine.shared.replay(&self.id, &workflow).await {
            Ok(replayed) => replayed.machine,
            // The record tells the error.
            Err(error) if error.kind() == ErrorKind::Corrupt && record.status.is_final() => {
                Machine::new(self.id.clone(), workflow)
            }
            Err(error) => return Err(error),
        };
        if record.body.large {
            record.body.fill(&machine);
        }
        Ok(RunResult(Arc::new(Settled { record, machine })))
    }

    /// The events of the run from its beginning on, and then live until its end.
    ///
    /// # Errors
    /// `Bus` when the bus fails.
    pub async fn watch(&self) -> Result<RunWatch> {
        self.watch_from(0).await
    }

    /// The events of the run from position `offset` on, and then live until its end. On a bus that keeps no history it begins
    /// with what comes from now on.
    ///
    /// # Errors
    /// `Bus` when the bus fails.
    pub async fn watch_from(&self, offset: u64) -> Result<RunWatch> {
        RunWatch::open(&self.engine, &self.id, offset).await
    }

    /// As [`Engine::resume`], and waits as [`result`](Self::result) does.
    ///
    /// # Errors
    /// As both.
    pub async fn resume(&self, resume: Resume) -> Result<RunResult> {
        self.engine.resume(&self.id, resume).await?;
        let again = Self::new(self.engine.clone(), self.id.clone(), None);
        again.result().await
    }

    /// As [`Engine::cancel`].
    ///
    /// # Errors
    /// As there.
    pub async fn cancel(&self) -> Result<()> {
        self.engine.cancel(&self.id).await
    }
}

/// Whether a failure is one that passes by itself: one that says so, or one of the first of a kind that may.
fn passes(error: &Error, failures: u32) -> bool {
    const FAILURES: u32 = 10;
    error.is_retryable() || (error.kind() == ErrorKind::Store && failures < FAILURES)
}

impl Engine {
    /// A handle on the run `id`, which need not be one of this process.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Store`.
    pub async fn run(&self, id: &str) -> Result<Run> {
        let record = self.record("get", id).await?;
        Ok(Run::new(self.clone(), record.id, None))
    }

    /// A handle on the run `id`, and all that a list shows of it: [`run`](Self::run) and [`Run::info`] with one look at the store.
    ///
    /// # Errors
    /// As both.
    pub async fn find(&self, id: &str) -> Result<(Run, RunInfo)> {
        let record = self.record("get", id).await?;
        let run = Run::new(self.clone(), record.id.clone(), None);
        let info = run.info_of(record).await?;
        Ok((run, info))
    }
}

impl RunResult {
    /// The id of the run.
    pub fn run_id(&self) -> &Text {
        &self.0.record.id
    }

    /// How it is.
    pub fn status(&self) -> RunStatus {
        self.0.record.status
    }

    /// What it returned.
    ///
    /// # Errors
    /// `WrongState` when it did not succeed; the message tells the error of the run. `InvalidInput` when it is no `T`.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T> {
        match self.result() {
            Some(result) => result.parse(),
            None => {
                let error = self
                    .error()
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default();
                let message = format!("the run has no result, it is {}{error}", self.status());
                Err(Error::new(ErrorKind::WrongState, "result", message)
                    .with_subject(self.run_id().clone()))
            }
        }
    }

    /// What it returned, as JSON.
    pub fn result(&self) -> Option<&Data> {
        self.0.record.body.result.as_ref()
    }

    /// Why it failed: an object with `message` and `name`.
    pub fn error(&self) -> Option<&Data> {
        self.0.record.body.error.as_ref()
    }

    /// The object of the tripwire that stopped it.
    pub fn tripwire(&self) -> Option<&Data> {
        self.0.record.body.tripwire.as_ref()
    }

    /// The steps that wait for somebody.
    pub fn suspended(&self) -> &[SuspendedStep] {
        &self.0.record.body.suspended
    }

    /// What it got.
    pub fn input(&self) -> &Data {
        self.0.machine.input()
    }

    /// Its state.
    pub fn state(&self) -> Data {
        self.0.machine.state()
    }

    /// Its state, with what the steps of nested workflows have set that were under way when it ended.
    pub fn state_under_way(&self) -> Data {
        self.0.machine.state_under_way()
    }

    /// The steps in the order of the definition, those of nested workflows as `outer.inner`.
    pub fn steps(&self) -> Vec<(String, StepResult)> {
        self.0.machine.steps()
    }

    /// The step called `id`.
    pub fn step(&self, id: &str) -> Option<StepResult> {
        self.steps()
            .into_iter()
            .find(|(name, _)| name == id)
            .map(|(_, step)| step)
    }
}
