//! Taking runs: new ones, those that are due, and those of processes that are gone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bowline_events::Text;
use bowline_store::{Commit, Expect, LogInfo};

use futures_util::FutureExt;

use super::commit::store_error;
use super::driver::Driver;
use super::insist::{Insisted, a_few};
use super::outbox;
use super::publish::Voice;
use super::record::{JOURNAL, RUNS, Replayed, RunBody, RunRecord, encode};
use super::shared::{Active, Shared};
use crate::machine::{At, Fact, RunStatus};
use crate::{Error, ErrorKind, Result, Workflow};

/// Entries of a journal that are read at a time.
const PAGE: usize = 1000;

/// What a run begins with.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) run_id: Text,
    pub(crate) resource: Option<Text>,
    pub(crate) fact: Fact,
}

impl Shared {
    /// Makes a run, and works on it if there is room; otherwise whoever is told, or finds it, does.
    pub(super) async fn begin(
        self: &Arc<Self>,
        workflow: &Workflow,
        begin: Begin,
    ) -> Result<Option<Arc<Active>>> {
        let at = begin.fact.at();
        if self.active(&begin.run_id).is_some() {
            return Err(exists(&begin.run_id));
        }
        let active = self.enter(&begin.run_id);
        let worker = active.is_some().then(|| self.worker().to_string());
        let mut record = RunRecord {
            id: begin.run_id.clone(),
            version: 0,
            status: if active.is_some() {
                RunStatus::Running
            } else {
                RunStatus::Pending
            },
            workflow: workflow.id().clone(),
            resource: begin.resource,
            created: at,
            updated: at,
            due: active.is_none().then_some(at),
            body: RunBody::new(workflow.hash(), worker),
        };
        let made = self.make(&mut record, workflow, &begin.fact).await;
        match (made, active) {
            (Ok(replayed), Some(active)) => {
                self.set_off(Arc::clone(&active), record, replayed, false);
                Ok(Some(active))
            }
            (Ok(_), None) => Ok(None),
            (Err(error), active) => {
                if active.is_some() {
                    self.leave(&begin.run_id, None);
                    self.leave_behind_if(&error);
                }
                Err(error)
            }
        }
    }

    async fn make(
        &self,
        record: &mut RunRecord,
        workflow: &Workflow,
        fact: &Fact,
    ) -> Result<Replayed> {
        let mut replayed = Replayed::new(record.id.clone(), workflow.clone());
        replayed.machine.apply(fact).map_err(|mismatch| {
            Error::new(ErrorKind::InvalidInput, "start", mismatch.0).with_subject(record.id.clone())
        })?;
        replayed.end = 1;
        let (id, index) = (record.id.clone(), record.index());
        let commit = Commit::new()
            .put(RUNS, id, Expect::Absent, index, record.json()?)
            .append_at(record.log(), 0, [encode(0, fact)?]);
        let made = self.insist(&commit, a_few).await;
        record.version = made.kept("start", &record.id, || exists(&record.id))?;
        Ok(replayed)
    }

    /// Works on a run from now on, on a task of its own. `ask`: more of it may be told than its journal says.
    pub(super) fn set_off(
        self: &Arc<Self>,
        active: Arc<Active>,
        record: RunRecord,
        replayed: Replayed,
        ask: bool,
    ) {
        let run = record.id.clone();
        let shared = Arc::clone(self);
        let driver = Driver::new(Arc::clone(self), active, record, replayed);
        tokio::spawn(async move {
            if AssertUnwindSafe(driver.drive(ask))
                .catch_unwind()
                .await
                .is_err()
            {
                tracing::error!(run = %run, "the driver of a run panicked; the run is taken over again");
                shared.leave(&run, None);
                shared.leave_behind();
            }
        });
    }

    /// A run as its journal tells it.
    pub(crate) async fn replay(&self, run: &Text, workflow: &Workflow) -> Result<Replayed> {
        self.replay_until(run, workflow, u64::MAX).await
    }

    /// A run as the first `until` facts of its journal tell it.
    pub(super) async fn replay_until(
        &self,
        run: &Text,
        workflow: &Workflow,
        until: u64,
    ) -> Result<Replayed> {
        self.replay_on(Replayed::new(run.clone(), workflow.clone()), until)
            .await
    }

    /// A run that is `replayed` in part, with what else is among the first `until` facts of its journal.
    pub(super) async fn replay_on(&self, mut replayed: Replayed, until: u64) -> Result<Replayed> {
        let log = JOURNAL.log(replayed.machine.run_id().clone());
        loop {
            let page = self
                .store
                .read_log(&log, replayed.end, PAGE)
                .await
                .map_err(store_error("replay"))?;
            for entry in page.entries.iter().filter(|entry| entry.position < until) {
                replayed.apply(entry.position, &entry.body)?;
            }
            let end = page.info.map_or(0, |info: LogInfo| info.end).min(until);
            if page.entries.is_empty() || replayed.end >= end {
                return Ok(replayed);
            }
        }
    }

