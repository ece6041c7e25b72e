//! The scheduler, for those who run it.

use std::sync::Arc;
use std::time::Duration;

use bowline_store::Store;
use tokio::sync::watch;

use super::driver::Driver;
use super::firing::Parts;
use super::postponed::Postponed;
use super::{Clock, Launcher, Outcome, Retention, Schedules, SystemClock, history};
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
    driver: Arc<Driver>,
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
            driver: Arc::new(Driver {
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
        let driver = Arc::clone(&scheduler.driver);
        tokio::spawn(async move {
            driver.run().await;
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
        Schedules::from_parts(self.driver.parts.clone())
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
        self.driver.fire_due().await
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
        history::record_outcome(&self.driver.parts, run_id, outcome, error).await
    }

    /// Stops firing, and waits until what has begun is done. Closing again is fine, also when the first future was dropped; the
    /// store stays open.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}
