//! What all parts of an engine share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{PubSub, Text, Timestamp};
use bowline_store::{Commit, Committed, Store, StoreFuture};
use tokio::sync::{Notify, watch};

use super::kept::Kept;
use super::options::Options;
use super::peers::Peers;
use super::publish::{Publisher, Told};
use super::record::RunRecord;
use crate::context::{CancelSource, Fence, Hold};
use crate::machine::Machine;
use crate::{Error, ErrorKind, Result, Workflow};

/// What all parts of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) workflows: HashMap<Text, Workflow>,
    pub(super) options: Options,
    /// The name under which this engine holds runs at present.
    pub(super) worker: Mutex<Text>,
    /// How long this engine can be sure of its runs.
    pub(super) hold: Arc<Hold>,
    /// What is known of the workers.
    pub(super) peers: Peers,
    active: Mutex<HashMap<Text, Arc<Active>>>,
    pub(super) kept: Kept,
    closing: AtomicBool,
    /// The time that steps had to end when the engine was closed is over.
    abandoning: AtomicBool,
    /// Notes of the outbox that are done with.
    pub(super) told: Told,
    /// Something may be due earlier than was known.
    pub(super) due: Notify,
    /// A run ended or left.
    pub(super) left: Notify,
    /// The engine is being closed.
    stop: Notify,
    /// Runs were left without anybody working on them.
    left_behind: AtomicBool,
}

/// A run that this engine works on.
#[derive(Debug)]
pub(crate) struct Active {
    pub(super) cancel: CancelSource,
    pub(super) fence: Fence,
    /// Set when the run may have been taken away.
    doubt: AtomicBool,
    pub(super) doubted: Notify,
    state: watch::Sender<Work>,
}

/// How this engine stands to a run that it took.
#[derive(Debug, Clone, Default)]
pub(super) enum Work {
    #[default]
    Going,
    /// It has ended or halted.
    Settled(Arc<Settled>),
    /// Others go on with it.
    Gone,
}

/// A run that this engine does not work on any more, as it was then.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) record: RunRecord,
    pub(crate) machine: Machine,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        bus: Arc<dyn PubSub>,
        workflows: HashMap<Text, Workflow>,
        options: Options,
        worker: Text,
        hold: Hold,
    ) -> Self {
        let told = Told::default();
        Self {
            publisher: Arc::new(Publisher::new(Arc::clone(&bus), Arc::clone(&told))),
            store,
            bus,
            workflows,
            peers: Peers::new(options.lease),
            options,
            worker: Mutex::new(worker),
            hold: Arc::new(hold),
            active: Mutex::default(),
            kept: Kept::default(),
            closing: AtomicBool::new(false),
            abandoning: AtomicBool::new(false),
            told,
            due: Notify::new(),
            left: Notify::new(),
            stop: Notify::new(),
            left_behind: AtomicBool::new(false),
        }
    }

    pub(super) fn workflow(&self, id: &str) -> Option<&Workflow> {
        self.workflows.get(id)
    }

    pub(super) fn worker(&self) -> Text {
        lock(&self.worker).clone()
    }

    /// The time of day.
    pub(super) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// How long it is until `at`.
    pub(super) fn until(&self, at: Timestamp) -> Duration {
        let millis = at.as_millis().saturating_sub(self.now().as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Has the store do `commit`, which is of now.
    pub(super) fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.store.commit(commit.at(self.now()))
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Wakes up who waits for the end.
    pub(super) fn stop(&self) {
        self.stop.notify_waiters();
    }

    /// Waits until the engine is being closed.
    pub(super) async fn stopped(&self) {
        let stop = self.stop.notified();
        tokio::pin!(stop);
        stop.as_mut().enable();
        if !self.is_closing() {
            stop.await;
        }
    }

    /// A run of this engine is not worked on although its record says so.
    pub(super) fn leave_behind(&self) {
        self.look_again();
        self.due.notify_one();
    }

    /// After an error: what was to be written may have been, and then nobody works on the run.
    pub(super) fn leave_behind_if(&self, error: &Error) {
        if error.kind() == ErrorKind::Store {
            self.leave_behind();
        }
    }

    /// As [`leave_behind`](Self::leave_behind), and somebody looks for it at the next opportunity.
    pub(super) fn look_again(&self) {
        self.left_behind.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_left_behind(&self) -> bool {
        self.left_behind.load(Ordering::SeqCst)
    }

    /// Whether runs were left behind since the last call.
    pub(super) fn take_left_behind(&self) -> bool {
        self.left_behind.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_abandoning(&self) -> bool {
        self.abandoning.load(Ordering::SeqCst)
    }

    pub(super) fn abandon(&self) {
        self.abandoning.store(true, Ordering::SeqCst);
    }

    pub(super) fn begin_closing(&self) -> bool {
        !self.closing.swap(true, Ordering::SeqCst)
    }

    /// Whether this engine takes another run.
    pub(super) fn has_room(&self) -> bool {
        self.has_room_beside(&lock(&self.active))
    }

    fn has_room_beside(&self, active: &HashMap<Text, Arc<Active>>) -> bool {
        self.options.workers && !self.is_closing() && active.len() < self.options.max_runs
    }

    /// Notes that this engine works on a run; `None` if it does already, or takes no further run.
    pub(super) fn enter(&self, run: &Text) -> Option<Arc<Active>> {
        let mut active = lock(&self.active);
        if !self.has_room_beside(&active) || active.contains_key(run) {
            return None;
        }
        let cancel = CancelSource::default();
        let entered = Arc::new(Active {
            // Under the lock, so that it is doubted with the others when a term begins after this one.
            fence: Fence::new(&self.hold, cancel.token()),
            cancel,
            doubt: AtomicBool::new(false),
            doubted: Notify::new(),
            state: watch::channel(Work::Going).0,
        });
        active.insert(run.clone(), Arc::clone(&entered));
        Some(entered)
    }

    /// The run is not worked on any more; who waits for it is told.
    pub(super) fn leave(&self, run: &Text, settled: Option<Settled>) {
        let active = lock(&self.active).remove(run);
        if let Some(active) = active {
            let work = settled.map_or(Work::Gone, |settled| Work::Settled(Arc::new(settled)));
            active.state.send_replace(work);
        }
        self.left.notify_waiters();
    }

    pub(super) fn active(&self, run: &str) -> Option<Arc<Active>> {
        lock(&self.active).get(run).cloned()
    }

    pub(super) fn all_active(&self) -> Vec<(Text, Arc<Active>)> {
        let active = lock(&self.active);
        active
            .iter()
            .map(|(run, active)| (run.clone(), Arc::clone(active)))
            .collect()
    }

    /// Makes every driver look whether its run is still its own.
    pub(super) fn doubt_all(&self) {
        for (_, active) in self.all_active() {
            active.doubt();
        }
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.is_closing() {
            let message = "the engine was closed; build another one";
            return Err(Error::new(ErrorKind::Closed, operation, message));
        }
        Ok(())
    }
}

impl Active {
    /// Makes the driver look whether the run is still its own.
    pub(super) fn doubt(&self) {
        self.doubt.store(true, Ordering::SeqCst);
        self.doubted.notify_one();
    }

    pub(super) fn take_doubt(&self) -> bool {
        self.doubt.swap(false, Ordering::SeqCst)
    }

    /// Waits until this engine does not work on the run any more.
    pub(super) async fn left(&self) -> Work {
        let mut state = self.state.subscribe();
        let left = state.wait_for(|work| !matches!(work, Work::Going)).await;
        left.map_or(Work::Gone, |work| work.clone())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
