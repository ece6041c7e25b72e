//! A schedule as one line.

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Cadence, Schedule, Schedules, Status, Trigger, TriggerQuery};
use serde::Serialize;

use crate::outcome::Failure;
use crate::time::{duration, in_zone, relative};

/// A schedule in JSON.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) schedule: &'a Schedule,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<&'a Trigger>,
}

/// The newest entries of the history of a schedule.
pub(super) async fn history(
    schedules: &Schedules,
    id: &str,
    limit: usize,
) -> Result<Vec<Trigger>, Failure> {
    let query = TriggerQuery {
        limit,
        ..TriggerQuery::default()
    };
    Ok(schedules.triggers(id, &query).await?.triggers)
}

/// When it fires, by its words.
pub(super) fn cadence(schedule: &Schedule) -> String {
    match &schedule.cadence {
        Cadence::Cron(cron) => cron.expression().to_string(),
        Cadence::Every { every, .. } => format!("every {}", duration(millis(*every))),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The zone in which it has its times.
pub(super) fn zone(schedule: &Schedule) -> Option<&str> {
    match &schedule.cadence {
        Cadence::Cron(cron) => cron.timezone().map(|zone| &**zone),
        Cadence::Every { .. } => None,
    }
}

/// The next time in its zone, or why there is none.
pub(super) fn next(schedule: &Schedule, now: Timestamp) -> String {
    match schedule.next_fire_at {
        Some(at) => format!("{} ({})", in_zone(at, zone(schedule)), relative(at, now)),
        None if schedule.status == Status::Paused => "paused".to_owned(),
        None => "never again".to_owned(),
    }
}

/// What became of an occurrence, and when that was.
pub(super) fn last(trigger: &Trigger, now: Timestamp) -> String {
    let outcome = trigger.outcome.as_str();
    format!("{outcome} {}", relative(trigger.actual_fire_at, now))
}
