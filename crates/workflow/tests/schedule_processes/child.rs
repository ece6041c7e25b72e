//! What this program does when the test starts it once more. It ends when nobody reads its output any more.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Index, SqliteStore, Store, Table};
use bowline_workflow::Result;
use bowline_workflow::schedule::*;
use futures_util::future::BoxFuture;

const DATABASE: &str = "BOWLINE_SCHEDULE_TEST_DATABASE";
const BEGIN: &str = "BOWLINE_SCHEDULE_TEST_BEGIN";

pub(crate) const RUNS: Table = Table::new("runs");

/// A clock that goes a thousand times faster since a common instant, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FastClock(i64);

impl FastClock {
    pub(crate) fn new() -> Self {
        Self(Timestamp::now().as_millis())
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = Timestamp::now().as_millis() - self.0;
        Timestamp::from_millis(self.0 + passed * 1000)
    }
}

/// Starts a run by putting a record, and says so.
#[derive(Debug)]
pub(crate) struct Starter;

impl Launcher for Starter {
    fn prepare<'a>(
        &'a self,
        occurrence: &'a Occurrence,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Prepared>> {
        let index = Index::new(occurrence.scheduled_at);
        let commit = commit.put(RUNS, occurrence.run_id.clone(), Expect::Absent, index, "");
        Box::pin(async { Ok(Prepared::Start(commit)) })
    }

    fn is_active<'a>(&'a self, _run_id: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(false) })
    }

    /// Ends the process when the test is gone. The full stop shows that the line is whole.
    fn launched(&self, occurrence: &Occurrence) {
        if role().is_some() && writeln!(std::io::stdout(), "{}.", occurrence.run_id).is_err() {
            std::process::exit(1);
        }
    }
}

pub(crate) fn builder(
    store: Arc<dyn Store>,
    launcher: Arc<Starter>,
    clock: FastClock,
) -> SchedulerBuilder {
    let retention = Retention {
        entries: MAX_HISTORY,
        ..Retention::default()
    };
    let builder = Scheduler::builder(store, launcher)
        .clock(Arc::new(clock))
        .retention(retention);
    builder.poll(Duration::from_millis(10))
}

pub(crate) fn role() -> Option<PathBuf> {
    std::env::var_os(DATABASE).map(PathBuf::from)
}

/// This program as a scheduler on `database`.
pub(crate) fn command(database: &Path, clock: &FastClock) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(DATABASE, database)
        .env(BEGIN, clock.0.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

pub(crate) fn play(database: &Path) -> ExitCode {
    let clock = FastClock(std::env::var(BEGIN).unwrap().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(database).await.unwrap());
        let scheduler = builder(store, Arc::new(Starter), clock).start().unwrap();
        std::future::pending::<()>().await;
        drop(scheduler);
    });
    ExitCode::FAILURE
}
