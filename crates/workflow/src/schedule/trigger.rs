//! The history of a schedule: one entry per occurrence.

use bowline_events::{Text, Timestamp};
use bowline_store::{Index, Record, Table};
use serde::{Deserialize, Serialize};

use super::millis;
use crate::{Error, ErrorKind, Result};

/// Where the histories are kept: one record per occurrence, of the group of its schedule.
pub const TRIGGERS: Table = Table::new("triggers");

/// Bytes of the error that an entry keeps; the rest is left out.
pub const MAX_TRIGGER_ERROR: usize = 4096;

/// Why a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// It was time.
    ScheduleFire,
    /// It had been time before, and the run before has ended.
    QueueDrain,
    /// Somebody asked for it.
    Manual,
}

/// What became of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A run was started; how it ended is not known yet.
    Published,
    /// The run succeeded.
    Succeeded,
    /// The message reached the thread of an agent.
    Delivered,
    /// The message was kept for later.
    Persisted,
    /// The message was not wanted.
    Discarded,
    /// Nothing was started, as the policies of the schedule say.
    Skipped,
    /// The run was cancelled.
    Aborted,
    /// The run failed, or could not be started.
    Failed,
}

impl Outcome {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Succeeded => "succeeded",
            Self::Delivered => "delivered",
            Self::Persisted => "persisted",
            Self::Discarded => "discarded",
            Self::Skipped => "skipped",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }
}

/// One entry of the history. Its JSON form has the member names of the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Its name: that of the schedule, a colon, and the instant in 15 digits, so that names are in order of time.
    #[serde(with = "text")]
    pub id: Text,
    /// The schedule.
    #[serde(with = "text")]
    pub schedule_id: Text,
    /// The run; `None` if none was started.
    #[serde(default, with = "text_option", skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Text>,
    /// When it was due.
    #[serde(with = "millis")]
    pub scheduled_fire_at: Timestamp,
    /// When the scheduler came to it.
    #[serde(with = "millis")]
    pub actual_fire_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it failed or was skipped.
    #[serde(default, with = "text_option", skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// Why it came.
    pub trigger_kind: TriggerKind,
    /// The last of the skipped occurrences, when the entry stands for several.
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub skipped_until: Option<Timestamp>,
    /// How many skipped occurrences the entry stands for; [`MANY`](super::core::MANY) for that many and more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_count: Option<u32>,
    /// When the outcome was reported.
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub completed_at: Option<Timestamp>,
}

impl Trigger {
    /// An occurrence that started a run.
    pub(super) fn started(
        schedule: &Text,
        run: Text,
        kind: TriggerKind,
        scheduled: Timestamp,
        actual: Timestamp,
    ) -> Self {
        Self {
            id: trigger_id(schedule, scheduled),
            schedule_id: schedule.clone(),
            run_id: Some(run),
            scheduled_fire_at: scheduled,
            actual_fire_at: actual,
            outcome: Outcome::Published,
            error: None,
            trigger_kind: kind,
            skipped_until: None,
            skipped_count: None,
            completed_at: None,
        }
    }

    /// The same without a run, as it ended in `outcome` because of `reason`.
    pub(super) fn ended(mut self, outcome: Outcome, reason: &str) -> Self {
        self.run_id = None;
        self.outcome = outcome;
        self.error = Some(shorten(reason));
        self.completed_at = Some(self.actual_fire_at);
        self
    }

    /// Reads a record of [`TRIGGERS`].
    ///
    /// # Errors
    /// `Corrupt` when it is damaged.
    pub fn from_record(record: &Record) -> Result<Self> {
        serde_json::from_slice(&record.body).map_err(|error| {
            let message = format!("the record is not an entry of a history: {error}");
            Error::new(ErrorKind::Corrupt, "read trigger", message)
                .with_subject(record.key.clone())
                .with_source(error)
        })
    }

    pub(super) fn to_body(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            let message = "the entry has no JSON form; see the source";
            Error::new(ErrorKind::InvalidInput, "write trigger", message)
                .with_subject(self.id.clone())
                .with_source(error)
        })
    }

    pub(super) fn to_index(&self) -> Index {
        Index::new(self.actual_fire_at)
            .status(self.outcome.as_str())
            .group(self.schedule_id.clone())
    }
}

/// The part of `reason` that an entry keeps.
pub(super) fn shorten(reason: &str) -> Text {
    let mut end = reason.len().min(MAX_TRIGGER_ERROR);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned().into()
}

/// The name of the entry for the occurrence at `at`.
pub fn trigger_id(schedule: &str, at: Timestamp) -> Text {
    format!("{schedule}:{:015}", at.as_millis()).into()
}

/// The run that the occurrence at `at` starts: `sched_<schedule>_<milliseconds>`, as in the reference.
pub fn run_id(schedule: &str, at: Timestamp) -> Text {
    format!("sched_{schedule}_{}", at.as_millis()).into()
}

/// The schedule and the instant in the id of a run that a schedule started.
pub fn parse_run_id(run: &str) -> Option<(&str, Timestamp)> {
    let (schedule, millis) = run.strip_prefix("sched_")?.rsplit_once('_')?;
    let digits = !millis.is_empty() && millis.bytes().all(|byte| byte.is_ascii_digit());
    let at = digits.then(|| millis.parse().ok())??;
    (!schedule.is_empty()).then_some((schedule, Timestamp::from_millis(at)))
}

mod text {
    use bowline_events::Text;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Text, D::Error> {
        String::deserialize(deserializer).map(Text::from)
    }
}

mod text_option {
    use bowline_events::Text;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Text>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match text {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Text>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map(Text::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_schedule_and_instant() {
        let at = Timestamp::from_millis(1_795_144_532_000);
        let run = run_id("wf_sched%5Fwf", at);
        assert_eq!(run, "sched_wf_sched%5Fwf_1795144532000");
        assert_eq!(parse_run_id(&run), Some(("wf_sched%5Fwf", at)));
        for other in [
            "",
            "sched_",
            "sched_a",
            "sched_a_",
            "sched__1",
            "sched_a_1x",
            "run_a_1",
            "sched_a_-1",
            "sched_a_99999999999999999999",
        ] {
            assert_eq!(parse_run_id(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_entries_are_in_order_of_time() {
        let id = |millis| trigger_id("s", Timestamp::from_millis(millis)).to_string();
        assert_eq!(id(1_795_144_532_000), "s:001795144532000");
        let mut ids = [
            id(0),
            id(9),
            id(10),
            id(999_999_999_999),
            id(95_617_584_000_000),
        ];
        ids.sort();
        assert_eq!(ids[4], id(95_617_584_000_000));
        assert!(ids.is_sorted() && ids[0] == id(0));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("a{}", "ü".repeat(MAX_TRIGGER_ERROR));
        assert_eq!(shorten(&reason).len(), MAX_TRIGGER_ERROR - 1);
        assert_eq!(shorten("short"), "short");
    }
}
