//! The tasks that write: each takes all commits that wait and sends them as one transaction, without waiting in between.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::future::{BoxFuture, join_all, maybe_done};
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::arrays::{self, Arrays};
use super::error::Failure;
use crate::watch::Watchers;
use crate::{Appended, Commit, Committed, Conflict, Error, Result};

/// Commits that share a transaction.
const MAX_BATCH: usize = 128;
/// Bytes of commits after which a transaction takes no more of them.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Names that a transaction locks one by one; with more it locks the whole store, as the server has room for some thousands.
const MAX_LOCKS: usize = 1024;
/// How often a transaction is sent that has collided with another one.
const ATTEMPTS: u32 = 10;

pub(super) struct Write {
    pub(super) commit: Commit,
    pub(super) reply: oneshot::Sender<Result<Committed>>,
    /// Room in the queue, given back when the commit is done.
    pub(super) room: OwnedSemaphorePermit,
}

/// What all writers of a store share.
pub(super) struct Writers {
    pub(super) pool: Pool,
    pub(super) writes: Mutex<mpsc::UnboundedReceiver<Write>>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) place: String,
    /// The schema of the store, and the channel of its notifications.
    pub(super) schema: String,
    pub(super) timeout: Duration,
}

type Outcome = std::result::Result<Committed, Conflict>;

impl Writers {
    /// Works until the queue is closed and empty.
    pub(super) async fn run(&self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            self.perform(batch).await;
        }
    }

    /// The next commit and all that wait behind it; none at the end.
    async fn gather(&self) -> Vec<Write> {
        let mut writes = self.writes.lock().await;
        let Some(first) = writes.recv().await else {
            return Vec::new();
        };
        let (mut bytes, mut operations) = size(&first);
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES && operations < MAX_LOCKS / 2 {
            let Ok(write) = writes.try_recv() else { break };
            let more = size(&write);
            (bytes, operations) = (bytes + more.0, operations + more.1);
            batch.push(write);
        }
        batch
    }

    async fn perform(&self, batch: Vec<Write>) {
        let commits: Vec<_> = batch.iter().map(|write| &write.commit).collect();
        match self.attempt(&commits).await {
            Ok(outcomes) => {
                for write in &batch {
                    self.watchers.touch(write.commit.operations());
                }
                for (write, outcome) in batch.into_iter().zip(outcomes) {
                    write.reply(outcome.map_err(Error::conflicting));
                }
            }
            // One of them may be too much for the server; the others need not suffer.
            Err(failure) if batch.len() > 1 && failure.is_about_one() => {
                for write in batch {
                    let outcome = self.attempt(&[&write.commit]).await;
                    if outcome.is_ok() {
                        self.watchers.touch(write.commit.operations());
                    }
                    let outcome = outcome.map(|outcomes| outcomes.into_iter().next());
                    write.reply(match outcome {
                        Ok(Some(outcome)) => outcome.map_err(Error::conflicting),
                        Ok(None) => Err(Failure::Unknown(None).to_error("commit", &self.place)),
                        Err(failure) => Err(failure.to_error("commit", &self.place)),
                    });
                }
            }
            Err(failure) => {
                for write in batch {
                    write.reply(Err(failure.to_error("commit", &self.place)));
                }
            }
        }
    }

    /// All of `commits` in one transaction; again if it collides with another one.
    async fn attempt(&self, commits: &[&Commit]) -> std::result::Result<Vec<Outcome>, Failure> {
        let mut attempt = 1;
        loop {
            let client = self.pool.get().await.map_err(Failure::Unreachable)?;
            let outcome = tokio::time::timeout(self.timeout, self.transact(&client, commits)).await;
            match outcome {
                Ok(Ok(outcomes)) => return Ok(outcomes),
                Ok(Err(failure)) if failure.is_collision() && attempt < ATTEMPTS => attempt += 1,
                Ok(Err(failure @ Failure::Refused(_))) => return Err(failure),
                Ok(Err(failure)) => {
                    // Nobody knows in which state the connection is.
                    drop(Object::take(client));
                    return Err(failure);
                }
                Err(_) => {
                    drop(Object::take(client));
                    return Err(Failure::Unknown(None));
                }
            }
        }
    }

    async fn transact(
        &self,
        client: &Object,
        commits: &[&Commit],
    ) -> std::result::Result<Vec<Outcome>, Failure> {
        let [lock, apply, notify] = prepared(client, [LOCK, arrays::SQL, NOTIFY]).await?;
        let arrays: Vec<_> = commits.iter().map(|commit| Arrays::of(commit)).collect();
        let parameters: Vec<_> = arrays.iter().flatten().map(Arrays::parameters).collect();
        let (whole, locks) = self.locks(commits);
        let tables = tables(commits);
        let store = arrays::store_lock(&self.schema);
        let names: [&(dyn ToSql + Sync); 3] = [&store, &whole, &locks];
        let told: [&(dyn ToSql + Sync); 2] = [&self.schema, &tables];
        // Everything is sent at once and answered in order; the first failure fails all that follow.
        let mut sent = Vec::with_capacity(parameters.len() + 4);
        sent.push(none(client.batch_execute("BEGIN")));
        sent.push(none(client.execute(&lock, &names).map_ok(drop)));
        for parameters in &parameters {
            sent.push(
                client
                    .query_one(&apply, &parameters[..])
                    .map_ok(Some)
                    .boxed(),
            );
        }
        sent.push(none(client.execute(&notify, &told).map_ok(drop)));
        sent.push(none(client.batch_execute("COMMIT")));
        let answers: std::result::Result<Vec<_>, _> = in_order(sent).await.into_iter().collect();
        let mut rows = answers?.into_iter().flatten();
        let outcomes = commits
            .iter()
            .zip(arrays)
            .map(|(commit, arrays)| match arrays {
                Err(conflict) => Ok(Err(conflict)),
                Ok(_) => match rows.next() {
                    Some(row) => outcome(commit, &row),
                    None => Err(Failure::Unknown(None)),
                },
            });
        outcomes.collect()
    }

    /// The locks of all names, in one order for everybody; or that of the whole store.
    fn locks(&self, commits: &[&Commit]) -> (bool, Vec<i64>) {
        let locks = commits
            .iter()
            .flat_map(|commit| arrays::locks(&self.schema, commit));
        let locks: BTreeSet<_> = locks.collect();
        match locks.len() > MAX_LOCKS {
            true => (true, Vec::new()),
            false => (false, locks.into_iter().collect()),
        }
    }
}

