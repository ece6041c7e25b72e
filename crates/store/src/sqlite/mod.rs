//! The embedded store: one file, one writer, nothing to install.

mod apply;
mod blobs;
mod builder;
mod error;
mod logs;
mod records;
mod schema;
mod stats;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bowline_events::{Reach, Text, Timestamp};
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

pub use builder::{Durability, SqliteBuilder};

use crate::watch::Watchers;
use crate::{
    BlobHash, Claim, Commit, Committed, Error, ErrorKind, Filter, LogInfo, LogName, LogPage, Page,
    Query, Record, Result, Stats, Store, StoreFuture, Table, Watch, blob, limits,
};
use schema::Place;
use writer::{Job, ReadJob, What, Write};

/// Keeps everything in one SQLite file (and its `-wal` and `-shm` beside it). Clones are handles on the same store.
///
/// # Guarantees
/// - A commit whose future has resolved survives the end of the process, and with [`Durability::PowerLoss`] that of the power.
/// - All commits that wait share one transaction, and each succeeds or conflicts on its own.
/// - Several processes may use one file on a local disk. They wait for each other; [`watch`](Store::watch) wakes only for
///   commits of this handle and its clones.
/// - A commit that was handed over (its future was polled and there was room in the queue) happens even if the future is
///   dropped.
///
/// # Limits
/// Up to 131,072 commits or 128 MiB of them wait for the writer; then `commit` waits. Reads use up to 4 connections. The
/// write-ahead log is shortened when it is larger than 64 MiB. The file does not shrink; free pages are used again.
///
/// ```
/// use bowline_store::{Durability, SqliteStore, Store, Table};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::builder(&path).durability(Durability::PowerLoss).open().await?;
/// assert!(store.get(Table::new("runs"), "run-1").await?.is_none());
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: Text,
    name: String,
    in_memory: bool,
    /// `None` once the store is closed, as `reads`.
    writes: Mutex<Option<mpsc::Sender<Job>>>,
    reads: Mutex<Option<mpsc::Sender<ReadJob>>>,
    readers_ended: tokio::sync::Mutex<Option<tokio::sync::mpsc::Receiver<()>>>,
    write_room: Arc<Semaphore>,
    watchers: Arc<Watchers>,
}

impl SqliteStore {
    /// The store in the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// As [`SqliteBuilder::open`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        SqliteBuilder::file(path).open().await
    }

    /// A store of its own in memory, which nobody else sees and which goes with its last handle.
    ///
    /// # Errors
    /// `Io` when the system gives no thread.
    pub async fn in_memory() -> Result<Self> {
        SqliteBuilder::at(Place::Memory).open().await
    }

    /// The options for the file at `path`.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteBuilder {
        SqliteBuilder::file(path)
    }

    /// Hands a write to the writer, and waits for what comes of it.
    async fn write<T>(
        &self,
        operation: &'static str,
        bytes: usize,
        what: impl FnOnce(oneshot::Sender<Result<T>>) -> What,
    ) -> Result<T> {
        let closed = || Error::closed(operation);
        // The largest commit fits into the queue, so the number does, too.
        let units = u32::try_from(1 + bytes / 1024).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.write_room);
        let room = room.acquire_many_owned(units).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let what = what(reply);
        send(&self.shared.writes, Job::Write(Write { what, room })).ok_or_else(closed)?;
        answer.await.unwrap_or_else(|_| Err(ended(operation)))
    }

    /// Runs `work` on a connection that reads.
    fn read<'a, T: Send + 'static>(
        &'a self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        StoreFuture::new(async move {
            let closed = || Error::closed(operation);
            let (reply, answer) = oneshot::channel();
            let job: ReadJob = Box::new(move |connection| {
                if !reply.is_closed() {
                    // Who has stopped waiting meanwhile is not told.
                    let _ = reply.send(snapshot(connection, work));
                }
            });
            let sent = if self.shared.in_memory {
                send(&self.shared.writes, Job::Read(job))
            } else {
                send(&self.shared.reads, job)
            };
            sent.ok_or_else(closed)?;
            let outcome = answer.await.map_err(|_| ended(operation))?;
            outcome.map_err(|error| error::failed(operation, &self.shared.name, error))
        })
    }
}

