//! Deleting threads.

use bowline_events::Timestamp;
use bowline_store::limits::MAX_PAGE;
use bowline_store::{Commit, Expect, Filter, Query, Record};

use super::thread::{DELETING, Thread, index};
use super::threads::is_open;
use super::{ATTEMPTS, MESSAGE_IDS, MESSAGES, Memory, THREADS, contended, failed};
use crate::Result;

const OPERATION: &str = "delete thread";

impl Memory {
    /// Deletes the thread `id` with its messages. `false` when there is none.
    ///
    /// From its first commit on the thread is gone for everybody. If the process ends before the last one, what is left of it
    /// is removed by the next `delete` or `open` of the same id.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete(&self, id: &str) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.record(OPERATION, id).await? else {
                return Ok(false);
            };
            if !is_open(&record) {
                self.remove(&record).await?;
                return Ok(false);
            }
            let thread = Thread::read(&record)?;
            let index = index(&thread.resource_id, record.index.created, DELETING);
            let commit = Commit::new()
                .replace(&record, index.clone(), record.body.clone())
                .drop_log(MESSAGES.log(id.to_owned()));
            match self.store.commit(commit).await {
                Ok(committed) => {
                    let marked = Record {
                        version: committed.version,
                        index,
                        updated: Timestamp::now(),
                        ..record
                    };
                    self.remove(&marked).await?;
                    return Ok(true);
                }
                Err(error) if error.conflict().is_some() => {}
                Err(error) => return Err(failed(OPERATION, id, error)),
            }
        }
        Err(contended(OPERATION, id))
    }

    /// Removes what is left of a thread that is being deleted. Who finds that somebody else has done it is done, too.
    pub(super) async fn remove(&self, marked: &Record) -> Result<()> {
        let id = &marked.key;
        let filter = Filter::new().group(id.clone());
        let query = Query::new(filter).limit(MAX_PAGE);
        loop {
            let page = self.store.list(MESSAGE_IDS, &query).await;
            let page = page.map_err(|error| failed(OPERATION, id, error))?;
            let mut commit = Commit::new();
            for record in &page.records {
                commit = commit.delete(MESSAGE_IDS, record.key.clone(), record.version);
            }
            let is_last = page.next.is_none();
            // A thread of this id that was made meanwhile loses nothing: its record has another version.
            commit = if is_last {
                commit.delete(THREADS, id.clone(), marked.version)
            } else {
                commit.check(THREADS, id.clone(), Expect::Version(marked.version))
            };
            match self.store.commit(commit).await {
                Ok(_) if is_last => return Ok(()),
                Ok(_) => {}
                Err(error) if error.conflict().is_some() => {
                    let record = self.record(OPERATION, id).await?;
                    if record.is_none_or(|record| record.version != marked.version) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(failed(OPERATION, id, error)),
            }
        }
    }
}
