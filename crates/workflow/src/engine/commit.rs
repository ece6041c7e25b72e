//! Writing down what happened to a run, and giving runs back.

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Commit, ErrorKind, Expect};
use tokio::time::Instant;

use super::driver::{Driver, Left};
use super::insist::Insisted;
use super::outbox;
use super::record::{RUNS, encode};
use super::signal::Signal;
use crate::machine::{Fact, Notice, RunStatus};
use crate::{Error, Result};

/// How long a run that sleeps waits for its events to be published before it is given back.
const TELLING: Duration = Duration::from_secs(1);

impl Driver {
    /// Commits facts that the machine knows already, with the record if the run does not go on. `false` when somebody else
    /// has changed the run, or when it ended here because the store does not take it.
    pub(super) async fn commit(&mut self, facts: &[Fact]) -> bool {
        let (commit, entries) = match self.prepare(facts) {
            Ok(prepared) => prepared,
            Err(error) => {
                return self
                    .break_off(&format!("what happened cannot be written: {error}"))
                    .await;
            }
        };
        let settles = !self.machine.status().is_active();
        let shared = &self.shared;
        match shared.insist(&commit, |_| !shared.is_abandoning()).await {
            Insisted::Kept(version) => {
                self.end += entries;
                if settles {
                    self.record.version = version;
                }
                true
            }
            Insisted::Lost(_) => false,
            Insisted::Failed(error) => {
                self.refused(&error).await;
                false
            }
        }
    }

