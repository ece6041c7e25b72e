//! Resuming, cancelling, retrying runs, and beginning them again at a step.

use std::time::Duration;

use bowline_events::Text;
use bowline_store::{Commit, Expect};
use tokio::time::sleep;

use super::Engine;
use super::commit::later;
use super::insist::{Insisted, a_few};
use super::launch;
use super::outbox::{self, OUTBOX};
use super::record::{RUNS, Replayed, RunRecord, encode};
use super::signal::Signal;
use crate::machine::{At, Fact, Machine, RunStatus, Travel};
use crate::{Data, Error, ErrorKind, Result, Resume};

/// How often a change is tried again that somebody else was faster with.
const ATTEMPTS: usize = 50;

impl Engine {
    /// Resumes a suspended run. Of several that resume one suspension, one wins.
    ///
    /// # Errors
    /// `NotFound` for an unknown run or label, or a step that is not suspended; `WrongState` when the run is not suspended;
    /// `InvalidInput` when several steps are and none is named, and for data that the step does not take, as far as it declares that
    /// (the run waits on then); `AlreadyResumed` when somebody else was faster; `Closed`,
    /// `Store`.
    pub async fn resume(&self, run: &str, resume: Resume) -> Result<()> {
        let choose = |machine: &Machine| {
            let spots = machine.select(&resume)?;
            machine.check_resume(&spots, &resume.data)?;
            Ok(Fact::Resumed {
                at: self.now(),
                spots,
                data: resume.data.clone(),
                context: resume.context.clone(),
                per_step: resume.per_step,
            })
        };
        self.change("resume", run, choose).await
    }

    /// Lets a paused run go on; `per_step`: for one entry.
    ///
    /// # Errors
    /// `NotFound`, `WrongState` when it is not paused, `Conflict` when somebody else was faster, `Closed`, `Store`.
    pub async fn go_on(&self, run: &str, per_step: bool) -> Result<()> {
        let choose = |machine: &Machine| {
            expect(
                machine,
                "continue",
                machine.status() == RunStatus::Paused,
                "paused",
            )?;
            Ok(Fact::Continued {
                at: self.now(),
                per_step,
            })
        };
        self.change("continue", run, choose).await
    }

    /// Tries the failed steps of a failed run again, with as many attempts as they had. What succeeded is not run again.
    ///
    /// # Errors
    /// `NotFound`, `WrongState` when it did not fail, `Conflict` when somebody else was faster, `Closed`, `Store`.
    pub async fn retry(&self, run: &str) -> Result<()> {
        let choose = |machine: &Machine| {
            let failed = matches!(machine.status(), RunStatus::Failed | RunStatus::Tripwire);
            expect(machine, "retry", failed, "failed")?;
            Ok(Fact::Retried { at: self.now() })
        };
        self.change("retry", run, choose).await
    }

    /// Begins a run again at a step of before, with the results of the steps before it.
    ///
    /// # Errors
    /// `NotFound`, `WrongState` when the run is running or the step cannot be reached from what is recorded, `Conflict` when
    /// somebody else was faster, `Closed`, `Store`.
    pub async fn travel(&self, run: &str, travel: crate::TimeTravel) -> Result<()> {
        let travel: Travel = travel.into();
        let choose = |machine: &Machine| match machine.travel_problem(&travel) {
            None => Ok(Fact::Traveled {
                at: self.now(),
                travel: travel.clone(),
            }),
            Some(problem) => Err(Error::new(ErrorKind::WrongState, "travel", problem)
                .with_subject(machine.run_id().clone())),
        };
        self.change("travel", run, choose).await
    }

