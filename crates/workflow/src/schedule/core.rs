//! What a schedule does next: a state machine without clock, store or runs.

use bowline_events::Timestamp;

use super::missed::Missed;
use super::{CatchUp, Overlap, Schedule, Status, TriggerKind};

/// The number of skipped occurrences up to which they are counted.
pub const MANY: u32 = 200;

/// What to do with a schedule: at most one occurrence fires, so that each is a transaction of its own.
///
/// All that the decision says becomes true together: the fire, the skipped occurrences, and the new places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The occurrence that fires.
    pub fire: Option<Fire>,
    /// The occurrences that do not, each in one of these.
    pub skipped: Vec<Skipped>,
    /// The next occurrence. It may be due already; then there is another decision to be asked for.
    pub next: Option<Timestamp>,
    /// The occurrence that waits for the run before it.
    pub queued: Option<Timestamp>,
}

/// An occurrence that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// When it was due.
    pub at: Timestamp,
    /// Whether it fires because it is time, or because it had waited.
    pub kind: TriggerKind,
}

/// Occurrences that do not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many they are; [`MANY`] for that many and more.
    pub count: u32,
    /// Why.
    pub reason: SkipReason,
}

/// Why an occurrence does not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// It passed while no scheduler ran, and the policy makes up for others, or for none.
    Missed,
    /// The run before it is active.
    Overlap,
    /// The run before it is active, and another occurrence waits for it already.
    QueueFull,
}

impl SkipReason {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed: no scheduler ran at the time",
            Self::Overlap => "overlap: the run before was still active",
            Self::QueueFull => "overlap: another occurrence was waiting already",
        }
    }
}

/// Decides what `schedule` does at `now`; `None` if there is nothing to do.
///
/// `active` tells whether the run `schedule.last_run_id` has not ended; it matters only if
/// [`asks_for_run`] says so. The decision depends on nothing else, and two deciders with the same arguments decide the same.
///
/// ```
/// use bowline_events::Timestamp;
/// use bowline_workflow::schedule::{Cadence, NewSchedule, Target, core};
/// let hourly = NewSchedule::new(Target::workflow("triage"), Cadence::cron("@hourly", None)?);
/// let at = Timestamp::from_millis;
/// let schedule = hourly.build(at(1))?;
/// assert_eq!(core::decide(&schedule, at(3_599_999), false), None);
/// let decision = core::decide(&schedule, at(7_300_000), false).expect("two occurrences are due");
/// assert_eq!(decision.fire.map(|fire| fire.at), Some(at(7_200_000)));
/// assert_eq!(decision.skipped[0].first, at(3_600_000));
/// assert_eq!(decision.next, Some(at(10_800_000)));
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
pub fn decide(schedule: &Schedule, now: Timestamp, active: bool) -> Option<Decision> {
    if schedule.status == Status::Paused {
        return None;
    }
    if let Some(at) = schedule.queued_at
        && !active
    {
        let kind = TriggerKind::QueueDrain;
        return Some(Decision {
            fire: Some(Fire { at, kind }),
            skipped: Vec::new(),
            next: schedule.next_fire_at,
            queued: None,
        });
    }
    let first = schedule.next_fire_at.filter(|first| *first <= now)?;
    let mut decision = caught_up(schedule, first, now);
    if active {
        hold_back(schedule.overlap, &mut decision);
    }
    Some(decision)
}

/// Whether [`decide`] has to know if the last run is active.
pub fn asks_for_run(schedule: &Schedule, now: Timestamp) -> bool {
    let due = schedule.next_fire_at.is_some_and(|next| next <= now);
    let waits = schedule.queued_at.is_some() || (due && schedule.overlap != Overlap::Allow);
    schedule.status == Status::Active && schedule.last_run_id.is_some() && waits
}

/// The decision if no run is active.
fn caught_up(schedule: &Schedule, first: Timestamp, now: Timestamp) -> Decision {
    let keep = match schedule.catch_up {
        CatchUp::All { at_most } => at_most as usize,
        CatchUp::Latest | CatchUp::None { .. } => 1,
    };
    let missed = Missed::find(&schedule.cadence, first, now, keep);
    let at = missed.newest[0];
    let kind = TriggerKind::ScheduleFire;
    let next = match missed.newest.get(1) {
        Some(next) => Some(*next),
        None => schedule.cadence.next_after(at),
    };
    let mut decision = Decision {
        fire: Some(Fire { at, kind }),
        skipped: Vec::new(),
        next,
        queued: schedule.queued_at,
    };
    decision
        .skipped
        .extend(missed.older.map(|(first, last, count)| Skipped {
            first,
            last,
            count,
            reason: SkipReason::Missed,
        }));
    if let CatchUp::None { tolerance } = schedule.catch_up {
        let age = now.as_millis().saturating_sub(at.as_millis());
        if u128::from(age.unsigned_abs()) > tolerance.as_millis() {
            drop_fire(&mut decision, SkipReason::Missed);
        }
    }
    decision
}

/// What becomes of the fire of `decision` while the run before it is active.
fn hold_back(overlap: Overlap, decision: &mut Decision) {
    match overlap {
        Overlap::Allow => {}
        Overlap::Skip => drop_fire(decision, SkipReason::Overlap),
        Overlap::Queue if decision.queued.is_some() => drop_fire(decision, SkipReason::QueueFull),
        Overlap::Queue => decision.queued = decision.fire.take().map(|fire| fire.at),
    }
}

/// Skips the fire of `decision`, in the entry of those before it if the reason is the same.
fn drop_fire(decision: &mut Decision, reason: SkipReason) {
    let Some(Fire { at, .. }) = decision.fire.take() else {
        return;
    };
    match decision.skipped.last_mut() {
        Some(before) if before.reason == reason => {
            before.last = at;
            before.count = (before.count + 1).min(MANY);
        }
        _ => decision.skipped.push(Skipped {
            first: at,
            last: at,
            count: 1,
            reason,
        }),
    }
}