const LOCK: &str = "SELECT lock_names($1, $2, $3)";
const NOTIFY: &str = "SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name";

async fn prepared<const N: usize>(
    client: &Object,
    statements: [&str; N],
) -> std::result::Result<[Statement; N], Failure> {
    let statements = statements.map(|sql| client.prepare_cached(sql));
    let prepared = join_all(statements).await;
    let prepared: std::result::Result<Vec<_>, _> = prepared.into_iter().collect();
    prepared?.try_into().map_err(|_| Failure::Unknown(None))
}

type Sent<'a> = BoxFuture<'a, std::result::Result<Option<Row>, tokio_postgres::Error>>;

/// A statement whose answer is no row.
fn none<'a>(
    sent: impl Future<Output = std::result::Result<(), tokio_postgres::Error>> + Send + 'a,
) -> Sent<'a> {
    sent.map_ok(|()| None).boxed()
}

/// All outcomes. A statement is sent when its future is polled first, so all are polled in order before any again.
async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(maybe_done).collect();
    poll_fn(|cx| {
        let mut done = true;
        for future in &mut futures {
            done &= future.poll_unpin(cx).is_ready();
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outcomes = futures
        .into_iter()
        .map(|mut it| Pin::new(&mut it).take_output());
    outcomes.flatten().collect()
}

fn outcome(commit: &Commit, row: &Row) -> std::result::Result<Outcome, Failure> {
    if let Some(failed) = row.try_get::<_, Option<i64>>(1)? {
        let found = row.try_get(2)?;
        let conflict = arrays::conflict(commit, failed, found);
        return conflict.map(Err).ok_or(Failure::Unknown(None));
    }
    let appended: Vec<i64> = row.try_get(3)?;
    let (appended, _) = appended.as_chunks::<3>();
    let appended = appended.iter().map(|[first, end, born]| Appended {
        first: arrays::unsigned(*first),
        end: arrays::unsigned(*end),
        born: arrays::unsigned(*born),
    });
    Ok(Ok(Committed {
        version: arrays::unsigned(row.try_get(0)?),
        appended: appended.collect(),
    }))
}

fn tables(commits: &[&Commit]) -> Vec<&'static str> {
    let operations = commits.iter().flat_map(|commit| commit.operations());
    let tables: BTreeSet<_> = operations
        .map(|operation| operation.table().as_str())
        .collect();
    tables.into_iter().collect()
}

fn size(write: &Write) -> (usize, usize) {
    (write.commit.bytes(), write.commit.operations().len())
}

impl Write {
    fn reply(self, outcome: Result<Committed>) {
        drop(self.room);
        // Who has stopped waiting is not told.
        let _ = self.reply.send(outcome);
    }
}
