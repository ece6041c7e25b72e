//! Runs that somebody asks for.

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Record};

use super::firing::{occurrence, put_entry};
use super::record::{SCHEDULES, Schedule};
use super::schedules::{ATTEMPTS, too_busy};
use super::trigger::{Outcome, TRIGGERS, Trigger, trigger_id};
use super::{Occurrence, Prepared, Schedules, TriggerKind, history};
use crate::{Error, Result};

impl Schedules {
    /// Starts a run of the schedule `id` now, whether it is paused or not and whatever else runs. Its next occurrence stays
    /// as it is. The entry says `failed` when the launcher refused.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, and what the launcher says.
    pub async fn run_now(&self, id: &str) -> Result<Trigger> {
        const OPERATION: &str = "run now";
        let mut at = self.now();
        for _ in 0..ATTEMPTS {
            let record = self.record(OPERATION, id).await?;
            let schedule = Schedule::from_record(&record)?;
            at = self.free_instant(&schedule, at).await?;
            let occurrence = occurrence(&schedule, at, self.now(), TriggerKind::Manual);
            let (commit, entry) = self.prepare_by_hand(&record, &occurrence).await?;
            match self.store().commit(commit).await {
                Ok(_) => {
                    self.after_run_now(&occurrence, &entry).await;
                    return Ok(entry);
                }
                Err(error) if is_about_schedule(&error) => tokio::task::yield_now().await,
                // Another one of the same millisecond.
                Err(error) if error.conflict().is_some() => at = later(at),
                Err(error) => {
                    return Err(Error::store(OPERATION, error).with_subject(id.to_owned()));
                }
            }
        }
        Err(too_busy(OPERATION, id))
    }

    /// The commit that starts the run, or that says why there is none, and the entry of the history in it.
    async fn prepare_by_hand(
        &self,
        record: &Record,
        occurrence: &Occurrence,
    ) -> Result<(Commit, Trigger)> {
        let (id, run) = (&occurrence.schedule_id, occurrence.run_id.clone());
        let (at, now) = (occurrence.scheduled_at, occurrence.now);
        let entry = Trigger::started(id, run, TriggerKind::Manual, at, now);
        let base = Commit::new().at(now);
        let base = base.check(
            SCHEDULES,
            record.key.clone(),
            Expect::Version(record.version),
        );
        let started = put_entry(base.clone(), &entry)?;
        match self.parts.launcher.prepare(occurrence, started).await? {
            Prepared::Start(commit) => Ok((commit, entry)),
            Prepared::Refuse(reason) => {
                let entry = entry.ended(Outcome::Failed, &reason);
                Ok((put_entry(base, &entry)?, entry))
            }
        }
    }

    async fn after_run_now(&self, occurrence: &Occurrence, entry: &Trigger) {
        if entry.run_id.is_some() {
            self.parts.launcher.launched(occurrence);
        }
        history::prune(&self.parts, &occurrence.schedule_id).await;
    }

    /// The first instant from `at` on that names no occurrence of `schedule`, past or to come: a run by hand must not take
    /// the id of one.
    async fn free_instant(&self, schedule: &Schedule, mut at: Timestamp) -> Result<Timestamp> {
        loop {
            let before = Timestamp::from_millis(at.as_millis().saturating_sub(1));
            let is_occurrence = schedule.cadence.next_after(before) == Some(at);
            if !is_occurrence {
                let key = trigger_id(&schedule.id, at);
                let found = self.store().get(TRIGGERS, &key).await;
                let found = found.map_err(|error| Error::store("run now", error))?;
                if found.is_none() {
                    return Ok(at);
                }
            }
            at = later(at);
        }
    }
}

fn later(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() + 1)
}

fn is_about_schedule(error: &bowline_store::Error) -> bool {
    error
        .conflict()
        .is_some_and(|conflict| conflict.table == SCHEDULES)
}
