//! The loop that fires schedules.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Record, Store};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::firing::{self, Advanced, Parts};
use super::postponed::Postponed;
use super::record::SCHEDULES;
use super::{Clock, Launcher, Outcome, Retention, Schedules, SystemClock, backoff, history};
use crate::{Error, ErrorKind, Result};

/// Fires schedules when they are due.
///
/// # Guarantees
/// An occurrence starts its run in the same commit that moves the schedule on and writes the history, so it fires once
/// however many schedulers work on the store and wherever one of them dies. What fails is tried again; a schedule is never
/// deleted by firing. Occurrences that pass while no scheduler runs are made up for as
/// [`CatchUp`](super::CatchUp) says.
///
/// # Limits
/// Commits of other processes are noticed at the latest after [`poll`](SchedulerBuilder::poll), where the store does not tell
/// at once. Eight schedules fire at a time. A schedule that fails waits up to 30 seconds before it is tried again; others
/// do not wait for it, unless 1000 or more fail at the same time.
///
/// Dropping the scheduler stops it after what it is doing; [`close`](Self::close) waits for that.
///
/// ```
/// # use bowline_store::{Commit, Expect, Index, MemoryStore, Store, Table};
/// # use bowline_workflow::schedule::*;
/// # use bowline_workflow::Result;
/// # use futures_util::future::BoxFuture;
/// # use std::sync::Arc;
/// # const RUNS: Table = Table::new("runs");
/// # #[derive(Debug)]
/// # struct Starter;
/// # impl Launcher for Starter {
/// #     fn prepare<'a>(&'a self, occurrence: &'a Occurrence, commit: Commit) -> BoxFuture<'a, Result<Prepared>> {
/// #         let index = Index::new(occurrence.now).due(occurrence.now);
/// #         let commit = commit.put(RUNS, occurrence.run_id.clone(), Expect::Absent, index, "{}");
/// #         Box::pin(async { Ok(Prepared::Start(commit)) })
/// #     }
/// #     fn is_active<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool>> {
/// #         Box::pin(async { Ok(false) })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let store = Arc::new(MemoryStore::new());
/// // `Starter` is the example of `Launcher`.
/// let scheduler = Scheduler::builder(store.clone(), Arc::new(Starter)).start()?;
/// let hourly = NewSchedule::new(Target::workflow("triage"), Cadence::cron("@hourly", None)?).id("hourly");
/// scheduler.schedules().create(hourly).await?;
/// let trigger = scheduler.schedules().run_now("hourly").await?;
/// assert!(trigger.run_id.is_some());
/// scheduler.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    /// Has no sender any more when the task has ended.
    running: watch::Receiver<()>,
}

/// Settings of a [`Scheduler`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct SchedulerBuilder {
    parts: Parts,
    poll: Duration,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    poll: Duration,
    postponed: Postponed,
    closing: watch::Receiver<bool>,
}

/// How many schedules fire at a time.
const CONCURRENCY: usize = 8;
/// How many are read at a time.
const BATCH: usize = 100;
/// The bounds of [`SchedulerBuilder::poll`].
const POLL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(86_400);

impl SchedulerBuilder {
    /// Looks at the store at least once in this time: from 10 ms to a day, 10 s by default.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Takes the time from `clock` instead of the clock of this machine.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.parts.clock = clock;
        self
    }

    /// Keeps this much of the histories.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.parts.retention = retention;
        self
    }

    /// A scheduler that fires only when [`fire_due`](Scheduler::fire_due) is called.
    ///
    /// # Errors
    /// `InvalidInput` for a setting that is out of its bounds.
    pub fn build(self) -> Result<Scheduler> {
        if !POLL.contains(&self.poll) {
            let message = format!(
                "a poll every {:?}; it is from {:?} to {:?}",
                self.poll,
                POLL.start(),
                POLL.end()
            );
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "build scheduler",
                message,
            ));
        }
        self.parts.retention.check()?;
        let (closing, receiver) = watch::channel(false);
        Ok(Scheduler {
            running: watch::channel(()).1,
            shared: Arc::new(Shared {
                parts: self.parts,
                poll: self.poll,
                postponed: Postponed::default(),
                closing: receiver,
            }),
            closing,
        })
    }

    /// A scheduler that fires by itself, in a task of the present Tokio runtime.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Result<Scheduler> {
        let mut scheduler = self.build()?;
        let (sender, running) = watch::channel(());
        scheduler.running = running;
        let shared = Arc::clone(&scheduler.shared);
        tokio::spawn(async move {
            shared.run().await;
            drop(sender);
        });
        Ok(scheduler)
    }
}

impl Scheduler {
    /// Begins a scheduler of the schedules in `store`, whose runs `launcher` starts.
    pub fn builder(store: Arc<dyn Store>, launcher: Arc<dyn Launcher>) -> SchedulerBuilder {
        SchedulerBuilder {
            parts: Parts {
                store,
                launcher,
                clock: Arc::new(SystemClock),
                retention: Retention::default(),
            },
            poll: Duration::from_secs(10),
        }
    }

    /// The schedules of this store, to look at and to change.
    pub fn schedules(&self) -> Schedules {
        Schedules::from_parts(self.shared.parts.clone())
    }

    /// Fires what is due now until nothing is, and returns the number of runs that were started. Two calls at the same time
    /// are fine. Dropping the future leaves every occurrence either fired or due.
    ///
    /// # Errors
    /// What the store says to the question what is due, and `Closed` after [`close`](Self::close). A schedule that fails is
    /// logged and waits; it is no error here.
    pub async fn fire_due(&self) -> Result<usize> {
        if *self.closing.borrow() {
            let message = "the scheduler was closed; start another one";
            return Err(Error::new(ErrorKind::Closed, "fire", message));
        }
        self.shared.fire_due().await
    }

    /// Writes down how a run ended that a schedule started, and lets go on what waited for it. `false` for a run that no
    /// schedule started, whose entry is not kept any more, or whose end is known already.
    ///
    /// Call it when the run does not count as active any more. If nobody does, the history says `published`, and waiting
    /// occurrences look again every five seconds.
    ///
    /// # Errors
    /// What the store says; `Conflict` after many lost races.
    pub async fn record_outcome(
        &self,
        run_id: &str,
        outcome: Outcome,
        error: Option<&str>,
    ) -> Result<bool> {
        history::record_outcome(&self.shared.parts, run_id, outcome, error).await
    }

    /// Stops firing, and waits until what has begun is done. Closing again is fine, also when the first future was dropped; the
    /// store stays open.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
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

    async fn fire_due(&self) -> Result<usize> {
        let mut started = 0;
        while !self.is_closing() {
            let now = self.parts.clock.now();
            let records = self.due(now, BATCH).await?;
            if records.is_empty() {
                break;
            }
            let mut advances = FuturesUnordered::new();
            for record in &records {
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
        let occurrence = match advanced {
            Ok(Advanced::Started(occurrence)) => occurrence,
            Ok(Advanced::Moved | Advanced::Lost) => {
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
        if let Err(error) = history::prune(&self.parts, &record.key, occurrence.now).await {
            tracing::debug!(%error, "a history was not cut; it is tried again at the next fire");
        }
        true
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }
}