    /// Commits facts, and with them that others may go on with the run.
    pub(super) async fn let_go(&mut self, facts: &[Fact]) -> Left {
        let prepared = self.append(facts).and_then(|(commit, entries)| {
            self.give_back(RunStatus::Pending, self.shared.now());
            self.record.body.exact = true;
            Ok((self.put(commit)?, entries))
        });
        let (commit, entries) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let problem = format!("what happened cannot be written: {error}");
                self.break_off(&problem).await;
                return Left::Gone;
            }
        };
        let shared = &self.shared;
        match shared.insist(&commit, |_| !shared.is_abandoning()).await {
            Insisted::Kept(version) => self.record.version = version,
            // Nobody else could have written that, so it was kept, and somebody has the run by now.
            Insisted::Lost(_) if shared.has_appended(&commit).await => {}
            Insisted::Lost(_) => return Left::Gone,
            Insisted::Failed(error) => {
                self.refused(&error).await;
                return Left::Gone;
            }
        }
        self.end += entries;
        self.voice.silence();
        Left::Offered
    }

    /// The store does not take what happened.
    async fn refused(&mut self, error: &bowline_store::Error) {
        tracing::error!(run = %self.run_id(), %error, "what happened to a run was not written");
        if matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::InvalidInput) {
            let problem = format!("the store does not take what happened: {error}");
            self.break_off(&problem).await;
        }
    }

    /// Appends facts to the journal; how many entries that are.
    fn append(&self, facts: &[Fact]) -> Result<(Commit, u64)> {
        let published = self.voice.published();
        let entries: Result<Vec<_>> = facts.iter().map(|fact| encode(published, fact)).collect();
        let entries = entries?;
        let count = entries.len() as u64;
        let mut commit = Commit::new();
        if !entries.is_empty() {
            commit = commit.append_at(self.record.log(), self.end, entries);
        }
        Ok((commit, count))
    }

    fn prepare(&mut self, facts: &[Fact]) -> Result<(Commit, u64)> {
        let (mut commit, count) = self.append(facts)?;
        if !self.machine.status().is_active() {
            let at = facts.last().map_or_else(|| self.shared.now(), Fact::at);
            self.record.status = self.machine.status();
            self.record.body.settle(&self.machine, at);
            let kept = self.shared.options.watch_retention;
            self.record.due = self.record.status.is_final().then(|| later(at, kept));
            let wait = self.shared.options.lease;
            let worker = self.shared.worker();
            let end = self.end + count;
            let (noted, key) = outbox::note(commit, self.run_id(), end, at, wait, &worker);
            self.to_tell = Some(key);
            commit = self.put(noted)?;
        }
        Ok((commit, count))
    }

    fn put(&self, commit: Commit) -> Result<Commit> {
        let expect = Expect::Version(self.record.version);
        let json = self.record.json()?;
        let (id, index) = (self.record.id.clone(), self.record.index());
        Ok(commit.put(RUNS, id, expect, index, json))
    }

    /// Whether the run is still this driver's. If the engine has another name since it took the run, the record gets it.
    pub(super) async fn is_ours(&mut self) -> bool {
        let term = self.active.fence.term();
        let record = match self.shared.store.get(RUNS, self.run_id()).await {
            Ok(Some(record)) => record,
            Ok(None) => return false,
            // The next commit will tell.
            Err(_) => return true,
        };
        if record.version != self.record.version {
            return false;
        }
        let worker = self.shared.worker().to_string();
        let ours = self.record.body.worker.as_ref() == Some(&worker) || {
            self.record.body.worker = Some(worker);
            self.write_record().await
        };
        if ours {
            self.active.fence.confirm(term);
        }
        ours
    }

    /// Writes the record as it is. `false` when somebody else has changed it, or the store is away for good.
    async fn write_record(&mut self) -> bool {
        let commit = match self.put(Commit::new()) {
            Ok(commit) => commit,
            Err(error) => {
                tracing::error!(run = %self.run_id(), %error, "the record of a run cannot be written");
                return false;
            }
        };
        let shared = &self.shared;
        match shared.insist(&commit, |_| !shared.is_abandoning()).await {
            Insisted::Kept(version) => {
                self.record.version = version;
                true
            }
            Insisted::Lost(_) => false,
            Insisted::Failed(error) => {
                tracing::error!(run = %self.run_id(), %error, "the record of a run was not written");
                false
            }
        }
    }

    /// The run sleeps: whoever is awake then goes on with it.
    pub(super) async fn park(&mut self, until: Timestamp) -> Left {
        self.hand_over(RunStatus::Waiting, until, TELLING).await
    }

    /// The engine is closed: others go on with the run. What it has begun ends first, so that nothing runs twice at a time.
    pub(super) async fn release(&mut self) -> Left {
        let facts = self.stop().await;
        if !facts.is_empty()
            && let Some(left) = self.advance(facts).await
        {
            return left;
        }
        let telling = self.shared.options.drain / 2;
        let now = self.shared.now();
        let left = self.hand_over(RunStatus::Pending, now, telling).await;
        let record = &self.record;
        let signal = self
            .shared
            .signal(Signal::Resume, &record.id, &record.workflow);
        signal.await;
        left
    }

    async fn hand_over(&mut self, status: RunStatus, due: Timestamp, telling: Duration) -> Left {
        let deadline = Instant::now() + telling;
        let publisher = &self.shared.publisher;
        let all = self.machine.noted();
        publisher.wait_for(&self.voice, all, deadline).await;
        self.voice.silence();
        self.give_back(status, due);
        self.record.body.told = Some(self.voice.published());
        let written = self.write_record().await;
        self.shared.due.notify_one();
        if written { Left::Handed } else { Left::Gone }
    }

    fn give_back(&mut self, status: RunStatus, due: Timestamp) {
        self.record.status = status;
        self.record.due = Some(due);
        self.record.body.worker = None;
    }

    /// The run cannot go on: its definition has changed, or its journal is damaged.
    pub(super) async fn break_off(&mut self, problem: &str) -> bool {
        let at = self.shared.now();
        self.record.body.settle(&self.machine, at);
        self.record.body.empty();
        self.record.body.large = false;
        let kept = self.shared.options.watch_retention;
        self.record.fail(problem, at, kept);
        if self.write_record().await {
            let notice = Notice::finish(self.run_id(), RunStatus::Failed);
            self.tell(vec![notice]).await;
        }
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