    /// Takes a run that nobody works on. `orphan`: somebody did, and is gone. Nothing happens when somebody else is faster.
    pub(super) async fn take(self: &Arc<Self>, record: RunRecord, orphan: bool) -> Result<()> {
        let Some(workflow) = self.workflow(&record.workflow).cloned() else {
            return Ok(());
        };
        let Some(active) = self.enter(&record.id) else {
            return Ok(());
        };
        let run = record.id.clone();
        match self.claim(record, &workflow, orphan).await {
            Ok(Some((record, replayed, ask))) => {
                self.set_off(active, record, replayed, ask);
                Ok(())
            }
            Ok(None) => {
                self.leave(&run, None);
                Ok(())
            }
            Err(error) => {
                self.leave(&run, None);
                self.leave_behind_if(&error);
                Err(error)
            }
        }
    }

    /// Enters this engine as the one that works on a run; `None` when somebody else was faster. The last part: whether more of it
    /// may be told than its journal says.
    async fn claim(
        &self,
        mut record: RunRecord,
        workflow: &Workflow,
        orphan: bool,
    ) -> Result<Option<(RunRecord, Replayed, bool)>> {
        // Who gave it back has told what its journal says is told, and no more.
        let exact = record.body.exact && !orphan;
        let replayed = match exact {
            true => self.replay_given(&record, workflow).await,
            false => self.replay_changed(&record, workflow).await,
        };
        let mut replayed = match replayed {
            Ok(replayed) => replayed,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.give_up_on(record, &error).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let told = record.body.told.unwrap_or(0);
        replayed.published = replayed.published.max(told);
        let mut commit = Commit::new();
        if orphan {
            let fact = Fact::Recovered { at: At(self.now()) };
            let entry = encode(replayed.published, &fact)?;
            if let Err(mismatch) = replayed.machine.apply(&fact) {
                let message = format!("it cannot be recovered: {}", mismatch.0);
                let error = Error::new(ErrorKind::Corrupt, "recover", message);
                self.give_up_on(record, &error).await;
                return Ok(None);
            }
            commit = commit.append_at(record.log(), replayed.end, [entry]);
            commit = self.unless_renewed(commit, record.body.worker.as_deref());
            replayed.end += 1;
        }
        replayed.machine.ask_again();
        record.status = RunStatus::Running;
        record.due = None;
        record.body.worker = Some(self.worker().to_string());
        record.body.exact = false;
        // It fits so far, and what follows is of this definition.
        record.body.graph = workflow.hash();
        let expect = Expect::Version(record.version);
        let (id, index) = (record.id.clone(), record.index());
        let commit = commit.put(RUNS, id, expect, index, record.json()?);
        match self.insist(&commit, a_few).await {
            Insisted::Kept(version) => record.version = version,
            Insisted::Lost(_) => return Ok(None),
            Insisted::Failed(error) => {
                return Err(Error::store("take", error).with_subject(record.id));
            }
        }
        Ok(Some((record, replayed, !exact)))
    }

    /// A run whose journal does not fit has failed, where everybody can see it. Whoever believes that he works on it is
    /// stopped.
    async fn give_up_on(&self, mut record: RunRecord, error: &Error) {
        tracing::error!(run = %record.id, %error, "a run cannot go on");
        let at = self.now();
        record.fail(error.message(), at, self.options.watch_retention);
        let end = match self.store.log_info(&record.log()).await {
            Ok(info) => info.map_or(0, |info| info.end),
            Err(error) => {
                tracing::warn!(run = %record.id, %error, "a failed run was not written down");
                return;
            }
        };
        let expect = Expect::Version(record.version);
        let fence = Fact::Recovered { at: At(at) };
        let (Ok(json), Ok(fence)) = (record.json(), encode(0, &fence)) else {
            return;
        };
        let commit = Commit::new()
            .put(RUNS, record.id.clone(), expect, record.index(), json)
            .append_at(record.log(), end, [fence]);
        let worker = self.worker();
        let wait = self.options.lease;
        let (commit, key) = outbox::note(commit, &record.id, end + 1, at, wait, &worker);
        match self.insist(&commit, a_few).await {
            Insisted::Kept(version) => {
                let voice = Voice::new(&record.id, 0);
                for notice in self.last_words(&record) {
                    self.publisher.tell(&voice, notice).await;
                }
                self.publisher.note(&voice, key, version).await;
            }
            Insisted::Lost(_) => {}
            Insisted::Failed(error) => {
                tracing::warn!(run = %record.id, %error, "a failed run was not written down");
            }
        }
    }
}

pub(super) fn exists(run: &Text) -> Error {
    let message = "a run has this id already; choose another one or leave it out";
    Error::new(ErrorKind::AlreadyExists, "start", message).with_subject(run.clone())
}
