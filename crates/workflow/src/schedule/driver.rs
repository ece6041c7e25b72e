//! The loop that fires schedules.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::Record;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::firing::{self, Advanced, Parts};
use super::postponed::Postponed;
use super::record::SCHEDULES;
use super::{backoff, history};
use crate::{Error, ErrorKind, Result};

/// How many schedules fire at a time.
const CONCURRENCY: usize = 8;
/// How many are read at a time.
const BATCH: usize = 100;

/// What a scheduler works with.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) parts: Parts,
    pub(super) poll: Duration,
    pub(super) postponed: Postponed,
    pub(super) closing: watch::Receiver<bool>,
}

impl Driver {
    /// Fires until it is told to close.
    pub(super) async fn run(self: Arc<Self>) {
        let mut closing = self.closing.clone();
        let mut changes = self.parts.store.watch(SCHEDULES);
        let mut failures = 0_u32;
        loop {
            let wait = match self.turn().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, failures, "the scheduler cannot read the schedules; it tries again");
                    backoff::wait(failures)
                }
            };
            tokio::select! {
                // Dropping the handle counts as closing.
                stop = closing.wait_for(|closing| *closing) => {
                    drop(stop);
                    return;
                }
                () = tokio::time::sleep(wait) => {}
                // After a failure only time helps; a busy table would make the retries endless.
                changed = changes.changed(), if failures == 0 => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Fires what is due, and says how long there is nothing to do.
    async fn turn(&self) -> Result<Duration> {
        self.fire_due().await?;
        let mut wait = self.poll;
        if let Some(until) = self.postponed.next() {
            wait = wait.min(until.saturating_duration_since(Instant::now()));
        }
        let records = self.due(Timestamp::from_millis(i64::MAX), 1).await?;
        if let Some(due) = records.first().and_then(|record| record.index.due) {
            let left = due
                .as_millis()
                .saturating_sub(self.parts.clock.now().as_millis());
            wait = wait.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        }
        Ok(wait)
    }

    /// Fires what is due, and returns how many runs that started.
    pub(super) async fn fire_due(&self) -> Result<usize> {
        let mut started = 0;
        while !self.is_closing() {
            let now = self.parts.clock.now();
            let records = self.due(now, BATCH).await?;
            if records.is_empty() {
                break;
            }
            let mut advances = FuturesUnordered::new();
            for record in &records {
                if self.is_closing() {
                    break;
                }
                if advances.len() == CONCURRENCY {
                    started += advances.next().await.map_or(0, usize::from);
                }
                advances.push(self.advance(record));
            }
            while let Some(has_started) = advances.next().await {
                started += usize::from(has_started);
            }
        }
        Ok(started)
    }

    /// Up to `limit` schedules that are due at `at` and do not wait after a failure.
    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<Record>> {
        let limit = limit.saturating_add(self.postponed.len());
        let mut records = self
            .parts
            .store
            .due(SCHEDULES, at, limit)
            .await
            .map_err(|error| Error::store("fire", error))?;
        self.postponed
            .keep(|id| records.iter().any(|record| *record.key == *id));
        records.retain(|record| !self.postponed.is_waiting(&record.key));
        Ok(records)
    }

    /// Moves one schedule on, and tells whether it has started a run. Its failures, even a panic of the launcher, are its own.
    async fn advance(&self, record: &Record) -> bool {
        let advance = AssertUnwindSafe(firing::advance(&self.parts, record));
        let advanced = advance.catch_unwind().await.unwrap_or_else(|_| {
            let message = "the launcher panicked; it is tried again";
            let error = Error::new(ErrorKind::WrongState, "fire", message);
            Err(error.with_subject(record.key.clone()))
        });
        let has_started = match advanced {
            Ok(Advanced::Started) => true,
            Ok(Advanced::Moved) => false,
            Ok(Advanced::Lost) => {
                self.postponed.succeeded(&record.key);
                return false;
            }
            Err(error) => {
                tracing::warn!(%error, schedule = %record.key, "a schedule cannot fire; it is tried again");
                self.postponed.failed(&record.key);
                return false;
            }
        };
        self.postponed.succeeded(&record.key);
        history::prune(&self.parts, &record.key).await;
        has_started
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }
}
