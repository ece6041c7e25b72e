//! Schedules that a program declares.

use std::collections::HashSet;

use bowline_events::{Text, Timestamp};

use super::record::SCHEDULES;
use super::schedules::too_busy;
use super::{
    Cadence, CatchUp, Json, NewSchedule, Overlap, Patch, Schedule, ScheduleFilter, Schedules,
    Target,
};
use crate::{Error, ErrorKind, Result};

/// A schedule as its program declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its id; see [`declared_id`](super::declared_id).
    pub id: Text,
    /// What it starts.
    pub target: Target,
    /// When it fires.
    pub cadence: Cadence,
    /// What happens while the run before is active.
    pub overlap: Overlap,
    /// What happens to occurrences that were missed.
    pub catch_up: CatchUp,
    /// What the user keeps with it.
    pub metadata: Option<Json>,
}

impl Declared {
    /// A schedule `id` that starts `target` at the times of `cadence`.
    pub fn new(id: impl Into<Text>, target: Target, cadence: Cadence) -> Self {
        Self {
            id: id.into(),
            target,
            cadence,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            metadata: None,
        }
    }

    fn to_new(&self, owner: &Text) -> NewSchedule {
        let new = NewSchedule::new(self.target.clone(), self.cadence.clone())
            .id(self.id.clone())
            .overlap(self.overlap)
            .catch_up(self.catch_up)
            .declared_by(owner);
        match &self.metadata {
            Some(metadata) => new.metadata(metadata.clone()),
            None => new,
        }
    }

    /// What has to change in `schedule`. Words that mean the same are no change, so that a start does not move a schedule.
    fn patch(&self, schedule: &Schedule) -> Result<Patch> {
        let same_target = Json::of(&self.target)?.is_equivalent(&Json::of(&schedule.target)?);
        let same_metadata = match (&self.metadata, &schedule.metadata) {
            (Some(mine), Some(other)) => mine.is_equivalent(other),
            (mine, other) => mine.is_none() && other.is_none(),
        };
        let same_cadence = self.cadence.is_equivalent(&schedule.cadence);
        Ok(Patch {
            cadence: (!same_cadence).then(|| self.cadence.clone()),
            target: (!same_target).then(|| self.target.clone()),
            metadata: (!same_metadata).then(|| self.metadata.clone()),
            overlap: Some(self.overlap),
            catch_up: Some(self.catch_up),
        })
    }
}

/// What [`Schedules::sync`] did, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncReport {
    /// Made.
    pub created: Vec<Text>,
    /// Changed.
    pub updated: Vec<Text>,
    /// Deleted, with their histories.
    pub deleted: Vec<Text>,
    /// Left as they were.
    pub unchanged: Vec<Text>,
}

impl Schedules {
    /// Makes the declared schedules of `owner` what `declared` says: creates those that are missing, changes cadence, target,
    /// metadata and policies of those that differ (never the status: what was paused stays paused), and deletes those that
    /// this owner declared before and does not declare any more. Schedules of others, and schedules that were made at run
    /// time, are not touched.
    ///
    /// It can be called again after a failure, and by several processes at once, as long as they declare the same.
    ///
    /// # Errors
    /// `AlreadyExists` when an id belongs to somebody else, and `InvalidInput` for an id that is declared twice; nothing was
    /// changed then. `Conflict` after many lost races.
    pub async fn sync(&self, owner: &str, declared: &[Declared]) -> Result<SyncReport> {
        let owner = Text::from(owner.to_owned());
        let mut ids = HashSet::new();
        for one in declared {
            if !ids.insert(one.id.as_str()) {
                let message = "it is declared twice; give each schedule an id of its own";
                let error = Error::new(ErrorKind::InvalidInput, "sync", message);
                return Err(error.with_subject(one.id.clone()));
            }
            if let Some(schedule) = self.find(&one.id).await? {
                check_owner(&schedule, &owner)?;
            }
        }
        let mut report = SyncReport::default();
        for one in declared {
            self.sync_one(&owner, one, &mut report).await?;
        }
        self.delete_others(&owner, &ids, &mut report).await?;
        Ok(report)
    }

    async fn sync_one(
        &self,
        owner: &Text,
        declared: &Declared,
        report: &mut SyncReport,
    ) -> Result<()> {
        let id = &declared.id;
        let Some(before) = self.find(id).await? else {
            match self.create(declared.to_new(owner)).await {
                Ok(_) => {
                    report.created.push(id.clone());
                    return Ok(());
                }
                // Another process of the same program was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Box::pin(self.sync_one(owner, declared, report)).await;
                }
                Err(error) => return Err(error),
            }
        };
        let adapt = |schedule: &mut Schedule, now: Timestamp| {
            check_owner(schedule, owner)?;
            declared.patch(schedule)?.apply(schedule, now)?;
            Ok(None)
        };
        let after = self.change("sync", id, adapt).await?;
        let kept = (
            &before.cadence,
            &before.target,
            &before.metadata,
            before.overlap,
            before.catch_up,
        ) == (
            &after.cadence,
            &after.target,
            &after.metadata,
            after.overlap,
            after.catch_up,
        );
        let list = match kept {
            true => &mut report.unchanged,
            false => &mut report.updated,
        };
        list.push(id.clone());
        Ok(())
    }

    async fn delete_others(
        &self,
        owner: &Text,
        ids: &HashSet<&str>,
        report: &mut SyncReport,
    ) -> Result<()> {
        const AT_ONCE: usize = 500;
        let filter = ScheduleFilter {
            owner: Some(owner.clone()),
            ..ScheduleFilter::default()
        };
        let mut after = None;
        loop {
            let page = self.list(&filter, after, AT_ONCE).await?;
            for schedule in page.schedules {
                if schedule.declared
                    && !ids.contains(schedule.id.as_str())
                    && self.undeclare(owner, &schedule.id).await?
                {
                    report.deleted.push(schedule.id);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes a schedule if it is still one that `owner` declared.
    async fn undeclare(&self, owner: &Text, id: &Text) -> Result<bool> {
        const ATTEMPTS: usize = 16;
        for _ in 0..ATTEMPTS {
            let record = self.store().get(SCHEDULES, id).await;
            let record =
                record.map_err(|error| Error::store("sync", error).with_subject(id.clone()))?;
            let Some(record) = record else {
                return Ok(false);
            };
            if check_owner(&Schedule::from_record(&record)?, owner).is_err() {
                return Ok(false);
            }
            if self.delete_record(&record).await? {
                return Ok(true);
            }
            tokio::task::yield_now().await;
        }
        Err(too_busy("sync", id))
    }

    async fn find(&self, id: &Text) -> Result<Option<Schedule>> {
        match self.get(id).await {
            Ok(schedule) => Ok(Some(schedule)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn check_owner(schedule: &Schedule, owner: &Text) -> Result<()> {
    if schedule.declared && schedule.owner.as_ref() == Some(owner) {
        return Ok(());
    }
    let message = "the schedule of this id was not declared by this owner; choose another id, or delete that one";
    let error = Error::new(ErrorKind::AlreadyExists, "sync", message);
    Err(error.with_subject(schedule.id.clone()))
}
