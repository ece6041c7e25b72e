//! Schedules, for those who make and change them.

use std::sync::Arc;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Cursor, Expect, Filter, Order, Query, Record, Store};

use super::firing::{Parts, occurrence, put_entry};
use super::new::check;
use super::record::SCHEDULES;
use super::trigger::{Outcome, TRIGGERS, Trigger, trigger_id};
use super::{Cadence, CatchUp, Clock, Json, Launcher, NewSchedule, Overlap, Prepared, Retention};
use super::{Schedule, Status, SystemClock, Target, TriggerKind, history};
use crate::{Error, ErrorKind, Result};

/// How often a change is tried against the changes of others.
const ATTEMPTS: usize = 16;

/// The schedules of a store. Cheap to clone.
///
/// Every change is a compare-and-set on what was read, tried again when somebody else was faster, at most 16 times; then it
/// fails with `Conflict`. If a store fails with a timeout, the change may have happened.
///
/// A dropped future has made its change or not; deleting may have deleted a part of the history only.
///
/// ```
/// # use bowline_store::{Commit, MemoryStore};
/// # use bowline_workflow::schedule::*;
/// # use bowline_workflow::Result;
/// # use futures_util::future::BoxFuture;
/// # use std::sync::Arc;
/// # #[derive(Debug)]
/// # struct Starter;
/// # impl Launcher for Starter {
/// #     fn prepare<'a>(&'a self, _: &'a Occurrence, commit: Commit) -> BoxFuture<'a, Result<Prepared>> {
/// #         Box::pin(async { Ok(Prepared::Start(commit)) })
/// #     }
/// #     fn is_active<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool>> {
/// #         Box::pin(async { Ok(false) })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// // `Starter` is the example of `Launcher`.
/// let schedules = Schedules::new(Arc::new(MemoryStore::new()), Arc::new(Starter));
/// let cadence = Cadence::cron("0 9 * * MON-FRI", Some("Europe/Stockholm"))?;
/// let schedule = schedules.create(NewSchedule::new(Target::workflow("report"), cadence).name("weekdays")).await?;
/// assert_eq!(schedule.id, "schedule_weekdays");
/// let paused = schedules.pause(&schedule.id).await?;
/// assert_eq!(paused.next_fire_at, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Schedules {
    parts: Parts,
}

/// Which schedules are listed. Everything that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// Active, or paused.
    pub status: Option<Status>,
    /// Those that start this workflow or agent; only its kind and id matter.
    pub target: Option<Target>,
    /// Whom they belong to.
    pub owner: Option<Text>,
}

/// A part of a list of schedules, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchedulePage {
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The ids of those that cannot be read. They can be deleted.
    pub damaged: Vec<Text>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<Cursor>,
}

/// Which entries of a history are listed, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerQuery {
    /// Entries whose `actual_fire_at` is this instant or later.
    pub from: Option<Timestamp>,
    /// Entries whose `actual_fire_at` is before this instant.
    pub until: Option<Timestamp>,
    /// How many at most, up to 1000; 100 by default.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
}

impl Default for TriggerQuery {
    fn default() -> Self {
        Self {
            from: None,
            until: None,
            limit: 100,
            after: None,
        }
    }
}

/// A part of a history, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerPage {
    /// The entries.
    pub triggers: Vec<Trigger>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A change of a schedule. What is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// When it fires; the next occurrence is that after the present.
    pub cadence: Option<Cadence>,
    /// What it starts.
    pub target: Option<Target>,
    /// What the user keeps with it; `Some(None)` takes it away.
    pub metadata: Option<Option<Json>>,
    /// What happens while the run before is active.
    pub overlap: Option<Overlap>,
    /// What happens to occurrences that were missed.
    pub catch_up: Option<CatchUp>,
}

