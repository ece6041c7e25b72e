//! What starts the runs.

use std::fmt;

use bowline_events::{Text, Timestamp};
use bowline_store::Commit;
use futures_util::future::BoxFuture;

use super::{Json, Target, TriggerKind};
use crate::Result;

/// An occurrence of a schedule that is about to start a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The schedule.
    pub schedule_id: Text,
    /// The id that the run gets. It is made of the schedule and the instant, so one occurrence cannot have two runs.
    pub run_id: Text,
    /// What to start.
    pub target: Target,
    /// When it was due.
    pub scheduled_at: Timestamp,
    /// The present.
    pub now: Timestamp,
    /// Why it comes.
    pub kind: TriggerKind,
    /// What the user keeps with the schedule.
    pub metadata: Option<Json>,
}

/// What a launcher makes of an occurrence.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// With this commit, the run is started.
    Start(Commit),
    /// There will never be a run of this occurrence: the target is not known, or it does not take the input. The reason is
    /// kept in the history. The schedule stays.
    Refuse(Text),
}

/// Starts the runs of schedules: the workflow engine, or whatever has runs in the same store.
///
/// ```
/// use bowline_store::{Commit, Expect, Index, Table};
/// use bowline_workflow::schedule::{Launcher, Occurrence, Prepared};
/// use bowline_workflow::Result;
/// use futures_util::future::BoxFuture;
///
/// const RUNS: Table = Table::new("runs");
///
/// #[derive(Debug)]
/// struct Starter;
///
/// impl Launcher for Starter {
///     fn prepare<'a>(&'a self, occurrence: &'a Occurrence, commit: Commit) -> BoxFuture<'a, Result<Prepared>> {
///         let index = Index::new(occurrence.now).status("pending").due(occurrence.now);
///         let commit = commit.put(RUNS, occurrence.run_id.clone(), Expect::Absent, index, "{}");
///         Box::pin(async { Ok(Prepared::Start(commit)) })
///     }
///
///     fn is_active<'a>(&'a self, _run_id: &'a str) -> BoxFuture<'a, Result<bool>> {
///         Box::pin(async { Ok(false) })
///     }
/// }
/// ```
pub trait Launcher: fmt::Debug + Send + Sync + 'static {
    /// Adds to `commit` what starts the run, at least a record that must not exist yet. The commit happens later, or not at
    /// all, and for one occurrence this may be called several times, by several processes: it must do nothing else.
    ///
    /// The records of the schedule and of its history are in the commit already; the tables
    /// [`SCHEDULES`](super::SCHEDULES) and [`TRIGGERS`](super::TRIGGERS) are not for the launcher.
    ///
    /// # Errors
    /// An error is temporary: the occurrence waits and is tried again, later and later.
    fn prepare<'a>(
        &'a self,
        occurrence: &'a Occurrence,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Prepared>>;

    /// Whether the run `run_id` has not ended. A run that is not known any more has ended.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    fn is_active<'a>(&'a self, run_id: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// The run was started. A hint, to begin at once: it does not come if the process dies after the commit, or if the answer
    /// of the store was lost, so whoever executes runs finds them in the store as well.
    fn launched(&self, occurrence: &Occurrence) {
        let _ = occurrence;
    }
}
