//! The store for several hosts.

mod arrays;
mod builder;
mod error;
mod listen;
mod logs;
mod records;
mod stats;
mod tls;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{Reach, Text, Timestamp};
use bytes::Bytes;
use deadpool_postgres::{Object, Pool};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};

pub use builder::PostgresBuilder;

use crate::watch::Watchers;
use crate::{
    BlobHash, Claim, Commit, Committed, Error, ErrorKind, Filter, LogInfo, LogName, LogPage, Page,
    Query, Record, Result, Stats, Store, StoreFuture, Table, Watch, blob, limits,
};
use error::{Failure, failed, no_connection};
use records::Asked;
use tls::Tls;
use writer::Write;

/// Keeps everything in a schema of a PostgreSQL database (12 or newer), for processes on several hosts. Clones are handles on
/// the same store. Use it inside the Tokio runtime in which it was opened.
///
/// # Guarantees
/// - A commit whose future has resolved is as safe as `synchronous_commit` of the server says: by default it survives a crash
///   of the server.
/// - All commits that wait share one transaction and one round trip, up to four at a time, and each succeeds or conflicts on
///   its own.
/// - [`watch`](Store::watch) wakes for commits of every process (`LISTEN`/`NOTIFY`), and again when the connection was lost.
/// - A commit that was handed over happens even if the future is dropped.
/// - When the connection breaks in the middle, a commit fails with `Io`, and with `Timeout` when the server does not answer: it
///   was kept or not. Read before you commit the same again.
///
/// # Limits
/// Up to 131,072 commits or 128 MiB of them wait; then `commit` waits. Keys of records that one commit mentions are locked
/// until it is done; a commit with more than 1,024 locks the whole store.
///
/// TLS follows `sslmode` of the URL (`disable`, `prefer`, `require`); a certificate is always verified, against the system's
/// authorities or those of `sslrootcert=file`.
///
/// ```no_run
/// use bowline_store::PostgresStore;
/// # async fn example() -> bowline_store::Result<()> {
/// let store = PostgresStore::open("postgres://app:secret@db.example/app?sslmode=require").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: Text,
    place: String,
    schema: String,
    pool: Pool,
    config: Config,
    tls: Tls,
    timeout: Duration,
    /// `None` once the store is closed.
    writes: Mutex<Option<mpsc::UnboundedSender<Write>>>,
    room: Arc<Semaphore>,
    writing: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    watchers: Arc<Watchers>,
    listening: Mutex<Option<AbortHandle>>,
    runtime: tokio::runtime::Handle,
}

impl PostgresStore {
    /// The store in the schema `bowline` of the database at `url` (`postgres://user:password@host:port/database`).
    ///
    /// # Errors
    /// As [`PostgresBuilder::open`].
    pub async fn open(url: &str) -> Result<Self> {
        PostgresBuilder::from_url(url).open().await
    }

    /// The options for the database at `url`. `?schema=name` and `?sslrootcert=file` may be a part of it.
    pub fn builder(url: &str) -> PostgresBuilder {
        PostgresBuilder::from_url(url)
    }