    /// Cancels a run, wherever it runs: from now on it is cancelled, whatever its steps do. The context of steps that run is
    /// cancelled, too, on every host. Watchers are told by the engine that works on the run, or by one that knows its workflow.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when it has ended; `Conflict` when it changes too fast; `Store`.
    pub async fn cancel(&self, run: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut record = self.record("cancel", run).await?;
            if record.status.is_final() {
                let message = format!("the run has ended: it is {}", record.status);
                return Err(
                    Error::new(ErrorKind::WrongState, "cancel", message).with_subject(record.id)
                );
            }
            if self.cancel_once(&mut record).await? {
                return Ok(());
            }
        }
        Err(too_busy("cancel", run))
    }

    async fn cancel_once(&self, record: &mut RunRecord) -> Result<bool> {
        let log = record.log();
        let info = self.shared.store.log_info(&log).await;
        let end = info
            .map_err(|error| Error::store("cancel", error))?
            .map_or(0, |info| info.end);
        let at = self.shared.now();
        let worker = record.body.worker.take();
        record.status = RunStatus::Canceled;
        record.body.empty();
        record.body.ended = Some(at.as_millis());
        record.due = Some(later(at, self.shared.options.watch_retention));
        let workflow = self.shared.workflow(&record.workflow).cloned();
        // Who works on the run tells that, because he knows what is told; otherwise this engine, or whoever knows the workflow.
        let (teller, wait) = match (&worker, &workflow) {
            (Some(worker), _) => (worker.clone(), self.shared.options.lease),
            (None, Some(_)) => (self.shared.worker().to_string(), self.shared.options.lease),
            (None, None) => (String::new(), Duration::ZERO),
        };
        let fact = Fact::Canceled { at: At(at) };
        let (id, expect) = (record.id.clone(), Expect::Version(record.version));
        let commit = Commit::new()
            .put(RUNS, id, expect, record.index(), record.json()?)
            .append_at(log, end, [encode(0, &fact)?]);
        let (commit, note) = outbox::note(commit, &record.id, end + 1, at, wait, &teller);
        match self.shared.insist(&commit, a_few).await {
            Insisted::Kept(version) => record.version = version,
            Insisted::Lost(_) => return Ok(false),
            Insisted::Failed(error) => {
                return Err(Error::store("cancel", error).with_subject(record.id.clone()));
            }
        }
        if let Some(active) = self.shared.active(&record.id) {
            active.cancel.cancel();
            active.doubt();
        }
        if worker.is_none()
            && let Some(workflow) = workflow
        {
            let note = (note, record.version);
            self.shared.tell_all(&record.id, &workflow, note).await;
        }
        launch::record_outcome(&self.shared, record).await;
        self.shared
            .signal(Signal::Cancel, &record.id, &record.workflow)
            .await;
        Ok(true)
    }

    /// Changes a run that is not worked on by the fact that `choose` finds, and goes on with it.
    async fn change(
        &self,
        operation: &'static str,
        run: &str,
        choose: impl Fn(&Machine) -> Result<Fact>,
    ) -> Result<()> {
        self.shared.check_open(operation)?;
        let mut record = self.record(operation, run).await?;
        let workflow = self.workflow_of(operation, &record).await?;
        let mut replayed = self.shared.replay_changed(&record, &workflow).await?;
        let fact = choose(&replayed.machine)?;
        replayed.published = self.told(&record, &replayed, operation).await?;
        let entry = encode(replayed.published, &fact)?;
        replayed.machine.take_commands();
        if let Err(mismatch) = replayed.machine.apply(&fact) {
            return Err(
                Error::new(ErrorKind::WrongState, operation, mismatch.0).with_subject(record.id)
            );
        }
        let here = self.shared.workflow(&record.workflow).is_some();
        let active = match here {
            true => self.shared.enter(&record.id),
            false => None,
        };
        if active.is_some() {
            record.body.graph = workflow.hash();
        }
        let changed = self.commit_change(operation, record, &mut replayed, entry, active.is_some());
        match (changed.await, active) {
            (Ok(record), Some(active)) => self.shared.set_off(active, record, replayed, true),
            (Ok(record), None) => self.hand_on(&record).await,
            (Err(error), active) => {
                if active.is_some() {
                    self.shared.leave(&run.to_owned().into(), None);
                }
                self.shared.leave_behind_if(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How much of a run that halted or ended is told for certain: everything, if its note is gone. Who is about to tell it
    /// gets a moment to do so.
    async fn told(
        &self,
        record: &RunRecord,
        replayed: &Replayed,
        operation: &'static str,
    ) -> Result<u64> {
        const LOOKS: u32 = 5;
        const PAUSE: Duration = Duration::from_millis(5);
        let all = replayed.machine.noted();
        let note = outbox::key(&record.id, replayed.end);
        for look in 0..LOOKS {
            if self.shared.has_told(&note) {
                return Ok(all);
            }
            let noted = self.shared.store.get(OUTBOX, &note).await;
            match noted.map_err(|error| Error::store(operation, error))? {
                None => return Ok(all),
                Some(note) if !self.shared.is_alive(&note.body).await? => break,
                Some(_) if look + 1 < LOOKS => sleep(PAUSE).await,
                Some(_) => {}
            }
        }
        Ok(replayed.published)
    }

    async fn commit_change(
        &self,
        operation: &'static str,
        mut record: RunRecord,
        replayed: &mut Replayed,
        entry: bytes::Bytes,
        take: bool,
    ) -> Result<RunRecord> {
        record.status = if take {
            RunStatus::Running
        } else {
            RunStatus::Pending
        };
        record.due = (!take).then(|| self.shared.now());
        record.body.worker = take.then(|| self.shared.worker().to_string());
        record.body.ended = None;
        record.body.cleared = false;
        record.body.exact = false;
        record.body.empty();
        let expect = Expect::Version(record.version);
        let (id, index) = (record.id.clone(), record.index());
        let commit = Commit::new()
            .put(RUNS, id, expect, index, record.json()?)
            .append_at(record.log(), replayed.end, [entry]);
        replayed.end += 1;
        let changed = self.shared.insist(&commit, a_few).await;
        let lost = || already(operation, &record.id);
        record.version = changed.kept(operation, &record.id, lost)?;
        Ok(record)
    }

    fn now(&self) -> At {
        At(self.shared.now())
    }

    /// Leaves the rest to others.
    async fn hand_on(&self, record: &RunRecord) {
        self.shared.due.notify_one();
        self.shared
            .signal(Signal::Resume, &record.id, &record.workflow)
            .await;
    }

    pub(super) async fn record(&self, operation: &'static str, run: &str) -> Result<RunRecord> {
        let found = self.shared.store.get(RUNS, run).await;
        match found.map_err(|error| Error::store(operation, error))? {
            Some(record) => RunRecord::read(&record),
            None => {
                let message = "there is no such run, or its retention is over";
                let id: Text = run.to_owned().into();
                Err(Error::new(ErrorKind::NotFound, operation, message).with_subject(id))
            }
        }
    }
}

fn expect(machine: &Machine, operation: &'static str, holds: bool, what: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    let message = format!("the run is not {what}: it is {}", machine.status());
    Err(Error::new(ErrorKind::WrongState, operation, message)
        .with_subject(machine.run_id().clone()))
}

fn already(operation: &'static str, run: &str) -> Error {
    let run: Text = run.to_owned().into();
    let error = match operation {
        "resume" => Error::new(
            ErrorKind::AlreadyResumed,
            operation,
            "somebody else has resumed the run",
        ),
        _ => Error::new(
            ErrorKind::Conflict,
            operation,
            "somebody else has changed the run meanwhile; look at it again",
        ),
    };
    error.with_subject(run)
}

fn too_busy(operation: &'static str, run: &str) -> Error {
    let run: Text = run.to_owned().into();
    let message = format!("the run changed {ATTEMPTS} times meanwhile; try again");
    Error::new(ErrorKind::Conflict, operation, message).with_subject(run)
}

/// Where a run begins again, and with what.
#[derive(Debug, Clone, Default)]
pub struct TimeTravel(Travel);

impl TimeTravel {
    /// To the step called `step`; `outer.inner` for one of a nested workflow.
    pub fn to(step: impl AsRef<str>) -> Self {
        Self(Travel {
            step: step.as_ref().split('.').map(str::to_owned).collect(),
            ..Travel::default()
        })
    }

    /// The input of that step, instead of what the step before returned.
    #[must_use]
    pub fn input(mut self, input: Data) -> Self {
        self.0.input = Some(input);
        self
    }

    /// What that step is resumed with.
    #[must_use]
    pub fn resume_data(mut self, data: Data) -> Self {
        self.0.resume = Some(data);
        self
    }

    /// The state from then on: an object.
    #[must_use]
    pub fn state(mut self, state: Data) -> Self {
        self.0.state = Some(state);
        self
    }

    /// What the step `id`, which is before it, is to have returned.
    #[must_use]
    pub fn output_of(mut self, id: impl Into<String>, output: Data) -> Self {
        self.0.outputs.push((id.into(), output));
        self
    }

    /// Stops after that entry.
    #[must_use]
    pub fn per_step(mut self, per_step: bool) -> Self {
        self.0.per_step = per_step;
        self
    }
}

impl From<TimeTravel> for Travel {
    fn from(travel: TimeTravel) -> Self {
        travel.0
    }
}
