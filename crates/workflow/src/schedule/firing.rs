//! Doing what was decided, as one commit: the schedule moves on, its history grows, the run starts.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Record, Store};

use super::core::{self, Decision, Fire};
use super::record::{SCHEDULES, Schedule};
use super::trigger::{Outcome, TRIGGERS, Trigger, run_id, trigger_id};
use super::{Clock, Launcher, Occurrence, Prepared, Retention, TriggerKind};
use crate::{Error, ErrorKind, Result};

/// What firing needs.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) launcher: Arc<dyn Launcher>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) retention: Retention,
}

/// What became of a schedule that was due.
#[derive(Debug)]
pub(super) enum Advanced {
    /// It has started a run.
    Started,
    /// It has moved on without; its history may have grown.
    Moved,
    /// Somebody else was faster.
    Lost,
}

/// How often a commit is tried that records of the launcher keep from happening.
const LAUNCHER_CONFLICTS: u32 = 3;
/// How often a commit is tried at all.
const ATTEMPTS: u32 = 8;

/// Moves the schedule in `record` on by one decision. Nothing has happened if the future is dropped before the commit, and
/// all of it afterwards.
pub(super) async fn advance(parts: &Parts, record: &Record) -> Result<Advanced> {
    let schedule = Schedule::from_record(record)?;
    let now = parts.clock.now();
    let active = match &schedule.last_run_id {
        Some(run) if core::asks_for_run(&schedule, now) => parts.launcher.is_active(run).await?,
        _ => false,
    };
    let decision = core::decide(&schedule, now, active);
    let mut learned = Learned::default();
    for _ in 0..ATTEMPTS {
        let step = Step::new(record, &schedule, now, decision.as_ref(), &learned);
        let (commit, started) = step.prepare(parts).await?;
        match parts.store.commit(commit).await {
            Ok(_) => {
                if let Some(occurrence) = &started {
                    parts.launcher.launched(occurrence);
                }
                return Ok(match started {
                    Some(_) => Advanced::Started,
                    None => Advanced::Moved,
                });
            }
            Err(error) if is_about(&error, SCHEDULES) => return Ok(Advanced::Lost),
            Err(error) if learned.from(&error, started.is_some()) => {}
            Err(error) => return Err(Error::store("fire", error).with_subject(schedule.id)),
        }
    }
    let message = "other commits were faster again and again; it is tried again";
    Err(Error::new(ErrorKind::Conflict, "fire", message).with_subject(schedule.id))
}

fn is_about(error: &bowline_store::Error, table: bowline_store::Table) -> bool {
    error
        .conflict()
        .is_some_and(|conflict| conflict.table == table)
}

/// What refused commits have told about one decision.
#[derive(Debug, Default)]
struct Learned {
    /// Entries of the history that exist: these occurrences were handled before a clock was set back.
    existing: HashSet<Text>,
    conflicts: u32,
    /// Why the run cannot be started.
    obstacle: Option<String>,
}

impl Learned {
    /// Whether another commit can do better than the one that was answered with `error`.
    fn from(&mut self, error: &bowline_store::Error, starts: bool) -> bool {
        use bowline_store::ErrorKind as Kind;
        match error.conflict() {
            Some(conflict) if conflict.table == TRIGGERS => {
                self.existing.insert(conflict.key.clone())
            }
            Some(_) => {
                self.conflicts += 1;
                if self.conflicts >= LAUNCHER_CONFLICTS {
                    self.obstacle = Some(error.to_string());
                }
                starts
            }
            None if starts && matches!(error.kind(), Kind::TooLarge | Kind::InvalidInput) => {
                self.obstacle = Some(error.to_string());
                true
            }
            None => false,
        }
    }
}

/// A decision about one record, and what is known about it.
struct Step<'a> {
    record: &'a Record,
    schedule: &'a Schedule,
    now: Timestamp,
    decision: Option<&'a Decision>,
    learned: &'a Learned,
    fire: Option<Fire>,
}

