//! Inboxes in the store.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp, Topic};
use bowline_store::limits::MAX_KEY;
use bowline_store::{Commit, Expect, Filter, Index, Page, Query, Record, Store, Table};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::threads::ledger::{TRIES, failed, key_of};
use crate::threads::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

/// One record an entry, due when somebody has to look at it, and one for each thread that has entries which are pending.
const NOTIFICATIONS: Table = Table::new("agent_notifications");
/// Entries that are changed together.
pub(super) const TOGETHER: usize = 100;

#[derive(Debug, Clone)]
pub(in crate::threads) struct Shelf {
    pub(super) store: Arc<dyn Store>,
    /// How long what is done is kept.
    pub(super) retention: Duration,
}

/// What is pending in a thread, as it was read: so that there is not too much of it, and so that two that are the same find each
/// other. It changes in the commits in which entries begin and cease to be pending.
#[derive(Debug)]
pub(super) struct Pending {
    list: List,
    stored: Option<Record>,
    key: Text,
    changed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    open: Vec<Open>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    id: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Text>,
}

/// What a look at what is due has found.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Those that are pending.
    pub(super) entries: Vec<Entry>,
    /// Whether some were done, and are gone.
    pub(super) removed: bool,
    /// Whether there may be more.
    pub(super) full: bool,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.list.open.len()
    }

    /// The entry with one of these keys.
    pub(super) fn find(&self, keys: &[Text]) -> Option<&Text> {
        let mut open = self.list.open.iter();
        let same = open.find(|it| it.keys.iter().any(|key| keys.contains(key)));
        same.map(|it| &it.id)
    }

    fn note(&mut self, entry: &Entry) {
        let open = &mut self.list.open;
        let at = open.iter().position(|it| it.id == entry.record.id);
        let now = entry.record.is_pending().then(|| Open {
            id: entry.record.id.clone(),
            keys: entry.keys(),
        });
        match (at, now) {
            (Some(at), Some(now)) if open[at] == now => return,
            (Some(at), Some(now)) => open[at] = now,
            (Some(at), None) => drop(open.swap_remove(at)),
            (None, Some(now)) => open.push(now),
            (None, None) => return,
        }
        self.changed = true;
    }

    fn add_to(&self, commit: Commit, now: Timestamp) -> Commit {
        if !self.changed {
            return commit;
        }
        // Texts: their JSON cannot fail.
        let body = serde_json::to_vec(&self.list).unwrap_or_default();
        match &self.stored {
            Some(stored) if self.list.open.is_empty() => {
                commit.delete(NOTIFICATIONS, self.key.clone(), stored.version)
            }
            Some(stored) => commit.replace(stored, stored.index.clone(), body),
            None if self.list.open.is_empty() => commit,
            None => {
                let index = Index::new(now);
                commit.put(NOTIFICATIONS, self.key.clone(), Expect::Absent, index, body)
            }
        }
    }
}

impl Shelf {
    /// What is pending in a thread, and those of `ids` that are there, at one instant.
    pub(super) async fn read(
        &self,
        thread: &ThreadId,
        ids: &[Text],
    ) -> Result<(Pending, Vec<Entry>)> {
        let key = key_of(thread)?;
        let mut keys = vec![key.clone()];
        for id in ids {
            keys.push(entry_key(thread, id)?);
        }
        let read = self.store.get_many(NOTIFICATIONS, &keys).await;
        let read = read.map_err(|error| failed("read inbox", thread.id(), error))?;
        let mut read = read.into_iter();
        let stored = read.next().flatten();
        let list = match &stored {
            Some(stored) => parse(stored)?,
            None => List::default(),
        };
        let pending = Pending {
            list,
            stored,
            key,
            changed: false,
        };
        let entries = read.flatten().map(entry).collect::<Result<_>>()?;
        Ok((pending, entries))
    }

    /// Writes entries that were read, changed. `false` when somebody else was faster.
    pub(super) async fn write(
        &self,
        thread: &ThreadId,
        mut pending: Pending,
        entries: &[Entry],
    ) -> Result<bool> {
        let now = Timestamp::now();
        for entry in entries {
            pending.note(entry);
        }
        let mut commit = pending.add_to(Commit::new(), now);
        for entry in entries {
            commit = self.put(commit, thread, entry)?;
        }
        self.commit(thread, commit).await
    }

    /// Writes entries that were read and are as pending as they were.
    pub(super) async fn write_on(&self, thread: &ThreadId, entries: &[Entry]) -> Result<bool> {
        let mut commit = Commit::new();
        for entry in entries {
            commit = self.put(commit, thread, entry)?;
        }
        self.commit(thread, commit).await
    }

