//! Schedules, and how they are kept.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Index, Record, Table};
use serde::{Deserialize, Serialize};

use super::{Cadence, CatchUp, Json, Overlap, Target, millis};
use crate::{Error, ErrorKind, Result};

/// Where schedules are kept: one record each, due when the scheduler has to look at it.
pub const SCHEDULES: Table = Table::new("schedules");

/// Bytes of the id of a schedule, of its owner, and of the id of its target.
pub const MAX_ID: usize = 256;

/// How long an occurrence that waits for the run before it is left alone, if nobody says that the run ended.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The version of the form of the body. A program refuses what a newer one wrote.
const FORM: u32 = 1;

/// Whether a schedule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It fires.
    Active,
    /// It does not, until it is resumed. That survives restarts and declarations.
    Paused,
}

impl Status {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// A schedule. Its JSON form has the member names of the reference; the times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Schedule {
    /// Its name, unique in the store.
    pub id: Text,
    /// What it starts.
    pub target: Target,
    /// When it fires.
    pub cadence: Cadence,
    /// Whether it fires.
    pub status: Status,
    /// What happens while the run before is active.
    pub overlap: Overlap,
    /// What happens to occurrences that were missed.
    pub catch_up: CatchUp,
    /// Whom it belongs to, such as the program that declared it.
    pub owner: Option<Text>,
    /// Whether the owner declared it in its program; see [`Schedules::sync`](super::Schedules::sync).
    pub declared: bool,
    /// What the user keeps with it.
    pub metadata: Option<Json>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed, by a user or by firing.
    pub updated_at: Timestamp,
    /// The next occurrence; `None` while it is paused, and when there is none left.
    pub next_fire_at: Option<Timestamp>,
    /// When it last started a run, by the clock of that scheduler.
    pub last_fire_at: Option<Timestamp>,
    /// The run that it last started.
    pub last_run_id: Option<Text>,
    /// The occurrence that waits for the run before it to end.
    pub queued_at: Option<Timestamp>,
}

/// The JSON form.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    form: u32,
    id: String,
    target: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    anchor: Option<Timestamp>,
    status: Status,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    catch_up: CatchUp,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
    #[serde(default)]
    declared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[serde(with = "millis")]
    updated_at: Timestamp,
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    next_fire_at: Option<Timestamp>,
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    last_fire_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run_id: Option<String>,
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    queued_at: Option<Timestamp>,
}

impl Schedule {
    /// Reads a record of [`SCHEDULES`].
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, was written by a newer program, or names a time zone that this machine does not know.
    pub fn from_record(record: &Record) -> Result<Self> {
        serde_json::from_slice(&record.body).map_err(|error| {
            let message = format!("the record is not a schedule of this program: {error}; delete it, or use the program that wrote it");
            Error::new(ErrorKind::Corrupt, "read schedule", message)
                .with_subject(record.key.clone())
                .with_source(error)
        })
    }

    /// The body of its record.
    pub(super) fn to_body(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            let message = "the schedule has no JSON form; see the source";
            Error::new(ErrorKind::InvalidInput, "write schedule", message)
                .with_subject(self.id.clone())
                .with_source(error)
        })
    }

    /// What its record is found by, when it is written at `now`.
    pub(super) fn to_index(&self, now: Timestamp) -> Index {
        let index = Index::new(self.created_at)
            .status(self.status.as_str())
            .group(self.target.group())
            .due(self.due(now));
        match &self.owner {
            Some(owner) => index.owner(owner.clone()),
            None => index,
        }
    }

    /// When the scheduler has to look at it again.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.status == Status::Paused {
            return None;
        }
        let look = self.queued_at.map(|_| {
            let wait = LOOK_AGAIN.as_millis() as i64;
            Timestamp::from_millis(now.as_millis().saturating_add(wait))
        });
        match (look, self.next_fire_at) {
            (Some(look), Some(next)) => Some(look.min(next)),
            (look, next) => look.or(next),
        }
    }

    /// Lets it go on with its occurrences after `now`.
    ///
    /// # Errors
    /// `InvalidInput` when there are none.
    pub(super) fn aim(&mut self, now: Timestamp) -> Result<()> {
        let next = self.cadence.next_after(now);
        if next.is_none() {
            let message = "it has no occurrence in the future; change its cron expression";
            let error = Error::new(ErrorKind::InvalidInput, "schedule", message);
            return Err(error.with_subject(self.id.clone()));
        }
        self.next_fire_at = next;
        Ok(())
    }
}

impl From<Schedule> for Stored {
    fn from(schedule: Schedule) -> Self {
        let (cron, every) = match schedule.cadence {
            Cadence::Cron(cron) => (Some(cron), None),
            Cadence::Every { every, anchor } => (None, Some((every, anchor))),
        };
        let timezone = cron
            .as_ref()
            .and_then(|cron| cron.timezone().map(ToString::to_string));
        Self {
            form: FORM,
            id: schedule.id.to_string(),
            target: schedule.target,
            cron: cron.map(|cron| cron.expression().to_string()),
            timezone,
            every_ms: every.map(|(every, _)| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
            anchor: every.map(|(_, anchor)| anchor),
            status: schedule.status,
            overlap: schedule.overlap,
            catch_up: schedule.catch_up,
            owner_id: schedule.owner.map(|owner| owner.to_string()),
            declared: schedule.declared,
            metadata: schedule.metadata,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
            next_fire_at: schedule.next_fire_at,
            last_fire_at: schedule.last_fire_at,
            last_run_id: schedule.last_run_id.map(|run| run.to_string()),
            queued_at: schedule.queued_at,
        }
    }
}

impl TryFrom<Stored> for Schedule {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        if stored.form > FORM {
            let message = format!(
                "it has form {}, this program knows up to {FORM}; use a newer program",
                stored.form
            );
            return Err(Error::new(ErrorKind::Corrupt, "read schedule", message));
        }
        let cadence = match (&stored.cron, stored.every_ms) {
            (Some(cron), None) => Cadence::cron(cron, stored.timezone.as_deref())?,
            (None, Some(every)) => {
                let anchor = stored.anchor.unwrap_or(stored.created_at);
                Cadence::every(Duration::from_millis(every), anchor)?
            }
            _ => {
                let message = "it has to have either \"cron\" or \"everyMs\"";
                return Err(Error::new(ErrorKind::Corrupt, "read schedule", message));
            }
        };
        stored.catch_up.check()?;
        Ok(Self {
            id: stored.id.into(),
            target: stored.target,
            cadence,
            status: stored.status,
            overlap: stored.overlap,
            catch_up: stored.catch_up,
            owner: stored.owner_id.map(Text::from),
            declared: stored.declared,
            metadata: stored.metadata,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            next_fire_at: stored.next_fire_at,
            last_fire_at: stored.last_fire_at,
            last_run_id: stored.last_run_id.map(Text::from),
            queued_at: stored.queued_at,
        })
    }
}
