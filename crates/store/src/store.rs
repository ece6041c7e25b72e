//! The contract.

use std::fmt;
use std::time::Duration;

use bowline_events::{Reach, Text, Timestamp};
use bytes::Bytes;

use crate::{
    BlobHash, Commit, Committed, Filter, LogInfo, LogName, LogPage, Page, Query, Record,
    StoreFuture, Table, Watch,
};

/// A transactional record store. It knows nothing of what the records mean.
///
/// # Contract
/// - A [`Commit`] happens as a whole or not at all, and as if commits happened one after the other. It is in the store, to the
///   degree that the backend declares, when its future resolves; readers see it from then on.
/// - Nothing is written unconditionally: a record is written only by who knows its present version.
/// - A commit whose future is dropped before it resolves happens or does not, but never by half.
/// - Every read sees one instant of the store.
/// - A future that was begun and is not polled any more keeps nothing from others.
///
/// # Limits
/// Those of [`limits`](crate::limits).
///
/// # Errors
/// Every method fails with `Closed` after [`close`](Self::close), with `InvalidInput` for a key that is not one, and with
/// `Unavailable`, `Corrupt` or `Io` for what happens below.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Names the data of this store: random, made with the store, kept with it.
    fn id(&self) -> &Text;

    /// Makes the operations of `commit` happen together.
    ///
    /// # Errors
    /// `Conflict` when an expectation does not hold, `TooLarge` and `InvalidInput` for what the limits forbid, `Full` when the
    /// backend has no space; nothing was written then.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed>;

    /// The record `key`.
    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>>;

    /// The records `keys` in their order, seen at one instant.
    ///
    /// # Errors
    /// `TooLarge` for more than [`MAX_PAGE`](crate::limits::MAX_PAGE) keys.
    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>>;

    /// A page of the records that `query` means.
    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page>;

    /// The number of records that `filter` means. Its time grows with that number.
    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64>;

    /// Up to `limit` records that are due at `at` or before, the longest due first (by key where that is equal).
    ///
    /// With the end of time and a limit of 1 it tells how long a timer can sleep.
    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>>;

    /// Takes records that are due, so that nobody else gets them before their lease ends: selects as [`due`](Self::due) does
    /// and moves `due` to the end of the lease, in one transaction. Two claimers never get the same record.
    ///
    /// The version of a claimed record is the fence: the claimer commits the outcome with `Expect::Version` of it (and
    /// prolongs its lease the same way, with a later `due`). If the lease ends first, the next claimer gets the record in a
    /// newer version, and the commit of the late one conflicts. If the future is dropped, the claim may have been made; then
    /// nobody works on the records until the lease ends.
    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>>;

    /// Up to `limit` entries of `log` from position `from` on, or from the oldest that is kept, and the state of the log.
    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage>;

    /// The state of `log`.
    fn log_info<'a>(&'a self, log: &'a LogName) -> StoreFuture<'a, Option<LogInfo>> {
        let page = self.read_log(log, u64::MAX, 0);
        match page.now_or_self() {
            Ok(page) => StoreFuture::ready(page.map(|page| page.info)),
            Err(page) => StoreFuture::new(async { Ok(page.await?.info) }),
        }
    }

    /// Up to `limit` logs of `table` in the order of their keys, beginning after the key `after`.
    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>>;

    /// The blob with this hash. The bytes are checked against it.
    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>>;

    /// What is in the store. Its time grows with the number of records.
    fn stats(&self) -> StoreFuture<'_, Stats>;

    /// Who shares its data: this process, those of the host, or others on the network.
    fn reach(&self) -> Reach {
        Reach::Process
    }

    /// Wakes up after commits that touched `table`.
    fn watch(&self, table: Table) -> Watch;

    /// Finishes the commits that were accepted, refuses new ones, and releases files and connections. Closing again is fine.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// What [`Store::claim_due`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Records that are due at this instant or before.
    pub now: Timestamp,
    /// When the records that are taken are due again.
    pub until: Timestamp,
    /// How many at most; never more than [`MAX_PAGE`](crate::limits::MAX_PAGE).
    pub limit: usize,
}

impl Claim {
    /// Up to `limit` records that are due at `now`, for the time of `lease`.
    pub fn new(now: Timestamp, lease: Duration, limit: usize) -> Self {
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_millis(now.as_millis().saturating_add(lease));
        Self { now, until, limit }
    }
}

/// What is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// The tables that have something, by name.
    pub tables: Vec<TableStats>,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// Bytes of the database as a whole, where the backend knows.
    pub size: Option<u64>,
}

/// What is in a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableStats {
    /// The name of the table.
    pub table: Text,
    /// Records.
    pub records: u64,
    /// Logs.
    pub logs: u64,
    /// Entries that the logs keep.
    pub entries: u64,
    /// Bytes of those entries.
    pub entry_bytes: u64,
}
