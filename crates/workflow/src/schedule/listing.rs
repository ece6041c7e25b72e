//! Lists of schedules, and of what became of their occurrences.

use bowline_events::{Text, Timestamp};
use bowline_store::{Cursor, Filter, Query};

use super::record::SCHEDULES;
use super::trigger::{TRIGGERS, Trigger};
use super::{Schedule, Schedules, Status, Target};
use crate::{Error, Result};

/// Which schedules are listed. Everything that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// Active, or paused.
    pub status: Option<Status>,
    /// Those that start this workflow or agent; only its kind and id matter.
    pub target: Option<Target>,
    /// Whom they belong to.
    pub owner: Option<Text>,
}

/// A part of a list of schedules, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchedulePage {
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The ids of those that cannot be read. They can be deleted.
    pub damaged: Vec<Text>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<Cursor>,
}

/// Which entries of a history are listed, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerQuery {
    /// Entries whose `actual_fire_at` is this instant or later.
    pub from: Option<Timestamp>,
    /// Entries whose `actual_fire_at` is before this instant.
    pub until: Option<Timestamp>,
    /// How many at most, up to 1000; 100 by default.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Cursor>,
}

impl Default for TriggerQuery {
    fn default() -> Self {
        Self {
            from: None,
            until: None,
            limit: 100,
            after: None,
        }
    }
}

/// A part of a history, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerPage {
    /// The entries.
    pub triggers: Vec<Trigger>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

impl Schedules {
    /// Up to `limit` (at most 1000) schedules that `filter` means, after the page that ended at `after`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(
        &self,
        filter: &ScheduleFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<SchedulePage> {
        let records = Filter {
            status: filter
                .status
                .iter()
                .map(|status| status.as_str().into())
                .collect(),
            group: filter.target.as_ref().map(Target::group),
            owner: filter.owner.clone(),
            ..Filter::new()
        };
        let query = Query::new(records).limit(limit).after(after);
        let page = self.store().list(SCHEDULES, &query).await;
        let page = page.map_err(|error| Error::store("list", error))?;
        let mut list = SchedulePage {
            next: page.next,
            ..SchedulePage::default()
        };
        for record in page.records {
            match Schedule::from_record(&record) {
                Ok(schedule) => list.schedules.push(schedule),
                Err(error) => {
                    tracing::warn!(%error, "a schedule is left out of a list");
                    list.damaged.push(record.key);
                }
            }
        }
        Ok(list)
    }

    /// The history of the schedule `id`, newest first. It is empty for a schedule that does not exist.
    ///
    /// # Errors
    /// `Corrupt` when an entry cannot be read.
    pub async fn triggers(&self, id: &str, query: &TriggerQuery) -> Result<TriggerPage> {
        let filter = Filter {
            group: Some(id.to_owned().into()),
            created_from: query.from,
            created_before: query.until,
            ..Filter::new()
        };
        let query = Query::new(filter)
            .limit(query.limit)
            .after(query.after.clone());
        let page = self.store().list(TRIGGERS, &query).await;
        let page =
            page.map_err(|error| Error::store("list triggers", error).with_subject(id.to_owned()))?;
        let triggers = page.records.iter().map(Trigger::from_record);
        Ok(TriggerPage {
            triggers: triggers.collect::<Result<_>>()?,
            next: page.next,
        })
    }
}
