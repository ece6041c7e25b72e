//! Wake-ups after commits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Error, Operation, Result, Table};

/// Wakes up after commits that touched a table; made by [`Store::watch`](crate::Store::watch).
///
/// A hint, not a log: several commits may be one wake-up, a wake-up may come without a visible change, and commits of other
/// processes cause one only where the backend says so. Who must not miss anything reads again after a while, too.
#[derive(Debug)]
pub struct Watch(watch::Receiver<()>);

impl Watch {
    /// Waits for a commit since the last call, or since the watch was made. Cancel safe.
    ///
    /// # Errors
    /// `Closed` when the store was closed.
    pub async fn changed(&mut self) -> Result<()> {
        self.0.changed().await.map_err(|_| Error::closed("watch"))
    }
}

/// The watches of one store handle.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    tables: HashMap<Table, watch::Sender<()>>,
}

impl Watchers {
    pub(crate) fn watch(&self, table: Table) -> Watch {
        let mut state = self.lock();
        if state.closed {
            // Its sender is gone, so it answers `Closed`.
            return Watch(watch::channel(()).1);
        }
        self.any.store(true, Ordering::SeqCst);
        let sender = state
            .tables
            .entry(table)
            .or_insert_with(|| watch::channel(()).0);
        Watch(sender.subscribe())
    }

    /// Wakes who watches one of the tables of `operations`.
    pub(crate) fn touch(&self, operations: &[Operation]) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let state = self.lock();
        let mut last = None;
        for operation in operations {
            let table = operation.table();
            let writes = !matches!(operation, Operation::Check { .. });
            if writes && last != Some(table) {
                state.wake(table.as_str());
                last = Some(table);
            }
        }
    }

    /// Wakes who watches `table`.
    pub(crate) fn touch_table(&self, table: &str) {
        if self.any.load(Ordering::SeqCst) {
            self.lock().wake(table);
        }
    }

    /// Wakes everybody.
    #[cfg(feature = "postgres")]
    pub(crate) fn touch_all(&self) {
        for sender in self.lock().tables.values() {
            sender.send_replace(());
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.tables.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self, table: &str) {
        let senders = self.tables.iter();
        for (_, sender) in senders.filter(|(name, _)| name.as_str() == table) {
            sender.send_replace(());
        }
    }
}