    async fn commit_now(&self, commit: Commit) -> Result<Committed> {
        let closed = || Error::closed("commit");
        // The largest commit fits into the queue, so the number does, too.
        let units = u32::try_from(1 + commit.bytes() / 1024).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room);
        let room = room.acquire_many_owned(units).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let write = Write {
            commit,
            reply,
            room,
        };
        let sent = lock(&self.shared.writes)
            .as_ref()
            .map(|writes| writes.send(write).is_ok());
        if sent != Some(true) {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| {
            let message = "the runtime of the store has ended; a commit may have been kept or not";
            Err(Error::new(ErrorKind::Io, "commit", message))
        })
    }

    /// The answer of the server, in a task of its own: a caller that is not polled for a while must not keep a connection from
    /// the others.
    async fn ask(&self, operation: &'static str, asked: Asked) -> Result<Vec<Row>> {
        if self.shared.room.is_closed() {
            return Err(Error::closed(operation));
        }
        let shared = Arc::clone(&self.shared);
        let asking = async move { shared.ask(operation, asked).await };
        let answer = self.shared.runtime.spawn(asking).await;
        answer.unwrap_or_else(|_| Err(Error::closed(operation)))
    }

    /// The records of `rows`.
    fn records(&self, operation: &'static str, table: Table, rows: &[Row]) -> Result<Vec<Record>> {
        let records = rows.iter().map(|row| records::record(table, row));
        records
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| self.odd(operation, error))
    }

    /// The error for an answer of another shape than it has to have.
    fn odd(&self, operation: &'static str, error: tokio_postgres::Error) -> Error {
        let message = "the tables are not as this program has made them; look who has changed them";
        Error::new(ErrorKind::Corrupt, operation, message)
            .with_subject(self.shared.place.clone())
            .with_source(error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for PostgresStore {
    fn id(&self) -> &Text {
        &self.shared.id
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        match limits::check(&commit) {
            Ok(()) => StoreFuture::new(self.commit_now(commit)),
            Err(error) => StoreFuture::ready(Err(error)),
        }
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        StoreFuture::new(async move {
            limits::check_key(key, "get")?;
            let rows = self
                .ask("get", records::get(table, &[key.to_owned().into()]))
                .await?;
            Ok(self.records("get", table, &rows)?.pop())
        })
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        StoreFuture::new(async move {
            limits::check_keys(keys)?;
            let rows = self.ask("get", records::get(table, keys)).await?;
            let records = self.records("get", table, &rows)?.into_iter();
            let found: HashMap<_, _> = records.map(|record| (record.key.clone(), record)).collect();
            Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
        })
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        StoreFuture::new(async move {
            if !query.filter.is_possible() {
                return Ok(Page::default());
            }
            let rows = self.ask("list", records::list(table, query)).await?;
            records::page(table, query, &rows).map_err(|error| self.odd("list", error))
        })
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        StoreFuture::new(async move {
            if !filter.is_possible() {
                return Ok(0);
            }
            let rows = self.ask("count", records::count(table, filter)).await?;
            let count = rows.first().map_or(Ok(0), |row| row.try_get(0));
            Ok(arrays::unsigned(
                count.map_err(|error| self.odd("count", error))?,
            ))
        })
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        StoreFuture::new(async move {
            let rows = self.ask("due", records::due(table, at, limit)).await?;
            self.records("due", table, &rows)
        })
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        StoreFuture::new(async move {
            // In a task of its own, so that a claim is made whole and told, or not begun, when this future is dropped.
            let store = self.clone();
            let claiming = self.shared.runtime.spawn(async move {
                let rows = store.ask("claim", records::claim(table, &claim)).await?;
                let claimed = store.records("claim", table, &rows)?;
                if !claimed.is_empty() {
                    store.shared.watchers.touch_table(table.as_str());
                }
                Ok(claimed)
            });
            claiming
                .await
                .unwrap_or_else(|_| Err(Error::closed("claim")))
        })
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        StoreFuture::new(async move {
            limits::check_key(&log.key, "read log")?;
            let rows = self.ask("read log", logs::read(log, from, limit)).await?;
            logs::page(&rows).map_err(|error| self.odd("read log", error))
        })
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        StoreFuture::new(async move {
            let rows = self
                .ask("list logs", logs::list(table, after, limit))
                .await?;
            let listed: std::result::Result<_, _> = rows.iter().map(logs::listed).collect();
            listed.map_err(|error| self.odd("list logs", error))
        })
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        StoreFuture::new(async move {
            let mut asked = Asked::new("SELECT body FROM blobs WHERE ");
            asked.and("hash = ?", hash.as_bytes().to_vec());
            let rows = self.ask("read blob", asked).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            let bytes: Vec<u8> = row
                .try_get(0)
                .map_err(|error| self.odd("read blob", error))?;
            blob::verified(hash, bytes.into()).map(Some)
        })
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        StoreFuture::new(async move {
            let rows = self.ask("stats", Asked::new(stats::SQL)).await?;
            stats::read(&rows).map_err(|error| self.odd("stats", error))
        })
    }

    fn reach(&self) -> Reach {
        Reach::Network
    }

    fn watch(&self, table: Table) -> Watch {
        let shared = &self.shared;
        let mut listening = lock(&shared.listening);
        if listening.is_none() && !shared.room.is_closed() {
            let watchers = Arc::downgrade(&shared.watchers);
            let (config, tls) = (shared.config.clone(), shared.tls.clone());
            let task = listen::listen(config, tls, shared.schema.clone(), watchers);
            *listening = Some(shared.runtime.spawn(task).abort_handle());
        }
        shared.watchers.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        StoreFuture::new(async move {
            let shared = &self.shared;
            shared.room.close();
            drop(lock(&shared.writes).take());
            let mut writing = shared.writing.lock().await;
            while writing.join_next().await.is_some() {}
            shared.pool.close();
            shared.watchers.close();
            shared.stop_listening();
            Ok(())
        })
    }
}

impl Shared {
    async fn ask(&self, operation: &'static str, asked: Asked) -> Result<Vec<Row>> {
        let client = self.pool.get().await;
        let client = client.map_err(|error| no_connection(operation, &self.place, error))?;
        let work = async {
            let parameters = asked.parameters.iter();
            let parameters: Vec<_> = parameters.map(|it| &**it as &(dyn ToSql + Sync)).collect();
            let statement = client.prepare_cached(&asked.sql).await?;
            client.query(&statement, &parameters).await
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(rows) => rows.map_err(|error| failed(operation, &self.place, error)),
            Err(_) => {
                // The answer may still come, and is nobody's.
                drop(Object::take(client));
                Err(Failure::Unknown(None).to_error(operation, &self.place))
            }
        }
    }

    fn stop_listening(&self) {
        if let Some(listening) = lock(&self.listening).take() {
            listening.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop_listening();
        // What was accepted is done even though nobody waits.
        if let Ok(mut writing) = self.writing.try_lock() {
            writing.detach_all();
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("database", &self.shared.place)
            .finish_non_exhaustive()
    }
}