/// Several statements that see one instant.
fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let outcome = work(connection);
    let end = connection
        .prepare_cached("COMMIT")
        .and_then(|mut end| end.execute([]));
    if end.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

fn send<T>(sender: &Mutex<Option<mpsc::Sender<T>>>, job: T) -> Option<()> {
    let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
    sender.as_ref()?.send(job).ok()
}

/// The thread has ended without an answer.
fn ended(operation: &'static str) -> Error {
    let message =
        "the thread of the database has ended; open the store again, and look at its last commits";
    Error::new(ErrorKind::Io, operation, message)
}

impl Store for SqliteStore {
    fn id(&self) -> &Text {
        &self.shared.id
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        if let Err(error) = limits::check(&commit) {
            return StoreFuture::ready(Err(error));
        }
        StoreFuture::new(async move {
            let bytes = commit.bytes();
            self.write("commit", bytes, |reply| What::Commit(commit, reply))
                .await
        })
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        if let Err(error) = limits::check_key(key, "get") {
            return StoreFuture::ready(Err(error));
        }
        let key = key.to_owned();
        self.read("get", move |connection| {
            records::get(connection, table, &key)
        })
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        if let Err(error) = limits::check_keys(keys) {
            return StoreFuture::ready(Err(error));
        }
        let keys = keys.to_vec();
        self.read("get", move |connection| {
            let records = keys.iter().map(|key| records::get(connection, table, key));
            records.collect()
        })
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        let query = query.clone();
        self.read("list", move |connection| {
            records::list(connection, table, &query)
        })
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        let filter = filter.clone();
        self.read("count", move |connection| {
            records::count(connection, table, &filter)
        })
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.read("due", move |connection| {
            records::due(connection, table, at, limit)
        })
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        StoreFuture::new(async move {
            // Who looks often finds nothing most of the time; that needs no transaction.
            if self.due(table, claim.now, 1).await?.is_empty() {
                return Ok(Vec::new());
            }
            self.write("claim", 0, |reply| What::Claim(table, claim, reply))
                .await
        })
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        if let Err(error) = limits::check_key(&log.key, "read log") {
            return StoreFuture::ready(Err(error));
        }
        let log = log.clone();
        self.read("read log", move |connection| {
            logs::read(connection, &log, from, limit)
        })
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        let after = after.unwrap_or_default().to_owned();
        self.read("list logs", move |connection| {
            logs::list(connection, table, &after, limit)
        })
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        StoreFuture::new(async move {
            let bytes = self
                .read("read blob", move |connection| blobs::get(connection, &hash))
                .await?;
            bytes.map(|bytes| blob::verified(hash, bytes)).transpose()
        })
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.read("stats", stats::read)
    }

    fn reach(&self) -> Reach {
        match self.shared.in_memory {
            true => Reach::Process,
            false => Reach::Host,
        }
    }

    fn watch(&self, table: Table) -> Watch {
        self.shared.watchers.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreFuture::new(async move {
            let shared = &self.shared;
            shared.write_room.close();
            take(&shared.reads);
            if let Some(mut ended) = shared.readers_ended.lock().await.take() {
                ended.recv().await;
            }
            if let Some(writes) = take(&shared.writes) {
                let (done, closed) = oneshot::channel();
                // A writer that has ended is closed.
                if writes.send(Job::Close(done)).is_ok() {
                    let _ = closed.await;
                }
            }
            shared.watchers.close();
            Ok(())
        })
    }
}

fn take<T>(sender: &Mutex<Option<T>>) -> Option<T> {
    sender.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("database", &self.shared.name)
            .finish_non_exhaustive()
    }
}
