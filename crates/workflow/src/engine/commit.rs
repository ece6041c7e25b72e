//! Writing down what happened to a run, and giving runs back.

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect};
use bytes::Bytes;
use tokio::time::sleep;

use super::driver::{Driver, Left};
use super::outbox;
use super::record::{RUNS, RunRecord, encode};
use crate::machine::{Fact, Failure, Notice, RunStatus};
use crate::{Error, Result};

/// The pauses between attempts while the store is away.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Driver {
    /// Commits facts that the machine knows already, with the record if the run does not go on. `false` when somebody else
    /// has changed the run.
    pub(super) async fn commit(&mut self, facts: &[Fact]) -> bool {
        match self.prepare(facts) {
            Ok((commit, entries)) => self.commit_surely(commit, &entries).await,
            Err(error) => {
                tracing::error!(run = %self.run_id(), %error, "what happened to a run cannot be written");
                false
            }
        }
    }

    fn prepare(&mut self, facts: &[Fact]) -> Result<(Commit, Vec<Bytes>)> {
        let published = self.published();
        let entries: Result<Vec<Bytes>> =
            facts.iter().map(|fact| encode(published, fact)).collect();
        let entries = entries?;
        let mut commit =
            Commit::new().append_at(self.record.log(), self.end, entries.iter().cloned());
        if !self.status().is_active() {
            let at = facts.last().map_or_else(Timestamp::now, Fact::at);
            self.record.status = self.status();
            self.record.body.settle(&self.machine, at);
            let kept = self.shared.options.watch_retention;
            self.record.due = self.status().is_final().then(|| later(at, kept));
            let end = self.end + entries.len() as u64;
            let wait = self.shared.options.lease;
            let (noted, key) = outbox::note(commit, self.run_id(), end, at, wait);
            self.to_tell = Some(key);
            commit = self.put(noted)?;
        }
        Ok((commit, entries))
    }

    fn put(&self, commit: Commit) -> Result<Commit> {
        let expect = Expect::Version(self.record.version);
        let json = self.record.json()?;
        Ok(commit.put(
            RUNS,
            self.record.id.clone(),
            expect,
            self.record.index(),
            json,
        ))
    }

    /// Commits whatever it takes while the store is away: a commit may have been kept although its answer was lost.
    async fn commit_surely(&mut self, commit: Commit, entries: &[Bytes]) -> bool {
        let mut pause = FIRST_PAUSE;
        let mut uncertain = false;
        loop {
            let error = match self.shared.store.commit(commit.clone()).await {
                Ok(committed) => {
                    self.end += entries.len() as u64;
                    self.record.version = self.written(&commit, committed.version);
                    return true;
                }
                Err(error) => error,
            };
            match error.kind() {
                bowline_store::ErrorKind::Conflict => {
                    return uncertain && self.was_kept(&commit, entries).await;
                }
                bowline_store::ErrorKind::Io => uncertain = true,
                kind if kind.is_retryable() => uncertain = true,
                _ => {
                    tracing::error!(run = %self.run_id(), %error, "what happened to a run was not written; another process will go on");
                    return false;
                }
            }
            tracing::warn!(run = %self.run_id(), %error, "the store is away; trying again");
            if self.shared.is_abandoning() {
                return false;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn written(&self, commit: &Commit, version: u64) -> u64 {
        match commit
            .operations()
            .iter()
            .any(|operation| operation.table() == RUNS)
        {
            true => version,
            false => self.record.version,
        }
    }

    /// Whether the journal has exactly these entries where they were to be.
    async fn was_kept(&mut self, commit: &Commit, entries: &[Bytes]) -> bool {
        let log = self.record.log();
        let page = self.shared.store.read_log(&log, self.end, entries.len());
        let kept = match page.await {
            Ok(page) => page
                .entries
                .iter()
                .map(|entry| &entry.body)
                .eq(entries.iter()),
            Err(_) => false,
        };
        let record = self.shared.store.get(RUNS, self.run_id()).await;
        match (kept, record) {
            (true, Ok(Some(record))) => {
                self.end += entries.len() as u64;
                self.record.version = self.written(commit, record.version);
                true
            }
            _ => false,
        }
    }

    /// Whether the run is still this driver's.
    pub(super) async fn is_ours(&mut self) -> bool {
        let record = match self.shared.store.get(RUNS, self.run_id()).await {
            Ok(Some(record)) => RunRecord::read(&record),
            Ok(None) => return false,
            // The next commit will tell.
            Err(_) => return true,
        };
        record.is_ok_and(|record| record.version == self.record.version)
    }

    /// The run sleeps: whoever is awake then goes on with it.
    pub(super) async fn park(&mut self, until: Timestamp) -> Left {
        self.record.status = RunStatus::Waiting;
        self.hand_over(until).await
    }

    /// The engine is closed: others go on with the run.
    pub(super) async fn release(&mut self) -> Left {
        self.record.status = RunStatus::Waiting;
        self.hand_over(Timestamp::now()).await
    }

    async fn hand_over(&mut self, due: Timestamp) -> Left {
        self.record.due = Some(due);
        self.record.body.worker = None;
        match self.put(Commit::new()) {
            Ok(commit) => {
                self.commit_surely(commit, &[]).await;
            }
            Err(error) => tracing::error!(run = %self.run_id(), %error, "a run was not given back"),
        }
        self.shared.due.notify_one();
        Left::Gone
    }

    /// The run cannot go on: its definition has changed, or its journal is damaged.
    pub(super) async fn break_off(&mut self, problem: &str) -> bool {
        let at = Timestamp::now();
        let failure = Failure::new("WorkflowMismatchError", problem);
        self.record.status = RunStatus::Failed;
        self.record.body.settle(&self.machine, at);
        self.record.body.error = Some(failure.error);
        self.record.body.ended = Some(at.as_millis());
        self.record.due = Some(later(at, self.shared.options.run_retention));
        if let Ok(commit) = self.put(Commit::new()) {
            self.commit_surely(commit, &[]).await;
        }
        let notice = Notice::finish(self.run_id(), RunStatus::Failed);
        self.tell(vec![notice]).await;
        false
    }
}

/// The instant `after` later than `at`.
pub(super) fn later(at: Timestamp, after: Duration) -> Timestamp {
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(after))
}

/// A failure of the store while a run is read or written from outside.
pub(super) fn store_error(operation: &'static str) -> impl Fn(bowline_store::Error) -> Error {
    move |error| Error::store(operation, error)
}
