//! What users change of a schedule.

use bowline_events::Timestamp;

use super::new::check;
use super::{Cadence, CatchUp, Json, Overlap, Schedule, Status, Target};
use crate::Result;

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
    /// Changes `schedule` at `now`; it is not to be used after an error.
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
