//! Runs that this engine has given back, as it knows them: if it takes one again, it need not read the whole journal.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use tokio::time::Instant;

use super::record::{Replayed, RunRecord};
use super::shared::{Shared, lock};
use crate::{Result, Workflow};

/// Runs that are kept at most, the latest.
const MOST: usize = 256;

/// Runs that were given back.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Text, Given>>);

#[derive(Debug)]
struct Given {
    replayed: Replayed,
    /// Those of its record: if it is still this version, nobody has had the run since.
    version: u64,
    created: Timestamp,
    since: Instant,
}

impl Kept {
    /// Keeps a run as it was given back.
    pub(super) fn put(&self, record: &RunRecord, replayed: Replayed) {
        let given = Given {
            replayed,
            version: record.version,
            created: record.created,
            since: Instant::now(),
        };
        let mut kept = lock(&self.0);
        if kept.len() >= MOST {
            let oldest = kept.iter().min_by_key(|(_, given)| given.since);
            if let Some(run) = oldest.map(|(run, _)| run.clone()) {
                kept.remove(&run);
            }
        }
        kept.insert(record.id.clone(), given);
    }

    /// Forgets what was given back longer ago than this.
    pub(super) fn forget(&self, age: Duration) {
        lock(&self.0).retain(|_, given| given.since.elapsed() < age);
    }
}

impl Shared {
    /// A run that was given back with everything told that its journal says is, as the journal tells it now.
    pub(super) async fn replay_given(
        &self,
        record: &RunRecord,
        workflow: &Workflow,
    ) -> Result<Replayed> {
        let given = lock(&self.kept.0).remove(&record.id);
        // Another run may have had the id, and another definition has to be compared with this one.
        let is_same =
            |given: &Given| given.created == record.created && record.body.graph == workflow.hash();
        match given.filter(is_same) {
            Some(given) if given.version == record.version => Ok(given.replayed),
            Some(given) => self.replay_on(given.replayed, u64::MAX).await,
            None => self.replay_changed(record, workflow).await,
        }
    }
}
