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

#[cfg(test)]
mod tests {
    use super::super::record::RunBody;
    use super::*;
    use crate::StepError;
    use crate::machine::RunStatus;
    use crate::step;

    fn record(n: usize) -> RunRecord {
        RunRecord {
            id: format!("r{n}").into(),
            version: 1,
            status: RunStatus::Pending,
            workflow: "w".into(),
            resource: None,
            created: Timestamp::from_millis(0),
            updated: Timestamp::from_millis(0),
            due: None,
            body: RunBody::new(String::new(), None),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_are_kept_and_not_for_long() {
        let pass = step("s", |n: u32| async move { Ok::<_, StepError>(n) });
        let workflow = Workflow::builder("w").step(pass).build().unwrap();
        let kept = Kept::default();
        let second = Duration::from_secs(1);
        for n in 0..=MOST {
            let record = record(n);
            let replayed = Replayed::new(record.id.clone(), workflow.clone());
            kept.put(&record, replayed);
            tokio::time::advance(second).await;
        }
        let has = |run: &str| lock(&kept.0).contains_key(run);
        assert_eq!(lock(&kept.0).len(), MOST);
        assert!(!has("r0") && has("r1") && has(&format!("r{MOST}")));
        kept.forget(second * 3);
        assert_eq!(lock(&kept.0).len(), 2);
        assert!(has(&format!("r{MOST}")));
    }
}
