//! The store of one process, for tests and for what need not survive.

mod blobs;
mod log;
mod state;
mod table;

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_events::{Text, Timestamp};
use bytes::Bytes;

use crate::watch::Watchers;
use crate::{
    BlobHash, Claim, Commit, Committed, Error, Filter, LogInfo, LogName, LogPage, Page, Query,
    Record, Result, Stats, Store, StoreFuture, Table, Watch, limits,
};
use state::State;
use table::Key;

/// Keeps everything in the memory of this process. Clones are handles on the same store.
///
/// A commit has happened when [`commit`](Store::commit) returns, before the future is polled. Nothing survives the process.
///
/// ```
/// use bowline_store::{MemoryStore, Store, Table};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_store::Result<()> {
/// let store = MemoryStore::new();
/// assert!(store.get(Table::new("runs"), "run-1").await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: Text,
    /// `None` once the store is closed.
    state: Mutex<Option<State>>,
    watchers: Watchers,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                id: crate::new_id(),
                state: Mutex::new(Some(State::default())),
                watchers: Watchers::default(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn with<'a, T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> StoreFuture<'a, T> {
        let result = match self.lock().as_mut() {
            Some(state) => work(state),
            None => Err(Error::closed(operation)),
        };
        StoreFuture::ready(result)
    }

    fn commit_now(&self, commit: Commit) -> Result<Committed> {
        limits::check(&commit)?;
        let mut state = self.lock();
        let state = state.as_mut().ok_or_else(|| Error::closed("commit"))?;
        state.check(&commit)?;
        // The watchers hear of it before the lock is free, but nobody can look before.
        self.shared.watchers.touch(commit.operations());
        Ok(state.apply(commit))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn id(&self) -> &Text {
        &self.shared.id
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        StoreFuture::ready(self.commit_now(commit))
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.with("get", |state| {
            limits::check_key(key, "get")?;
            Ok(state.table(table).and_then(|data| data.record(table, key)))
        })
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        self.with("get", |state| {
            limits::check_keys(keys)?;
            let data = state.table(table);
            let records = keys.iter().map(|key| data?.record(table, key));
            Ok(records.collect())
        })
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.with("list", |state| {
            let page = state.table(table).map(|data| data.list(table, query));
            Ok(page.unwrap_or_default())
        })
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        self.with("count", |state| {
            let count = state.table(table).map_or(0, |data| data.count(filter));
            Ok(count as u64)
        })
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.with("due", |state| {
            let due = state.table(table).map(|data| data.due(table, at, limit));
            Ok(due.unwrap_or_default())
        })
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        self.with("claim", |state| {
            let claimed = state.claim(table, claim);
            if !claimed.is_empty() {
                self.shared.watchers.touch_table(table.as_str());
            }
            Ok(claimed)
        })
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.with("read log", |state| {
            limits::check_key(&log.key, "read log")?;
            let found = state.log(log).map(|log| log.read(from, limit));
            Ok(found.unwrap_or_default())
        })
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        self.with("list logs", |state| {
            let after = Bound::Excluded(Key(after.unwrap_or_default().to_owned().into()));
            let logs = state
                .table(table)
                .into_iter()
                .flat_map(|data| data.logs.range((after.clone(), Bound::Unbounded)));
            let logs = logs.map(|(key, log)| (key.0.clone(), log.info()));
            Ok(logs.take(limits::page(limit)).collect())
        })
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        self.with("read blob", |state| Ok(state.blob(&hash)))
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.with("stats", |state| Ok(state.stats()))
    }

    fn watch(&self, table: Table) -> Watch {
        self.shared.watchers.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        *self.lock() = None;
        self.shared.watchers.close();
        StoreFuture::ready(Ok(()))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}
