//! What a run had to tell when it ended or halted: told for certain, also when the process dies before it could.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp, Topic};
use bowline_store::{Commit, Expect, Index, Record, Table};

use super::commit::{later, store_error};
use super::record::{RUNS, RunRecord};
use super::shared::{Shared, lock};
use crate::Result;

/// One record for every end or halt of a run that may not be told yet, by run and position in its journal.
pub(super) const OUTBOX: Table = Table::new("outbox");

/// Records that are removed together.
const BATCH: usize = 256;
const PAGE: usize = 100;
/// How much later a note is looked at again whose workflow nobody here knows.
const POSTPONED: Duration = Duration::from_secs(60);

/// Notes in `commit` that what the facts before `end` brought about is to be told.
pub(super) fn note(
    commit: Commit,
    run: &Text,
    end: u64,
    at: Timestamp,
    wait: Duration,
) -> (Commit, Text) {
    let key: Text = format!("{run}:{end}").into();
    let index = Index::new(at).due(later(at, wait));
    let commit = commit.put(OUTBOX, key.clone(), Expect::Absent, index, "");
    (commit, key)
}

impl Shared {
    /// It was told: the note goes with the next that go.
    pub(super) fn told(&self, key: Text, version: u64) {
        let mut told = lock(&self.told);
        told.push((key, version));
        let many = told.len() >= BATCH;
        drop(told);
        if many {
            self.due.notify_one();
        }
    }

    /// Removes the notes of what was told.
    pub(super) async fn sweep_outbox(&self) {
        let told = std::mem::take(&mut *lock(&self.told));
        for some in told.chunks(BATCH) {
            let delete = |commit: Commit, (key, version): &(Text, u64)| {
                commit.delete(OUTBOX, key.clone(), *version)
            };
            let together = some.iter().fold(Commit::new(), delete);
            if self.store.commit(together).await.is_ok() {
                continue;
            }
            for one in some {
                // Somebody has told it once more, because it took so long.
                let _ = self.store.commit(delete(Commit::new(), one)).await;
            }
        }
    }

    /// Tells what others could not tell any more.
    pub(super) async fn tell_for_others(self: &Arc<Self>, now: Timestamp) -> Result<()> {
        let due = self
            .store
            .due(OUTBOX, now, PAGE)
            .await
            .map_err(store_error("recover"))?;
        for record in due {
            let Some((run, end)) = record.key.rsplit_once(':') else {
                continue;
            };
            let (run, end): (Text, u64) = (run.to_owned().into(), end.parse().unwrap_or(0));
            let run_record = self
                .store
                .get(RUNS, &run)
                .await
                .map_err(store_error("recover"))?;
            if let Some(found) = run_record {
                let found = RunRecord::read(&found)?;
                let Some(workflow) = self.workflow(&found.workflow).cloned() else {
                    self.leave_to_others(&record, now).await;
                    continue;
                };
                if !found.body.cleared {
                    self.tell_again(&run, &workflow, end).await?;
                }
            }
            let gone = Commit::new().delete(OUTBOX, record.key, record.version);
            // Whoever was faster has told it, too.
            let _ = self.store.commit(gone).await;
        }
        Ok(())
    }

    /// Lets others tell it that know the workflow, and does not let it hide what is due after it.
    async fn leave_to_others(&self, record: &Record, now: Timestamp) {
        let index = record.index.clone().due(later(now, POSTPONED));
        // Whoever was faster has told it.
        let _ = self
            .store
            .commit(Commit::new().replace(record, index, ""))
            .await;
    }

    async fn tell_again(&self, run: &Text, workflow: &crate::Workflow, end: u64) -> Result<()> {
        let mut replayed = self.replay_until(run, workflow, end).await?;
        let first = usize::try_from(replayed.published).unwrap_or(usize::MAX);
        let notices = replayed
            .machine
            .take_notices()
            .into_iter()
            .skip(first)
            .collect();
        let progress = Arc::default();
        for notice in self.untold(notices).await {
            let topic = Topic::workflow_events(&notice.run_id);
            self.publisher
                .tell(&topic, &notice.run_id, notice.json, &progress)
                .await;
        }
        Ok(())
    }
}
