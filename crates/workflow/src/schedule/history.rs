//! How much of the histories is kept, and reporting how runs ended.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Filter, Order, Query};

use super::firing::Parts;
use super::record::{SCHEDULES, Schedule};
use super::trigger::{self, Outcome, TRIGGERS, Trigger, trigger_id};
use crate::{Error, ErrorKind, Result};

/// The largest [`Retention::entries`].
pub const MAX_HISTORY: u32 = 10_000;

/// How much of the history of each schedule is kept. It is cut when it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest entries that stay, from 1 to [`MAX_HISTORY`]; 1000 by default. Up to an eighth more can be there.
    pub entries: u32,
    /// What is older goes; 90 days by default.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            entries: 1000,
            age: Duration::from_secs(90 * 86_400),
        }
    }
}

impl Retention {
    pub(super) fn check(&self) -> Result<()> {
        if (1..=MAX_HISTORY).contains(&self.entries) {
            return Ok(());
        }
        let message = format!(
            "a history of {} entries; it has 1 to {MAX_HISTORY}",
            self.entries
        );
        Err(Error::new(ErrorKind::InvalidInput, "schedule", message))
    }
}

/// Deletes what the retention does not keep of one history. What is left over for any reason goes the next time.
pub(super) async fn prune(parts: &Parts, schedule: &Text) {
    if let Err(error) = try_prune(parts, schedule).await {
        tracing::debug!(%error, "a history was not cut; it is tried again when it grows");
    }
}

async fn try_prune(parts: &Parts, schedule: &Text) -> Result<()> {
    let now = parts.clock.now();
    const AT_ONCE: usize = 500;
    let failed = |error| Error::store("prune history", error).with_subject(schedule.clone());
    let entries = u64::from(parts.retention.entries);
    let of_schedule = Filter::new().group(schedule.clone());
    let count = parts
        .store
        .count(TRIGGERS, &of_schedule)
        .await
        .map_err(failed)?;
    let query = if count > entries + entries / 8 {
        let excess = usize::try_from(count - entries).unwrap_or(AT_ONCE);
        Query::new(of_schedule).limit(excess.min(AT_ONCE))
    } else {
        let age = i64::try_from(parts.retention.age.as_millis()).unwrap_or(i64::MAX);
        let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(age));
        Query::new(of_schedule.created_before(oldest)).limit(AT_ONCE)
    };
    let query = query.order(Order::OldestFirst);
    let page = parts.store.list(TRIGGERS, &query).await.map_err(failed)?;
    if page.records.is_empty() {
        return Ok(());
    }
    let delete = |commit: Commit, record: &bowline_store::Record| {
        commit.delete(TRIGGERS, record.key.clone(), record.version)
    };
    let commit = page.records.iter().fold(Commit::new().at(now), delete);
    match parts.store.commit(commit).await {
        Err(error) if error.conflict().is_none() => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Writes down how a run ended; see [`Schedules::record_outcome`](super::Schedules::record_outcome).
pub(super) async fn record_outcome(
    parts: &Parts,
    run: &str,
    outcome: Outcome,
    reason: Option<&str>,
) -> Result<bool> {
    const OPERATION: &str = "record outcome";
    const ATTEMPTS: usize = 16;
    let failed = |error| Error::store(OPERATION, error).with_subject(run.to_owned());
    let Some((schedule_id, at)) = trigger::parse_run_id(run) else {
        return Ok(false);
    };
    let key = trigger_id(schedule_id, at);
    for _ in 0..ATTEMPTS {
        let record = parts.store.get(TRIGGERS, &key).await.map_err(failed)?;
        let Some(record) = record else {
            return Ok(false);
        };
        let mut entry = Trigger::from_record(&record)?;
        if entry.outcome != Outcome::Published || entry.run_id.as_deref() != Some(run) {
            return Ok(false);
        }
        let now = parts.clock.now();
        entry.outcome = outcome;
        entry.error = reason.map(trigger::shorten);
        entry.completed_at = Some(now);
        let commit = Commit::new()
            .at(now)
            .replace(&record, entry.to_index(), entry.to_body()?);
        let commit = wake_waiting(parts, schedule_id, run, now, commit).await?;
        match parts.store.commit(commit).await {
            Ok(_) => return Ok(true),
            Err(error) if error.conflict().is_some() => tokio::task::yield_now().await,
            Err(error) => return Err(failed(error)),
        }
    }
    let message = "the entry changed again and again; try again";
    Err(Error::new(ErrorKind::Conflict, OPERATION, message).with_subject(run.to_owned()))
}

/// Makes the schedule due now if an occurrence waits for the end of `run`.
async fn wake_waiting(
    parts: &Parts,
    schedule_id: &str,
    run: &str,
    now: Timestamp,
    commit: Commit,
) -> Result<Commit> {
    let record = parts.store.get(SCHEDULES, schedule_id).await;
    let record = record.map_err(|error| Error::store("record outcome", error))?;
    // A schedule that cannot be read does not keep its runs from being accounted for.
    let schedule = record
        .as_ref()
        .and_then(|record| Some((record, Schedule::from_record(record).ok()?)));
    let Some((record, schedule)) = schedule else {
        return Ok(commit);
    };
    if schedule.queued_at.is_none()
        || schedule.last_run_id.as_deref() != Some(run)
        || record.index.due.is_none()
    {
        return Ok(commit);
    }
    let expect = Expect::Version(record.version);
    let index = record.index.clone().due(now);
    Ok(commit.put(
        SCHEDULES,
        record.key.clone(),
        expect,
        index,
        record.body.clone(),
    ))
}
