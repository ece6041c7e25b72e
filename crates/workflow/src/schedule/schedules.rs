//! Schedules, for those who make and change them.

use std::sync::Arc;

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Filter, Order, Query, Record, Store};

use super::firing::{Parts, put_entry};
use super::record::SCHEDULES;
use super::trigger::{Outcome, TRIGGERS, Trigger};
use super::{Clock, Launcher, NewSchedule, Patch, Retention};
use super::{Schedule, Status, SystemClock, TriggerKind, history};
use crate::{Error, ErrorKind, Result};

/// How often a change is tried against the changes of others.
pub(super) const ATTEMPTS: usize = 16;

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
    pub(super) parts: Parts,
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

    pub(super) async fn record(&self, operation: &'static str, id: &str) -> Result<Record> {
        let failed = |error| Error::store(operation, error).with_subject(id.to_owned());
        let record = self.store().get(SCHEDULES, id).await.map_err(failed)?;
        record.ok_or_else(|| {
            let message = "there is no schedule of this id; list them";
            Error::new(ErrorKind::NotFound, operation, message).with_subject(id.to_owned())
        })
    }
}

pub(super) fn too_busy(operation: &'static str, id: &str) -> Error {
    let message = format!("others changed it {ATTEMPTS} times meanwhile; try again");
    Error::new(ErrorKind::Conflict, operation, message).with_subject(id.to_owned())
}
