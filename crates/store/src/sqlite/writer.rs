//! The thread that writes: all commits that wait share one transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::{self, Refusal};
use super::error::failed;
use super::logs;
use crate::watch::Watchers;
use crate::{Claim, Commit, Committed, Error, Record, Result, Table};

/// Commits that share a transaction.
const MAX_BATCH: usize = 256;
/// Bytes of commits after which a transaction takes no more of them.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Transactions between two looks at the size of the write-ahead log.
const CHECK_WAL: u32 = 64;

pub(super) type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// What the thread is asked for.
pub(super) enum Job {
    Write(Write),
    /// A read of a database in memory, which has one connection only.
    Read(ReadJob),
    Close(oneshot::Sender<()>),
}

pub(super) struct Write {
    pub(super) what: What,
    /// Room in the queue, given back when the write is done.
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) enum What {
    Commit(Commit, oneshot::Sender<Result<Committed>>),
    Claim(Table, Claim, oneshot::Sender<Result<Vec<Record>>>),
}

/// What became of a write.
enum Outcome {
    Committed(Committed),
    Claimed(Vec<Record>),
    Refused(Error),
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) jobs: Receiver<Job>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) name: String,
    pub(super) wal: Option<PathBuf>,
    pub(super) wal_bytes: u64,
    /// Whether there may be something to sweep.
    pub(super) garbage: bool,
    pub(super) batches: u32,
}

impl Writer {
    /// Works until the store is closed or its last handle is gone, and what was accepted is done.
    pub(super) fn run(mut self) {
        let mut left = None;
        loop {
            let job = match left.take() {
                Some(job) => job,
                None if self.garbage => match self.jobs.try_recv() {
                    Ok(job) => job,
                    Err(TryRecvError::Empty) => {
                        self.sweep();
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => return,
                },
                None => match self.jobs.recv() {
                    Ok(job) => job,
                    Err(_) => return,
                },
            };
            match job {
                Job::Write(first) => {
                    let batch;
                    (batch, left) = self.gather(first);
                    self.perform(batch);
                }
                Job::Read(read) => read(&self.connection),
                Job::Close(done) => {
                    drop(self.connection);
                    // Who closed may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// `first` and the writes that wait behind it; also the job that ended the search.
    fn gather(&self, first: Write) -> (Vec<Write>, Option<Job>) {
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            match self.jobs.try_recv() {
                Ok(Job::Write(write)) => {
                    bytes += write.bytes();
                    batch.push(write);
                }
                Ok(other) => return (batch, Some(other)),
                Err(_) => break,
            }
        }
        (batch, None)
    }

    fn perform(&mut self, batch: Vec<Write>) {
        match self.transact(&batch) {
            Ok(outcomes) => {
                for write in &batch {
                    self.wake(write);
                }
                for (write, outcome) in batch.into_iter().zip(outcomes) {
                    write.reply(outcome);
                }
            }
            // One of them may be too much for the disk; the others need not suffer.
            Err(error) if batch.len() > 1 && is_about_one(&error) => {
                for write in batch {
                    self.perform(vec![write]);
                }
            }
            Err(error) => {
                for write in batch {
                    let error = failed("commit", &self.name, copy(&error));
                    write.reply(Outcome::Refused(error));
                }
            }
        }
        if self.garbage {
            self.sweep();
        }
        self.bound_wal();
    }

    /// All of `batch` in one transaction. When it fails, nothing of it was written.
    fn transact(&mut self, batch: &[Write]) -> rusqlite::Result<Vec<Outcome>> {
        let garbage = &mut self.garbage;
        in_transaction(&self.connection, |connection| {
            let mut version: u64 = connection
                .prepare_cached("SELECT value FROM meta WHERE name = 'version'")?
                .query_row([], |row| row.get(0))?;
            let mut outcomes = Vec::with_capacity(batch.len());
            for write in batch {
                let outcome = write.perform(connection, version + 1, garbage)?;
                if !matches!(outcome, Outcome::Refused(_)) {
                    version += 1;
                }
                outcomes.push(outcome);
            }
            connection
                .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'version'")?
                .execute([version])?;
            Ok(outcomes)
        })
    }

    fn wake(&self, write: &Write) {
        match &write.what {
            What::Commit(commit, _) => self.watchers.touch(commit.operations()),
            What::Claim(table, ..) => self.watchers.touch_table(table.as_str()),
        }
    }

    /// Deletes some of what trimmed and dropped logs have left.
    fn sweep(&mut self) {
        match in_transaction(&self.connection, logs::sweep) {
            Ok(more) => self.garbage = more,
            Err(error) => {
                // The next trim or drop, or the next start, tries again.
                self.garbage = false;
                tracing::warn!(database = self.name, %error, "entries of dropped logs stay in the database for now");
            }
        }
    }

    /// SQLite moves the write-ahead log into the database by itself, but begins it anew only when it meets no reader.
    /// Where readers never pause, it would grow without end.
    fn bound_wal(&mut self) {
        self.batches += 1;
        if self.batches < CHECK_WAL {
            return;
        }
        self.batches = 0;
        let size = |wal: &PathBuf| std::fs::metadata(wal).map_or(0, |file| file.len());
        if self.wal.as_ref().map_or(0, size) <= self.wal_bytes {
            return;
        }
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(checkpoint, [], |_| Ok(())) {
            tracing::warn!(database = self.name, %error, "the write-ahead log could not be shortened");
        }
    }
}

/// Whether a failure can be that of one commit among several.
fn is_about_one(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
        )
    )
}

/// The same failure once more, for each of those that it hit.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

/// Runs `work` in a transaction that has the write lock; nothing of it stays if it fails.
fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let outcome = work(connection).and_then(|value| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(value)
    });
    // Some failures end the transaction by themselves.
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

impl Write {
    fn bytes(&self) -> usize {
        match &self.what {
            What::Commit(commit, _) => commit.bytes(),
            What::Claim(..) => 0,
        }
    }

    fn perform(
        &self,
        connection: &Connection,
        version: u64,
        garbage: &mut bool,
    ) -> rusqlite::Result<Outcome> {
        match &self.what {
            What::Commit(commit, _) => match apply::apply(connection, commit, version) {
                Ok(applied) => {
                    *garbage |= applied.garbage;
                    let appended = applied.appended;
                    Ok(Outcome::Committed(Committed { version, appended }))
                }
                Err(Refusal::Conflict(conflict)) => {
                    Ok(Outcome::Refused(Error::conflicting(conflict)))
                }
                Err(Refusal::Failed(error)) => Err(error),
            },
            What::Claim(table, claim, _) => {
                apply::claim(connection, *table, claim, version).map(Outcome::Claimed)
            }
        }
    }

    /// Whoever has stopped waiting is not told.
    fn reply(self, outcome: Outcome) {
        drop(self.room);
        match (self.what, outcome) {
            (What::Commit(_, reply), Outcome::Committed(committed)) => {
                let _ = reply.send(Ok(committed));
            }
            (What::Claim(_, _, reply), Outcome::Claimed(records)) => {
                let _ = reply.send(Ok(records));
            }
            (What::Commit(_, reply), Outcome::Refused(error)) => {
                let _ = reply.send(Err(error));
            }
            (What::Claim(_, _, reply), Outcome::Refused(error)) => {
                let _ = reply.send(Err(error));
            }
            // A commit is committed and a claim claimed; without a reply the caller hears that the store has failed.
            _ => {}
        }
    }
}
