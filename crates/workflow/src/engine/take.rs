//! Taking runs: new ones, those that are due, and those of processes that are gone.

use std::sync::Arc;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, LogInfo};

use super::commit::store_error;
use super::driver::Driver;
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
    /// Makes a run, and works on it if `take`; otherwise whoever is told, or finds it, does.
    pub(super) async fn begin(
        self: &Arc<Self>,
        workflow: &Workflow,
        begin: Begin,
        take: bool,
    ) -> Result<Option<Arc<Active>>> {
        let at = begin.fact.at();
        let active = match take {
            true => Some(
                self.enter(&begin.run_id)
                    .ok_or_else(|| exists(&begin.run_id))?,
            ),
            false => None,
        };
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
                self.set_off(Arc::clone(&active), record, replayed);
                Ok(Some(active))
            }
            (Ok(_), None) => Ok(None),
            (Err(error), _) => {
                if take {
                    self.leave(&begin.run_id, None);
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
        let commit = Commit::new()
            .put(
                RUNS,
                record.id.clone(),
                Expect::Absent,
                record.index(),
                record.json()?,
            )
            .append_at(record.log(), 0, [encode(0, fact)?]);
        match self.store.commit(commit).await {
            Ok(committed) => {
                record.version = committed.version;
                Ok(replayed)
            }
            Err(error) if error.conflict().is_some() => Err(exists(&record.id).with_source(error)),
            Err(error) => Err(Error::store("start", error).with_subject(record.id.clone())),
        }
    }

    /// Works on a run from now on, on a task of its own.
    pub(super) fn set_off(
        self: &Arc<Self>,
        active: Arc<Active>,
        record: RunRecord,
        mut replayed: Replayed,
    ) {
        let notices = replayed.machine.take_notices();
        let mut driver = Driver::new(Arc::clone(self), active, record, replayed);
        tokio::spawn(async move {
            driver.tell(notices).await;
            driver.drive().await;
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
        let log = JOURNAL.log(run.clone());
        let mut replayed = Replayed::new(run.clone(), workflow.clone());
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
        if !self.has_room() {
            return Ok(());
        }
        let Some(active) = self.enter(&record.id) else {
            return Ok(());
        };
        let run = record.id.clone();
        match self.claim(record, &workflow, orphan).await {
            Ok(Some((record, replayed))) => {
                self.set_off(active, record, replayed);
                Ok(())
            }
            Ok(None) => {
                self.leave(&run, None);
                Ok(())
            }
            Err(error) => {
                self.leave(&run, None);
                Err(error)
            }
        }
    }

    async fn claim(
        &self,
        mut record: RunRecord,
        workflow: &Workflow,
        orphan: bool,
    ) -> Result<Option<(RunRecord, Replayed)>> {
        let mut replayed = match self.replay(&record.id, workflow).await {
            Ok(replayed) => replayed,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.give_up_on(record, &error).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let pending = self.to_tell(&mut replayed, record.status, orphan).await;
        let mut commit = Commit::new();
        if orphan {
            let fact = Fact::Recovered {
                at: At(Timestamp::now()),
            };
            // What this fact brings about is told after the commit.
            let entry = encode(replayed.published, &fact)?;
            if let Err(mismatch) = replayed.machine.apply(&fact) {
                tracing::error!(run = %record.id, "a run cannot be recovered: {}", mismatch.0);
                return Ok(None);
            }
            commit = commit.append_at(record.log(), replayed.end, [entry]);
            replayed.end += 1;
        }
        let untold = pending.len() + replayed.machine.untaken();
        replayed.published = replayed.machine.noted().saturating_sub(untold as u64);
        replayed.machine.put_back(pending);
        replayed.machine.ask_again();
        let ended = !replayed.machine.status().is_active();
        if ended {
            record.status = replayed.machine.status();
            record.body.settle(&replayed.machine, Timestamp::now());
            record.due = record
                .status
                .is_final()
                .then(|| super::commit::later(Timestamp::now(), self.options.watch_retention));
        } else {
            record.status = RunStatus::Running;
            record.due = None;
            record.body.worker = Some(self.worker().to_string());
        }
        if record.body.graph.is_empty() {
            record.body.graph = workflow.hash();
        }
        let expect = Expect::Version(record.version);
        let commit = commit.put(
            RUNS,
            record.id.clone(),
            expect,
            record.index(),
            record.json()?,
        );
        match self.store.commit(commit).await {
            Ok(committed) => record.version = committed.version,
            Err(error) if error.conflict().is_some() => return Ok(None),
            Err(error) => return Err(Error::store("take", error)),
        }
        Ok(Some((record, replayed)))
    }

    /// What is to be told of a run that is taken. Who gave it back has told everything, who made or changed it for others
    /// nothing of that, and who died perhaps.
    async fn to_tell(
        &self,
        replayed: &mut Replayed,
        status: RunStatus,
        orphan: bool,
    ) -> Vec<crate::machine::Notice> {
        let known = replayed.machine.take_notices();
        let first = usize::try_from(replayed.published).unwrap_or(usize::MAX);
        let after: Vec<_> = known.into_iter().skip(first).collect();
        match status {
            RunStatus::Waiting => Vec::new(),
            _ if orphan => self.untold(after).await,
            _ => after,
        }
    }

    /// A run whose journal does not fit has failed, where everybody can see it.
    async fn give_up_on(&self, mut record: RunRecord, error: &Error) {
        tracing::error!(run = %record.id, %error, "a run cannot go on");
        let at = Timestamp::now();
        let failure = crate::machine::Failure::new("WorkflowMismatchError", error.message());
        record.status = RunStatus::Failed;
        record.body.error = Some(failure.error);
        record.body.worker = None;
        record.body.ended = Some(at.as_millis());
        record.due = Some(super::commit::later(at, self.options.run_retention));
        let expect = Expect::Version(record.version);
        let Ok(json) = record.json() else { return };
        let commit = Commit::new().put(RUNS, record.id.clone(), expect, record.index(), json);
        if let Err(error) = self.store.commit(commit).await {
            tracing::warn!(run = %record.id, %error, "a failed run was not written down");
        }
    }

    /// Of what was perhaps not told before a crash, what the bus does not have.
    pub(super) async fn untold(
        &self,
        mut notices: Vec<crate::machine::Notice>,
    ) -> Vec<crate::machine::Notice> {
        const LOOK_BACK: usize = 1000;
        if notices.is_empty() || !self.bus.capabilities().replay {
            return notices;
        }
        let topics: std::collections::HashSet<Text> =
            notices.iter().map(|notice| notice.run_id.clone()).collect();
        for run in topics {
            let topic = bowline_events::Topic::workflow_events(&run);
            let mut from = 0;
            while let Ok(events) = self.bus.history(&topic, from, LOOK_BACK).await {
                let Some(last) = events.last() else { break };
                from = last
                    .index
                    .map_or(from + events.len() as u64, |index| index + 1);
                for event in &events {
                    let Ok(json) = event.data.to_json() else {
                        continue;
                    };
                    notices.retain(|notice| {
                        notice.run_id != run || notice.json.as_bytes() != &json[..]
                    });
                }
            }
        }
        notices
    }
}

pub(super) fn exists(run: &Text) -> Error {
    let message = "a run has this id already; choose another one or leave it out";
    Error::new(ErrorKind::AlreadyExists, "start", message).with_subject(run.clone())
}
