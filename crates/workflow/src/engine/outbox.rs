//! What a run had to tell when it ended or halted: told for certain, also when the process dies before it could.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Index, Record, Table};

use super::commit::{later, store_error};
use super::lease::WORKERS;
use super::publish::Voice;
use super::record::{RUNS, RunRecord};
use super::shared::{Shared, lock};
use crate::machine::{Machine, Notice};
use crate::{ErrorKind, Result, Workflow};

/// One record for every end or halt of a run that may not be told yet, by run and position in its journal. The body is the
/// worker that is to tell it, if there is one; `due` is when the others look whether it did.
pub(super) const OUTBOX: Table = Table::new("outbox");

/// Records that are removed together.
const BATCH: usize = 256;
const PAGE: usize = 100;
/// How much later a note is looked at again whose workflow nobody here knows, or whose run cannot be read.
const POSTPONED: Duration = Duration::from_secs(60);

/// Notes in `commit` that what the facts before `end` brought about is to be told, by `worker` at first.
pub(super) fn note(
    commit: Commit,
    run: &Text,
    end: u64,
    at: Timestamp,
    wait: Duration,
    worker: &str,
) -> (Commit, Text) {
    let key = key(run, end);
    let index = Index::new(at).due(later(at, wait));
    let commit = commit.put(
        OUTBOX,
        key.clone(),
        Expect::Absent,
        index,
        worker.to_owned(),
    );
    (commit, key)
}

pub(super) fn key(run: &Text, end: u64) -> Text {
    format!("{run}:{end}").into()
}

/// What became of a note that was due.
enum Told {
    Done,
    /// Somebody tells it, who removes it then.
    Settled,
    /// It is looked at again after this time.
    Later(Duration),
}

impl Shared {
    /// Removes the notes of what was told.
    pub(super) async fn sweep_outbox(&self) {
        let told = std::mem::take(&mut *lock(&self.told));
        for some in told.chunks(BATCH) {
            let delete = |commit: Commit, (key, version): &(Text, u64)| {
                commit.delete(OUTBOX, key.clone(), *version)
            };
            let together = some.iter().fold(Commit::new(), delete);
            if self.commit(together).await.is_ok() {
                continue;
            }
            for one in some {
                match self.commit(delete(Commit::new(), one)).await {
                    // Somebody has told it once more, because it took so long.
                    Err(error) if error.conflict().is_none() => lock(&self.told).push(one.clone()),
                    _ => {}
                }
            }
        }
    }

    /// Whether this engine has told what a note is about, and will remove the note.
    pub(super) fn has_told(&self, note: &Text) -> bool {
        lock(&self.told).iter().any(|(key, _)| key == note)
    }

    /// Tells what others could not tell any more. One run that cannot be read keeps nobody from the rest.
    pub(super) async fn tell_for_others(self: &Arc<Self>, now: Timestamp) -> Result<()> {
        let due = self
            .store
            .due(OUTBOX, now, PAGE)
            .await
            .map_err(store_error("recover"))?;
        for record in due {
            let told = match self.tell_for(&record, now).await {
                Ok(told) => told,
                Err(error) if error.kind() == ErrorKind::Store => return Err(error),
                Err(error) => {
                    tracing::error!(note = %record.key, %error, "what a run had to tell cannot be told");
                    Told::Later(POSTPONED)
                }
            };
            let commit = match told {
                Told::Settled => continue,
                Told::Done => Commit::new().delete(OUTBOX, record.key, record.version),
                Told::Later(wait) => {
                    let index = record.index.clone().due(later(now, wait));
                    Commit::new().replace(&record, index, record.body.clone())
                }
            };
            // Whoever was faster has told it, too.
            let _ = self.commit(commit).await;
        }
        Ok(())
    }

