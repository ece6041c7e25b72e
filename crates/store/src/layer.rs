//! Stores that wrap another one.

use std::fmt;

use bowline_events::{Reach, Text, Timestamp};
use bytes::Bytes;

use crate::{
    BlobHash, Claim, Commit, Committed, Filter, LogInfo, LogName, LogPage, Page, Query, Record,
    Stats, Store, StoreFuture, Table, Watch,
};

/// Something around a store: counting, limits, tracing, faults. It is a [`Store`] itself; every method goes to the inner one, through
/// [`around`](Self::around), unless the layer says otherwise.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use bowline_store::{Commit, Committed, MemoryStore, Store, StoreFuture, StoreLayer};
///
/// #[derive(Debug)]
/// struct Counting {
///     inner: MemoryStore,
///     commits: AtomicU64,
/// }
///
/// impl StoreLayer for Counting {
///     fn inner(&self) -> &dyn Store {
///         &self.inner
///     }
///
///     fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
///         self.commits.fetch_add(1, Ordering::Relaxed);
///         self.inner.commit(commit)
///     }
/// }
///
/// let counting = Counting { inner: MemoryStore::new(), commits: AtomicU64::new(0) };
/// let store: Arc<dyn Store> = Arc::new(counting);
/// # drop(store);
/// ```
pub trait StoreLayer: fmt::Debug + Send + Sync + 'static {
    /// The store that does the work.
    fn inner(&self) -> &dyn Store;

    /// Does an operation. A store may do its work when it is called, so what comes before an operation comes before this call.
    fn around<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        operation(self.inner())
    }

    /// As [`Store::commit`].
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.around(move |store| store.commit(commit))
    }

    /// As [`Store::get`].
    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.around(move |store| store.get(table, key))
    }

    /// As [`Store::get_many`].
    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        self.around(move |store| store.get_many(table, keys))
    }

    /// As [`Store::list`].
    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.around(move |store| store.list(table, query))
    }

    /// As [`Store::count`].
    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        self.around(move |store| store.count(table, filter))
    }

    /// As [`Store::due`].
    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.around(move |store| store.due(table, at, limit))
    }

    /// As [`Store::claim_due`].
    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        self.around(move |store| store.claim_due(table, claim))
    }

    /// As [`Store::read_log`].
    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.around(move |store| store.read_log(log, from, limit))
    }

    /// As [`Store::log_info`].
    fn log_info<'a>(&'a self, log: &'a LogName) -> StoreFuture<'a, Option<LogInfo>> {
        self.around(move |store| store.log_info(log))
    }

    /// As [`Store::logs`].
    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        self.around(move |store| store.logs(table, after, limit))
    }

    /// As [`Store::blob`].
    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        self.around(move |store| store.blob(hash))
    }

    /// As [`Store::stats`].
    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.around(|store| store.stats())
    }

    /// As [`Store::close`].
    fn close(&self) -> StoreFuture<'_, ()> {
        self.around(|store| store.close())
    }
}

impl<L: StoreLayer> Store for L {
    fn id(&self) -> &Text {
        self.inner().id()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        StoreLayer::commit(self, commit)
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        StoreLayer::get(self, table, key)
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        StoreLayer::get_many(self, table, keys)
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        StoreLayer::list(self, table, query)
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        StoreLayer::count(self, table, filter)
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        StoreLayer::due(self, table, at, limit)
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        StoreLayer::claim_due(self, table, claim)
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        StoreLayer::read_log(self, log, from, limit)
    }

    fn log_info<'a>(&'a self, log: &'a LogName) -> StoreFuture<'a, Option<LogInfo>> {
        StoreLayer::log_info(self, log)
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        StoreLayer::logs(self, table, after, limit)
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        StoreLayer::blob(self, hash)
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        StoreLayer::stats(self)
    }

    fn reach(&self) -> Reach {
        self.inner().reach()
    }

    fn watch(&self, table: Table) -> Watch {
        self.inner().watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreLayer::close(self)
    }
}
