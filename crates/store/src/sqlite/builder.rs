//! How a database is opened.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bowline_events::Text;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::error::failed;
use super::schema::{self, Place};
use super::writer::{Job, ReadJob, Writer};
use super::{Shared, SqliteStore};
use crate::watch::Watchers;
use crate::{Error, ErrorKind, Result};

/// How long a commit waits for another process that writes, unless told otherwise.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the write-ahead log beyond which it is shortened.
const WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Connections that read, at most.
const READERS: usize = 4;
/// Commits and KiB of commits that may wait for the writer.
pub(super) const QUEUE: usize = 128 * 1024;

/// What a commit survives once its future has resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, `kill -9` included. A loss of power may cost the last commits, in order, but never a part of
    /// one. (`synchronous=NORMAL`)
    #[default]
    Process,
    /// A loss of power as well: the disk is told to write before the future resolves. All commits that wait share one such
    /// write. (`synchronous=FULL`)
    PowerLoss,
}

/// The options of a [`SqliteStore`]; made by [`SqliteStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is opened"]
pub struct SqliteBuilder {
    pub(super) place: Place,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) max_bytes: Option<u64>,
    pub(super) wal_bytes: u64,
}

impl SqliteBuilder {
    pub(super) fn at(place: Place) -> Self {
        Self {
            place,
            durability: Durability::default(),
            busy_timeout: BUSY_TIMEOUT,
            max_bytes: None,
            wal_bytes: WAL_BYTES,
        }
    }

    pub(super) fn file(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::File(path.into()))
    }

    /// What a commit survives; [`Durability::Process`] unless told otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long to wait for another process that writes to the file, 10 seconds unless told otherwise. Then operations fail
    /// with `Unavailable`.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// The size of the database at which commits that need more room fail with `Full`; no limit unless told otherwise.
    /// The write-ahead log, up to 64 MiB, is not counted.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// `PermissionDenied` when the file cannot be opened or written; `Corrupt` when it is damaged, no database, or that of
    /// another program; `Unsupported` when a newer version of Bowline has written it; `Unavailable` when another process
    /// holds it locked.
    pub async fn open(self) -> Result<SqliteStore> {
        let (opened, answer) = oneshot::channel();
        spawn("bowline-sqlite", move || match self.assemble() {
            Ok((store, writer)) => {
                if opened.send(Ok(store)).is_ok() {
                    writer.run();
                }
            }
            // Who does not wait any more is not told.
            Err(error) => drop(opened.send(Err(error))),
        })?;
        answer.await.unwrap_or_else(|_| Err(Error::closed("open")))
    }

    /// The store and its writer, with all connections open. Blocks.
    fn assemble(self) -> Result<(SqliteStore, Writer)> {
        let name = self.place.name();
        let (connection, id) = schema::open_writer(&self)?;
        let watchers = Arc::new(Watchers::default());
        let (writes, jobs) = mpsc::channel();
        let (reads, ended) = match &self.place {
            Place::Memory => (None, None),
            Place::File(path) => {
                let count = thread::available_parallelism().map_or(1, usize::from);
                let readers = (0..count.clamp(1, READERS))
                    .map(|_| schema::open_reader(path, &self))
                    .collect::<rusqlite::Result<Vec<_>>>()
                    .map_err(|error| failed("open", &name, error))?;
                let (reads, ended) = start_readers(readers)?;
                (Some(reads), Some(ended))
            }
        };
        let writer = Writer {
            connection,
            jobs,
            watchers: Arc::clone(&watchers),
            name: name.clone(),
            wal: self.place.wal(),
            wal_bytes: self.wal_bytes,
            // What a process before this one has left.
            garbage: true,
            batches: 0,
        };
        let shared = shared(id, name, (writes, reads, ended), watchers);
        Ok((SqliteStore { shared }, writer))
    }
}

type Ended = tokio::sync::mpsc::Receiver<()>;

fn shared(
    id: Text,
    name: String,
    (writes, reads, ended): (
        mpsc::Sender<Job>,
        Option<mpsc::Sender<ReadJob>>,
        Option<Ended>,
    ),
    watchers: Arc<Watchers>,
) -> Arc<Shared> {
    Arc::new(Shared {
        id,
        name,
        in_memory: reads.is_none(),
        writes: Mutex::new(Some(writes)),
        reads: Mutex::new(reads),
        readers_ended: tokio::sync::Mutex::new(ended),
        write_room: Arc::new(Semaphore::new(QUEUE)),
        watchers,
    })
}

/// One thread per connection; they share the jobs. The other channel ends when all of them have.
fn start_readers(connections: Vec<Connection>) -> Result<(mpsc::Sender<ReadJob>, Ended)> {
    let (sender, jobs) = mpsc::channel::<ReadJob>();
    let (alive, ended) = tokio::sync::mpsc::channel(1);
    let jobs = Arc::new(Mutex::new(jobs));
    for connection in connections {
        let jobs = Arc::clone(&jobs);
        let alive = alive.clone();
        spawn("bowline-sqlite-read", move || {
            let _alive = alive;
            // Moved here, so that it is closed before the end of this reader is told.
            let connection = connection;
            loop {
                let job = match jobs.lock() {
                    Ok(jobs) => jobs.recv(),
                    Err(_) => return,
                };
                match job {
                    Ok(job) => job(&connection),
                    Err(_) => return,
                }
            }
        })?;
    }
    Ok((sender, ended))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| {
        let message = "the system gives no thread for the database";
        Error::new(ErrorKind::Io, "open", message).with_source(error)
    })
}