    async fn tell_for(&self, note: &Record, now: Timestamp) -> Result<Told> {
        let Some((run, end)) = note.key.rsplit_once(':') else {
            return Ok(Told::Done);
        };
        let (run, end): (Text, u64) = (run.to_owned().into(), end.parse().unwrap_or(0));
        let found = self.store.get(RUNS, &run).await;
        let Some(found) = found.map_err(store_error("recover"))? else {
            return Ok(Told::Done);
        };
        let record = RunRecord::read(&found)?;
        if record.body.cleared {
            return Ok(Told::Done);
        }
        let Some(workflow) = self.workflow(&record.workflow) else {
            return Ok(Told::Later(POSTPONED));
        };
        if self.is_being_told(note, &run).await? {
            return Ok(Told::Later(self.options.lease));
        }
        let notices = match self.replay_until(&run, workflow, end).await {
            Ok(mut replayed) => replayed.machine.take_notices(),
            // What is left to tell is that it has ended.
            Err(error) if error.kind() == ErrorKind::Corrupt && record.status.is_final() => {
                self.last_words(&record)
            }
            Err(error) => return Err(error),
        };
        self.tell_instead(note, &run, notices, now).await
    }

    /// What is told of a run that has ended and whose journal cannot be read.
    pub(super) fn last_words(&self, record: &RunRecord) -> Vec<Notice> {
        let Some(workflow) = self.workflow(&record.workflow) else {
            return vec![Notice::finish(&record.id, record.status)];
        };
        let mut machine = Machine::new(record.id.clone(), workflow.clone());
        machine.say_last_words(record.status, record.body.error.as_ref());
        machine.take_notices()
    }

    /// Takes the telling over from a worker that is gone.
    async fn tell_instead(
        &self,
        note: &Record,
        run: &Text,
        notices: Vec<Notice>,
        now: Timestamp,
    ) -> Result<Told> {
        let index = note.index.clone().due(later(now, self.options.lease));
        let ours = Commit::new().replace(note, index, self.worker().to_string());
        let version = match self.commit(ours).await {
            Ok(committed) => committed.version,
            // Somebody else tells it.
            Err(error) if error.conflict().is_some() => return Ok(Told::Settled),
            Err(error) => return Err(crate::Error::store("recover", error)),
        };
        let voice = Voice::new(run, 0);
        self.publisher.tell_rest(&voice, notices, true).await;
        self.publisher.note(&voice, note.key.clone(), version).await;
        Ok(Told::Settled)
    }

    /// Whether somebody is about to tell what a note is about. What this engine still has to tell is in its queue, or in the hands of
    /// whoever works on the run; what is in neither was forgotten because the answer to a commit was lost.
    async fn is_being_told(&self, note: &Record, run: &Text) -> Result<bool> {
        if *note.body == *self.worker().as_bytes() {
            let working = self.active(run).is_some();
            return Ok(working || self.publisher.is_busy() || self.has_told(&note.key));
        }
        self.is_alive(&note.body).await
    }

    /// Whether a worker is there, and not known to be dead.
    pub(super) async fn is_alive(&self, worker: &[u8]) -> Result<bool> {
        let Ok(worker) = std::str::from_utf8(worker) else {
            return Ok(false);
        };
        if worker.is_empty() {
            return Ok(false);
        }
        let record = self.store.get(WORKERS, worker).await;
        let record = record.map_err(store_error("recover"))?;
        Ok(record.is_some_and(|record| !self.peers.is_dead(&record.key, record.version)))
    }

    /// Tells what a run that nobody works on has to tell, and was not told yet.
    pub(super) async fn tell_all(&self, run: &Text, workflow: &Workflow, note: (Text, u64)) {
        let replayed = match self.replay(run, workflow).await {
            Ok(replayed) => replayed,
            Err(error) => {
                tracing::warn!(run = %run, %error, "the end of a run is told later");
                return;
            }
        };
        let voice = Voice::new(run, replayed.published);
        let mut machine = replayed.machine;
        let notices = machine.take_notices();
        self.publisher.tell_rest(&voice, notices, true).await;
        self.publisher.note(&voice, note.0, note.1).await;
    }
}
