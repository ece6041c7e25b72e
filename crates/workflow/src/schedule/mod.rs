//! # The scheduler
//!
//! A [`Schedule`] starts runs of a workflow or agent by the clock: at the times of a [`Cron`] expression in a time zone, in
//! equal intervals, or once. It is a record in a [store](bowline_store::Store), due at its next occurrence; any number of
//! [`Scheduler`]s on the store fire it, each occurrence once.
//!
//! ## How an occurrence fires
//!
//! One commit moves the schedule on by compare-and-set, adds the occurrence to its history, and starts the run, with what the
//! [`Launcher`] adds to it. There is nothing between these that a crash could lose or double. What the schedule does is decided
//! by [`core`], without I/O.
//!
//! ## What it promises
//!
//! - An occurrence fires once, or is recorded as skipped with the reason; which of both, [`CatchUp`] and [`Overlap`] say.
//! - The next occurrence is always later than the one before, through changes of the clock, too.
//! - Nobody but a user deletes a schedule: one whose target is not known fails visibly, occurrence by occurrence.
//! - The history is bounded by [`Retention`].
//!
//! When a clock is set back, the schedules wait until it has caught up. When a clock was far ahead for a while, so is the next
//! occurrence; [`Schedules::update`] with the same cadence aims anew, and what the history knows does not fire again.

pub mod core;

mod backoff;
mod cadence;
mod cron;
mod driver;
mod firing;
mod history;
mod ids;
mod json;
mod launcher;
mod listing;
mod manual;
mod millis;
mod missed;
mod new;
mod patch;
mod policy;
mod postponed;
mod record;
mod scheduler;
mod schedules;
mod sync;
mod target;
mod trigger;

pub use crate::clock::{Clock, SystemClock};
pub use cadence::{Cadence, MAX_INTERVAL, MIN_INTERVAL};
pub use cron::{Cron, DEFAULT_ZONE, MAX_EXPRESSION};
pub use history::{MAX_HISTORY, Retention};
pub use ids::declared_id;
pub use json::{Json, Members};
pub use launcher::{Launcher, Occurrence, Prepared};
pub use listing::{ScheduleFilter, SchedulePage, TriggerPage, TriggerQuery};
pub use new::{MAX_DETAILS, NewSchedule};
pub use patch::Patch;
pub use policy::{CatchUp, MAX_CATCH_UP, Overlap};
pub use record::{MAX_ID, SCHEDULES, Schedule, Status};
pub use scheduler::{Scheduler, SchedulerBuilder};
pub use schedules::Schedules;
pub use sync::{Declared, SyncReport};
pub use target::{AgentTarget, Target, WorkflowTarget};
pub use trigger::{
    MAX_TRIGGER_ERROR, Outcome, TRIGGERS, Trigger, TriggerKind, parse_run_id, run_id, trigger_id,
};