    fn put(&self, commit: Commit, thread: &ThreadId, entry: &Entry) -> Result<Commit> {
        let index = entry.index(self.retention);
        // Texts, numbers and JSON that was read before: nothing of it can fail to be written.
        let body = serde_json::to_vec(entry).unwrap_or_default();
        Ok(match &entry.stored {
            Some(stored) => commit.replace(stored, index, body),
            None => {
                let key = entry_key(thread, &entry.record.id)?;
                commit.put(NOTIFICATIONS, key, Expect::Absent, index, body)
            }
        })
    }

    async fn commit(&self, thread: &ThreadId, commit: Commit) -> Result<bool> {
        match self.store.commit(commit).await {
            Ok(_) => Ok(true),
            Err(error) if error.conflict().is_some() => Ok(false),
            Err(error) => Err(failed("write inbox", thread.id(), error)),
        }
    }

    /// Changes those of `ids` that are there, up to [`TOGETHER`] of them, as soon as nobody else does. `change` says whether it has.
    pub(super) async fn change(
        &self,
        thread: &ThreadId,
        ids: &[Text],
        mut change: impl FnMut(&mut Entry) -> bool,
    ) -> Result<Vec<Entry>> {
        for _ in 0..TRIES {
            let (pending, mut entries) = self.read(thread, ids).await?;
            let mut changed = Vec::new();
            for entry in &mut entries {
                if change(entry) {
                    changed.push(entry.clone());
                }
            }
            if changed.is_empty() || self.write(thread, pending, &changed).await? {
                return Ok(entries);
            }
        }
        let message = "others changed the inbox all the time; try again";
        Err(Error::new(ErrorKind::Conflict, "write inbox", message)
            .with_subject(thread.id().clone()))
    }

    /// A page of the entries of a thread.
    pub(super) async fn list(
        &self,
        thread: &ThreadId,
        mut query: Query,
    ) -> Result<(Vec<Entry>, Option<bowline_store::Cursor>)> {
        let prefix = format!("{}/", key_of(thread)?);
        query.filter = query.filter.key_prefix(prefix);
        let page = self.store.list(NOTIFICATIONS, &query).await;
        let Page { records, next } =
            page.map_err(|error| failed("read inbox", thread.id(), error))?;
        let entries = records.into_iter().map(entry).collect::<Result<_>>()?;
        Ok((entries, next))
    }

    /// The entries of a summary that is on its way, or those that a call of the inbox tool has marked.
    pub(super) async fn of_group(&self, thread: &ThreadId, group: &Text) -> Result<Vec<Entry>> {
        let query = Query::new(Filter::new().group(group.clone())).limit(TOGETHER);
        Ok(self.list(thread, query).await?.0)
    }

    /// Looks at the entries that are due at `at`, up to [`TOGETHER`] of them. Those that are done are removed.
    pub(super) async fn due(&self, at: Timestamp) -> Result<Due> {
        let records = self.store.due(NOTIFICATIONS, at, TOGETHER).await;
        let records = records.map_err(|error| failed("read inboxes", &Text::default(), error))?;
        let now = Timestamp::now();
        let mut due = Due {
            full: records.len() == TOGETHER,
            ..Due::default()
        };
        for record in records {
            let key = record.key.clone();
            let entry = match entry(record) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(%key, %error, "a notification is left alone");
                    continue;
                }
            };
            if entry.record.is_pending() {
                due.entries.push(entry);
            } else if let Some(stored) = &entry.stored
                && stored.index.due.is_some_and(|at| at <= now)
            {
                // Whoever was faster has removed it, or has changed it, and it is kept.
                let gone = Commit::new().delete(NOTIFICATIONS, key, stored.version);
                due.removed |= self.store.commit(gone).await.is_ok();
            }
        }
        Ok(due)
    }
}

fn entry_key(thread: &ThreadId, id: &Text) -> Result<Text> {
    let key = format!("{}/{}", key_of(thread)?, Topic::encode_component(id));
    if key.len() > MAX_KEY {
        let message = format!(
            "the ids of thread, resource and notification have {} bytes together when encoded, the limit is {MAX_KEY}",
            key.len()
        );
        let error = Error::new(ErrorKind::TooLarge, "notify", message);
        return Err(error.with_subject(id.clone()));
    }
    Ok(key.into())
}

fn entry(mut record: Record) -> Result<Entry> {
    let mut entry: Entry = parse(&record)?;
    record.body = Bytes::new();
    entry.stored = Some(record);
    Ok(entry)
}

fn parse<T: serde::de::DeserializeOwned>(record: &Record) -> Result<T> {
    serde_json::from_slice(&record.body).map_err(|error| {
        let message = format!("it cannot be read: {error}");
        Error::new(ErrorKind::Corrupt, "read inbox", message)
            .with_subject(record.key.clone())
            .with_source(error)
    })
}
