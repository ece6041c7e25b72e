//! The states of threads in the store.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp, Topic};
use bowline_store::limits::MAX_KEY;
use bowline_store::{Commit, Expect, Index, Record, Store, Table};
use tokio::sync::broadcast;

use super::state::{Keeper, ThreadState};
use super::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

/// One record a thread; due when somebody has to look after it.
const THREADS: Table = Table::new("agent_threads");

/// How long it is remembered which signals an idle thread was given.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// Bytes of a state: a commit has the signals of a run, too.
const MAX_STATE: usize = 3 * 1024 * 1024;
/// Changes that somebody may be late to hear of.
const CHANGED: usize = 256;
/// How often a change that somebody else keeps making impossible is tried.
pub(super) const TRIES: u32 = 1000;

/// The states of threads.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    store: Arc<dyn Store>,
    /// How long nobody has to look after a thread that is looked after.
    rest: Duration,
    /// The keys of the threads that this process has changed.
    changed: broadcast::Sender<Text>,
}

/// A state as it was read.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) state: ThreadState,
    record: Option<Record>,
    pub(super) key: Text,
    /// Who looked after it.
    care: Care,
}

/// Who looks after a thread, and whether there is something to do.
type Care = (Option<Keeper>, bool, u64);

fn care(state: &ThreadState) -> Care {
    let keeper = state.active.as_ref().map(|it| it.keeper.clone());
    (keeper, state.queue.is_empty(), state.watched)
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn Store>, rest: Duration) -> Self {
        Self {
            store,
            rest,
            changed: broadcast::Sender::new(CHANGED),
        }
    }

    /// Hears the keys of the threads that this process changes. Who hears too few has missed some.
    pub(super) fn changed(&self) -> broadcast::Receiver<Text> {
        self.changed.subscribe()
    }

    pub(super) async fn load(&self, thread: &ThreadId) -> Result<Loaded> {
        let key = key_of(thread)?;
        let record = self.store.get(THREADS, &key).await;
        let record = record.map_err(|error| failed("read thread", thread.id(), error))?;
        let state = match &record {
            Some(record) => read(record)?,
            None => ThreadState::new(thread.id().clone(), thread.resource_id().cloned()),
        };
        let care = care(&state);
        Ok(Loaded {
            state,
            record,
            key,
            care,
        })
    }

    /// Writes a state that was read, changed, together with `commit`. `false` when somebody else was faster: with the state, or with
    /// what `commit` expects.
    pub(super) async fn write(&self, loaded: &Loaded, commit: Commit) -> Result<bool> {
        let now = Timestamp::now();
        let wait = match loaded.state.is_idle() {
            true => REMEMBERED,
            false => self.rest,
        };
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let due = Timestamp::from_millis(now.as_millis().saturating_add(wait));
        // What somebody gives to the thread is no sign that somebody looks after it.
        let known = loaded.record.as_ref().and_then(|it| it.index.due);
        let due = match known {
            Some(known) if care(&loaded.state) == loaded.care => known,
            _ => due,
        };
        let created = loaded.record.as_ref().map_or(now, |it| it.index.created);
        let index = Index::new(created).due(due);
        let thread = &loaded.state.thread;
        // Texts, numbers and JSON that was read before: nothing of it can fail to be written.
        let body = serde_json::to_vec(&loaded.state).unwrap_or_default();
        if body.len() > MAX_STATE {
            let message = format!(
                "what waits in the thread is {} bytes, the limit is {MAX_STATE}; wait until its runs have read it",
                body.len()
            );
            let error = Error::new(ErrorKind::TooLarge, "signal", message);
            return Err(error.with_subject(thread.clone()));
        }
        let commit = match &loaded.record {
            Some(record) => commit.replace(record, index, body),
            None => commit.put(THREADS, loaded.key.clone(), Expect::Absent, index, body),
        };
        match self.store.commit(commit).await {
            Ok(_) => {
                // Nobody may want to know.
                let _ = self.changed.send(loaded.key.clone());
                Ok(true)
            }
            Err(error) if error.conflict().is_some() => Ok(false),
            Err(error) => Err(failed("write thread", thread, error)),
        }
    }

    /// Changes a state as soon as nobody else does. Nothing is written when `change` returns `None`.
    pub(super) async fn change<T>(
        &self,
        thread: &ThreadId,
        mut change: impl FnMut(&mut ThreadState) -> Option<T>,
    ) -> Result<Option<T>> {
        for _ in 0..TRIES {
            let mut loaded = self.load(thread).await?;
            let Some(changed) = change(&mut loaded.state) else {
                return Ok(None);
            };
            if self.write(&loaded, Commit::new()).await? {
                return Ok(Some(changed));
            }
        }
        let message = "others changed it all the time; try again";
        Err(Error::new(ErrorKind::Conflict, "write thread", message)
            .with_subject(thread.id().clone()))
    }

    /// States that somebody has to look after. Those that need not be kept are removed.
    pub(super) async fn due(&self, limit: usize) -> Result<Vec<ThreadState>> {
        let due = self.store.due(THREADS, Timestamp::now(), limit).await;
        let due = due.map_err(|error| failed("read threads", &"".into(), error))?;
        let mut states = Vec::with_capacity(due.len());
        for record in due {
            let state = match read(&record) {
                Ok(state) => state,
                Err(error) => {
                    tracing::error!(%error, "a thread is left alone");
                    continue;
                }
            };
            if state.is_idle() {
                // Whoever was faster has given it something.
                let gone = Commit::new().delete(THREADS, record.key, record.version);
                let _ = self.store.commit(gone).await;
            } else {
                states.push(state);
            }
        }
        Ok(states)
    }
}

/// The thread, as keys of the store name it.
pub(super) fn key_of(thread: &ThreadId) -> Result<Text> {
    let key = Topic::encode_component(&thread.key());
    if key.len() > MAX_KEY {
        let message = format!(
            "the ids of thread and resource have {} bytes together when encoded, the limit is {MAX_KEY}",
            key.len()
        );
        let error = Error::new(ErrorKind::TooLarge, "thread", message);
        return Err(error.with_subject(thread.id().clone()));
    }
    Ok(key.into())
}

fn read(record: &Record) -> Result<ThreadState> {
    serde_json::from_slice(&record.body).map_err(|error| {
        let message = format!("its state cannot be read: {error}");
        Error::new(ErrorKind::Corrupt, "read thread", message)
            .with_subject(record.key.clone())
            .with_source(error)
    })
}

pub(super) fn failed(operation: &'static str, thread: &Text, error: bowline_store::Error) -> Error {
    Error::new(ErrorKind::Store, operation, error.to_string())
        .with_subject(thread.clone())
        .with_source(error)
}