impl<'a> Step<'a> {
    fn new(
        record: &'a Record,
        schedule: &'a Schedule,
        now: Timestamp,
        decision: Option<&'a Decision>,
        learned: &'a Learned,
    ) -> Self {
        let fire = decision.and_then(|decision| decision.fire);
        let fire = fire.filter(|fire| {
            !learned
                .existing
                .contains(&trigger_id(&schedule.id, fire.at))
        });
        Self {
            record,
            schedule,
            now,
            decision,
            learned,
            fire,
        }
    }

    /// The commit, and the occurrence that it starts.
    async fn prepare(&self, parts: &Parts) -> Result<(Commit, Option<Occurrence>)> {
        let Some(Fire { at, kind }) = self.fire else {
            return Ok((self.commit(None, None)?, None));
        };
        let occurrence = occurrence(self.schedule, at, self.now, kind);
        let run = occurrence.run_id.clone();
        let entry = Trigger::started(&self.schedule.id, run.clone(), kind, at, self.now);
        let refusal = match &self.learned.obstacle {
            Some(obstacle) => obstacle.as_str().to_owned().into(),
            None => {
                let commit = self.commit(Some(run), Some(entry.clone()))?;
                match parts.launcher.prepare(&occurrence, commit).await? {
                    Prepared::Start(commit) => return Ok((commit, Some(occurrence))),
                    Prepared::Refuse(reason) => reason,
                }
            }
        };
        tracing::warn!(schedule = %self.schedule.id, reason = %refusal, "an occurrence cannot start its run");
        let entry = entry.ended(Outcome::Failed, &refusal);
        Ok((self.commit(None, Some(entry))?, None))
    }

    /// The schedule in its new place, and its history with `entry` and what was skipped.
    fn commit(&self, run: Option<Text>, entry: Option<Trigger>) -> Result<Commit> {
        let mut next = self.schedule.clone();
        if let Some(decision) = self.decision {
            next.next_fire_at = decision.next;
            next.queued_at = decision.queued;
            next.updated_at = self.now;
        }
        if let Some(run) = run {
            next.last_fire_at = Some(self.now);
            next.last_run_id = Some(run);
        }
        let commit = Commit::new().at(self.now);
        let commit = commit.replace(self.record, next.to_index(self.now), next.to_body()?);
        let entries = self.skipped().chain(entry);
        let mut entries = entries.filter(|entry| !self.learned.existing.contains(&entry.id));
        entries.try_fold(commit, |commit, entry| put_entry(commit, &entry))
    }

    fn skipped(&self) -> impl Iterator<Item = Trigger> {
        let skipped = self.decision.map_or(&[][..], |decision| &decision.skipped);
        skipped.iter().map(|skipped| {
            let (id, kind) = (&self.schedule.id, TriggerKind::ScheduleFire);
            let run = run_id(id, skipped.first);
            let entry = Trigger::started(id, run, kind, skipped.first, self.now);
            let mut entry = entry.ended(Outcome::Skipped, skipped.reason.as_str());
            if skipped.last != skipped.first {
                entry.skipped_until = Some(skipped.last);
                entry.skipped_count = Some(skipped.count);
            }
            entry
        })
    }
}

/// The occurrence of `schedule` at `at`.
pub(super) fn occurrence(
    schedule: &Schedule,
    at: Timestamp,
    now: Timestamp,
    kind: TriggerKind,
) -> Occurrence {
    Occurrence {
        schedule_id: schedule.id.clone(),
        run_id: run_id(&schedule.id, at),
        target: schedule.target.clone(),
        scheduled_at: at,
        now,
        kind,
        metadata: schedule.metadata.clone(),
    }
}

/// Adds a new entry of a history.
pub(super) fn put_entry(commit: Commit, entry: &Trigger) -> Result<Commit> {
    let body = entry.to_body()?;
    Ok(commit.put(
        TRIGGERS,
        entry.id.clone(),
        Expect::Absent,
        entry.to_index(),
        body,
    ))
}