impl Patch {
    /// Whether the schedule has become another one.
    pub(super) fn apply(self, schedule: &mut Schedule, now: Timestamp) -> Result<()> {
        if let Some(cadence) = self.cadence {
            schedule.cadence = cadence;
            if schedule.status == Status::Active {
                schedule.aim(now)?;
            }
        }
        if let Some(target) = self.target {
            schedule.target = target;
        }
        if let Some(metadata) = self.metadata {
            schedule.metadata = metadata;
        }
        schedule.overlap = self.overlap.unwrap_or(schedule.overlap);
        schedule.catch_up = self.catch_up.unwrap_or(schedule.catch_up);
        check(schedule)
    }
}

impl Schedules {
    /// The schedules in `store`, whose runs `launcher` starts when somebody asks for one.
    pub fn new(store: Arc<dyn Store>, launcher: Arc<dyn Launcher>) -> Self {
        Self::from_parts(Parts {
            store,
            launcher,
            clock: Arc::new(SystemClock),
            retention: Retention::default(),
        })
    }

    /// The same with another clock than that of this machine.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.parts.clock = clock;
        self
    }

    pub(super) fn from_parts(parts: Parts) -> Self {
        Self { parts }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Makes a schedule. A scheduler that watches the store notices it at once.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of its id, `InvalidInput` and `TooLarge` for what is not acceptable, such as a
    /// schedule that would never fire.
    pub async fn create(&self, new: NewSchedule) -> Result<Schedule> {
        let now = self.now();
        let schedule = new.build(now)?;
        let (index, body) = (schedule.to_index(now), schedule.to_body()?);
        let commit = Commit::new().at(now);
        let commit = commit.put(SCHEDULES, schedule.id.clone(), Expect::Absent, index, body);
        match self.store().commit(commit).await {
            Ok(_) => Ok(schedule),
            Err(error) if error.conflict().is_some() => {
                let message =
                    "there is a schedule of this id; choose another id, or change that one";
                let error =
                    Error::new(ErrorKind::AlreadyExists, "create", message).with_source(error);
                Err(error.with_subject(schedule.id))
            }
            Err(error) => Err(Error::store("create", error).with_subject(schedule.id)),
        }
    }

    /// The schedule `id`.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when it cannot be read.
    pub async fn get(&self, id: &str) -> Result<Schedule> {
        Schedule::from_record(&self.record("get", id).await?)
    }

    /// Up to `limit` (at most 1000) schedules that `filter` means, after the page that ended at `after`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(
        &self,
        filter: &ScheduleFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<SchedulePage> {
        let records = Filter {
            status: filter
                .status
                .iter()
                .map(|status| status.as_str().into())
                .collect(),
            group: filter.target.as_ref().map(Target::group),
            owner: filter.owner.clone(),
            ..Filter::new()
        };
        let query = Query::new(records).limit(limit).after(after);
        let page = self.store().list(SCHEDULES, &query).await;
        let page = page.map_err(|error| Error::store("list", error))?;
        let mut list = SchedulePage {
            next: page.next,
            ..SchedulePage::default()
        };
        for record in page.records {
            match Schedule::from_record(&record) {
                Ok(schedule) => list.schedules.push(schedule),
                Err(error) => {
                    tracing::warn!(%error, "a schedule is left out of a list");
                    list.damaged.push(record.key);
                }
            }
        }
        Ok(list)
    }

    /// Changes the schedule `id`. A new cadence goes on from the present; a paused schedule stays paused.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, and what [`create`](Self::create) refuses.
    pub async fn update(&self, id: &str, patch: Patch) -> Result<Schedule> {
        self.change("update", id, |schedule, now| {
            patch.clone().apply(schedule, now)?;
            Ok(None)
        })
        .await
    }

    /// Stops the schedule `id` until it is resumed. An occurrence that waits for the run before it is recorded as skipped.
    /// Pausing again is fine.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    pub async fn pause(&self, id: &str) -> Result<Schedule> {
        self.change("pause", id, |schedule, now| {
            schedule.status = Status::Paused;
            schedule.next_fire_at = None;
            let waiting = schedule.queued_at.take();
            Ok(waiting.map(|at| {
                let run = super::run_id(&schedule.id, at);
                let entry = Trigger::started(&schedule.id, run, TriggerKind::ScheduleFire, at, now);
                entry.ended(
                    Outcome::Skipped,
                    "paused while it waited for the run before",
                )
            }))
        })
        .await
    }

    /// Lets the schedule `id` fire again, from its next occurrence after the present on. For an active one nothing changes.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`; `InvalidInput` when it has no occurrence in the future.
    pub async fn resume(&self, id: &str) -> Result<Schedule> {
        self.change("resume", id, |schedule, now| {
            if schedule.status == Status::Paused {
                schedule.status = Status::Active;
                schedule.aim(now)?;
            }
            Ok(None)
        })
        .await
    }

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
            let run = occurrence.run_id.clone();
            let mut entry =
                Trigger::started(&schedule.id, run, TriggerKind::Manual, at, occurrence.now);
            let base = Commit::new().at(occurrence.now);
            let base = base.check(
                SCHEDULES,
                record.key.clone(),
                Expect::Version(record.version),
            );
            let started = put_entry(base.clone(), &entry)?;
            let commit = match self.parts.launcher.prepare(&occurrence, started).await? {
                Prepared::Start(commit) => commit,
                Prepared::Refuse(reason) => {
                    entry = entry.ended(Outcome::Failed, &reason);
                    put_entry(base, &entry)?
                }
            };
            match self.store().commit(commit).await {
                Ok(_) => {
                    if entry.run_id.is_some() {
                        self.parts.launcher.launched(&occurrence);
                    }
                    let pruned = history::prune(&self.parts, &schedule.id, occurrence.now).await;
                    if let Err(error) = pruned {
                        tracing::debug!(%error, "a history was not cut; it is tried again at the next fire");
                    }
                    return Ok(entry);
                }
                Err(error) if is_conflict_about(&error, SCHEDULES) => {
                    tokio::task::yield_now().await;
                }
                // Another one of the same millisecond.
                Err(error) if error.conflict().is_some() => at = later(at),
                Err(error) => {
                    return Err(Error::store(OPERATION, error).with_subject(id.to_owned()));
                }
            }
        }
        Err(too_busy(OPERATION, id))
    }

    /// The first instant from `at` on that names no occurrence of `schedule`, past or to come: a run by hand must not take
    /// the id of one.
    async fn free_instant(&self, schedule: &Schedule, mut at: Timestamp) -> Result<Timestamp> {
        loop {
            let before = Timestamp::from_millis(at.as_millis() - 1);
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

    /// Deletes the schedule `id` and its history, also one that cannot be read. Runs that it has started go on.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    pub async fn delete(&self, id: &str) -> Result<()> {
        const OPERATION: &str = "delete";
        let mut lost = 0;
        while lost < ATTEMPTS {
            let record = self.record(OPERATION, id).await?;
            if self.delete_record(&record).await? {
                return Ok(());
            }
            lost += 1;
            tokio::task::yield_now().await;
        }
        Err(too_busy(OPERATION, id))
    }

    /// Deletes a schedule as it was read, and its history. `false` when it has changed.
    pub(super) async fn delete_record(&self, record: &Record) -> Result<bool> {
        const AT_ONCE: usize = 1000;
        let failed = |error| Error::store("delete", error).with_subject(record.key.clone());
        loop {
            let filter = Filter::new().group(record.key.clone());
            let query = Query::new(filter).order(Order::OldestFirst).limit(AT_ONCE);
            let page = self.store().list(TRIGGERS, &query).await.map_err(failed)?;
            let is_last = page.next.is_none();
            let mut commit = Commit::new().at(self.now());
            // The schedule goes with the rest of its history, so that no entry is ever without one.
            commit = match is_last {
                true => commit.delete(SCHEDULES, record.key.clone(), record.version),
                false => commit.check(
                    SCHEDULES,
                    record.key.clone(),
                    Expect::Version(record.version),
                ),
            };
            for entry in page.records {
                commit = commit.delete(TRIGGERS, entry.key, entry.version);
            }
            match self.store().commit(commit).await {
                Ok(_) if is_last => return Ok(true),
                Ok(_) => {}
                Err(error) if error.conflict().is_some() => return Ok(false),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The history of the schedule `id`, newest first. It is empty for a schedule that does not exist.
    ///
    /// # Errors
    /// `Corrupt` when an entry cannot be read.
    pub async fn triggers(&self, id: &str, query: &TriggerQuery) -> Result<TriggerPage> {
        let filter = Filter {
            group: Some(id.to_owned().into()),
            created_from: query.from,
            created_before: query.until,
            ..Filter::new()
        };
        let query = Query::new(filter)
            .limit(query.limit)
            .after(query.after.clone());
        let page = self.store().list(TRIGGERS, &query).await;
        let page =
            page.map_err(|error| Error::store("list triggers", error).with_subject(id.to_owned()))?;
        let triggers = page.records.iter().map(Trigger::from_record);
        Ok(TriggerPage {
            triggers: triggers.collect::<Result<_>>()?,
            next: page.next,
        })
    }

    /// Writes down how a run ended; see [`Scheduler::record_outcome`](super::Scheduler::record_outcome).
    ///
    /// # Errors
    /// What the store says; `Conflict` after many lost races.
    pub async fn record_outcome(
        &self,
        run_id: &str,
        outcome: Outcome,
        error: Option<&str>,
    ) -> Result<bool> {
        history::record_outcome(&self.parts, run_id, outcome, error).await
    }

    /// Changes a schedule by compare-and-set, and adds the entry that `change` returns to its history.
    pub(super) async fn change(
        &self,
        operation: &'static str,
        id: &str,
        change: impl Fn(&mut Schedule, Timestamp) -> Result<Option<Trigger>>,
    ) -> Result<Schedule> {
        for _ in 0..ATTEMPTS {
            let record = self.record(operation, id).await?;
            let before = Schedule::from_record(&record)?;
            let now = self.now();
            let mut schedule = before.clone();
            let entry = change(&mut schedule, now)?;
            if schedule == before {
                return Ok(schedule);
            }
            schedule.updated_at = now;
            let commit = Commit::new().at(now);
            let mut commit = commit.replace(&record, schedule.to_index(now), schedule.to_body()?);
            if let Some(entry) = entry {
                commit = put_entry(commit, &entry)?;
            }
            match self.store().commit(commit).await {
                Ok(_) => return Ok(schedule),
                Err(error) if error.conflict().is_some() => tokio::task::yield_now().await,
                Err(error) => {
                    return Err(Error::store(operation, error).with_subject(id.to_owned()));
                }
            }
        }
        Err(too_busy(operation, id))
    }

    async fn record(&self, operation: &'static str, id: &str) -> Result<Record> {
        let failed = |error| Error::store(operation, error).with_subject(id.to_owned());
        let record = self.store().get(SCHEDULES, id).await.map_err(failed)?;
        record.ok_or_else(|| {
            let message = "there is no schedule of this id; list them";
            Error::new(ErrorKind::NotFound, operation, message).with_subject(id.to_owned())
        })
    }
}

fn later(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() + 1)
}

fn is_conflict_about(error: &bowline_store::Error, table: bowline_store::Table) -> bool {
    error
        .conflict()
        .is_some_and(|conflict| conflict.table == table)
}

pub(super) fn too_busy(operation: &'static str, id: &str) -> Error {
    let message = format!("others changed it {ATTEMPTS} times meanwhile; try again");
    Error::new(ErrorKind::Conflict, operation, message).with_subject(id.to_owned())
}
