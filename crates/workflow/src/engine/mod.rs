//! The engine: runs workflows on a store and a bus.

mod builder;
mod commit;
mod driver;
mod execute;
mod graphs;
mod history;
mod insist;
mod kept;
mod launch;
mod lease;
mod list;
mod options;
mod orphans;
mod outbox;
mod peers;
mod publish;
mod record;
mod recovery;
mod remote;
mod run;
mod shared;
mod signal;
mod start;
mod steer;
mod stream;
mod submit;
mod take;
mod tasks;
mod untold;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_events::PubSub;
use bowline_store::Store;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use builder::EngineBuilder;
pub use history::{RunEvent, RunHistory};
pub use list::{RunCursor, RunInfo, RunPage, RunQuery};
pub use run::{Run, RunResult};
use shared::{Shared, lock};
pub use start::Start;
pub use steer::TimeTravel;
pub use stream::RunStream;
pub use watch::{RunWatch, WatchEvent};

/// Runs workflows.
///
/// Engines of any number of processes on one store share the work; a run is worked on by one of them at a time. When a process
/// dies, another one goes on with its runs where their last committed step ended, after the lease of the dead one is over.
///
/// # What is guaranteed
/// - A run that was started ends, halts or is cancelled as long as some engine with its workflow is there, whatever dies.
/// - A step whose completion was committed is never executed again. A step that runs when its process dies, loses its lease or
///   is closed before the step has ended is executed again: steps are done at least once. Their context is cancelled then.
/// - Of several starts with one id, resumes of one suspension, or cancels, one wins; the others get a typed error.
/// - Watchers are told every event of a run once and in order, also across crashes, on a bus that keeps its events. Three
///   things can double an event: a bus that did not answer whether it took it (the copies follow each other), a process that
///   was believed dead and froze between two events, and a bus without replay after a crash (from the last commit on). What
///   steps write themselves is told as often as they write it.
/// - A store or a bus that is away costs time: runs go on when the store is back and while the bus is away, and events are
///   told when it is back.
///
/// # Limits
/// A process that is silent for as long as its lease is taken for dead. What a step returns may have 16 MiB less 64 KiB; what
/// cannot be written fails the run, visibly.
///
/// Cheap to clone. Dropping the last clone does not stop it; [`close`](Self::close) does.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Engine {
    /// Sets up an engine on `store` and `bus`.
    pub fn builder(store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> EngineBuilder {
        EngineBuilder::new(store, bus)
    }

    fn new(shared: Arc<Shared>, tasks: Vec<JoinHandle<()>>) -> Self {
        Self {
            shared,
            tasks: Arc::new(Mutex::new(tasks)),
        }
    }

    /// The workflows that it knows, by id.
    pub fn workflows(&self) -> Vec<crate::Workflow> {
        let mut workflows: Vec<_> = self.shared.workflows.values().cloned().collect();
        workflows.sort_by(|a, b| a.id().as_str().cmp(b.id().as_str()));
        workflows
    }

    /// Runs that this engine works on at present.
    pub fn active_runs(&self) -> usize {
        self.shared.all_active().len()
    }

    /// Takes no further run, lets steps end for a while (the drain of the builder), gives the runs back so that others go on
    /// with them at once, and signs off. Steps that have not ended by then are aborted first, and run again elsewhere. Closing
    /// again is fine.
    pub async fn close(&self) {
        self.shared.begin_closing();
        self.shared.doubt_all();
        self.shared.due.notify_one();
        self.shared.stop();
        let deadline = Instant::now() + self.shared.options.drain;
        if !self.all_left(deadline).await {
            self.shared.abandon();
            self.shared.doubt_all();
            let deadline = Instant::now() + self.shared.options.drain;
            self.all_left(deadline).await;
        }
        let deadline = Instant::now() + self.shared.options.drain;
        self.shared.publisher.close(deadline).await;
        self.shared.abandon();
        self.shared.kept.forget(Duration::ZERO);
        self.shared.sweep_outbox().await;
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            task.abort();
        }
        if self.shared.options.workers {
            lease::sign_off(&self.shared).await;
        }
    }

    async fn all_left(&self, deadline: Instant) -> bool {
        loop {
            let left = self.shared.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.shared.all_active().is_empty() {
                return true;
            }
            if timeout_at(deadline, left).await.is_err() {
                return self.shared.all_active().is_empty();
            }
        }
    }
}
