//! What a schedule is made from.

use bowline_events::{Text, Timestamp};

use super::ids::{check_id, imperative_id};
use super::{Cadence, CatchUp, Json, Overlap, Schedule, Status, Target};
use crate::{Error, ErrorKind, Result};

/// Bytes of the metadata of a schedule, and of its target.
pub const MAX_DETAILS: usize = 1024 * 1024;

/// A schedule to be made.
#[derive(Debug, Clone)]
#[must_use = "a schedule does nothing until it is created"]
pub struct NewSchedule {
    id: Option<Text>,
    name: Option<Text>,
    target: Target,
    cadence: Cadence,
    overlap: Overlap,
    catch_up: CatchUp,
    owner: Option<Text>,
    declared: bool,
    metadata: Option<Json>,
    paused: bool,
}

impl NewSchedule {
    /// A schedule that starts `target` at the times of `cadence`, with a random id.
    pub fn new(target: Target, cadence: Cadence) -> Self {
        Self {
            id: None,
            name: None,
            target,
            cadence,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            owner: None,
            declared: false,
            metadata: None,
            paused: false,
        }
    }

    /// With exactly this id: 1 to [`MAX_ID`](super::MAX_ID) bytes without control characters.
    pub fn id(mut self, id: impl Into<Text>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With an id made of a name: `schedule_<name>`, or `agent_<name>` for an agent.
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What happens while the run before is active.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What happens to occurrences that were missed.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Whom it belongs to.
    pub fn owner(mut self, owner: impl Into<Text>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// What the user keeps with it.
    pub fn metadata(mut self, metadata: Json) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Without firing until it is resumed.
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    pub(super) fn declared_by(mut self, owner: &Text) -> Self {
        self.owner = Some(owner.clone());
        self.declared = true;
        self
    }

    /// The schedule as it is when it is made at `now`. Nothing is stored.
    ///
    /// # Errors
    /// `InvalidInput` when an id, a policy or the metadata is not acceptable, or when it would never fire.
    pub fn build(self, now: Timestamp) -> Result<Schedule> {
        let id = match self.id {
            Some(id) => id,
            None => imperative_id(&self.target, self.name.as_deref()),
        };
        let mut schedule = Schedule {
            id,
            target: self.target,
            cadence: self.cadence,
            status: Status::Active,
            overlap: self.overlap,
            catch_up: self.catch_up,
            owner: self.owner,
            declared: self.declared,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
            next_fire_at: None,
            last_fire_at: None,
            last_run_id: None,
            queued_at: None,
        };
        check(&schedule)?;
        schedule.aim(now)?;
        if self.paused {
            schedule.status = Status::Paused;
            schedule.next_fire_at = None;
        }
        Ok(schedule)
    }
}

/// Whether what users say about a schedule is acceptable.
pub(super) fn check(schedule: &Schedule) -> Result<()> {
    check_id("the schedule", &schedule.id)?;
    check_id("the target", schedule.target.id())?;
    if let Some(owner) = &schedule.owner {
        check_id("the owner", owner)?;
    }
    schedule.catch_up.check()?;
    let metadata = schedule
        .metadata
        .as_ref()
        .map_or(0, |json| json.as_str().len());
    let target = Json::of(&schedule.target)?.as_str().len();
    for (what, length) in [("metadata", metadata), ("target", target)] {
        if length > MAX_DETAILS {
            let message = format!(
                "the {what} has {length} bytes, the limit is {MAX_DETAILS}; keep large data elsewhere"
            );
            let error = Error::new(ErrorKind::TooLarge, "schedule", message);
            return Err(error.with_subject(schedule.id.clone()));
        }
    }
    Ok(())
}
