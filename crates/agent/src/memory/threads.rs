//! Making, finding and changing threads.

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Record};

use super::thread::{DELETING, OPEN, index};
use super::{
    ATTEMPTS, Memory, THREADS, Thread, ThreadDetails, ThreadPage, ThreadQuery, check_id, contended,
    failed, not_found,
};
use crate::{Error, ErrorKind, Result};

impl Memory {
    /// The thread `id` of `resource`, which is made with `details` if there is none.
    ///
    /// # Errors
    /// `AlreadyExists` when the thread is one of another resource; `InvalidInput` for ids that are empty or longer than
    /// [`MAX_ID`](super::MAX_ID).
    pub async fn open(
        &self,
        id: impl Into<Text>,
        resource: impl Into<Text>,
        details: ThreadDetails,
    ) -> Result<Thread> {
        const OPERATION: &str = "open thread";
        let (id, resource) = (id.into(), resource.into());
        check_id(OPERATION, "thread", &id)?;
        check_id(OPERATION, "resource", &resource)?;
        let body = details.body(&id)?;
        for _ in 0..ATTEMPTS {
            if let Some(record) = self.record(OPERATION, &id).await? {
                if is_open(&record) {
                    return owned(Thread::read(&record)?, &resource);
                }
                self.remove(&record).await?;
            }
            let now = Timestamp::now();
            let index = index(&resource, now, OPEN);
            let commit = Commit::new()
                .put(THREADS, id.clone(), Expect::Absent, index, body.clone())
                .at(now);
            match self.store.commit(commit).await {
                Ok(_) => {
                    return Ok(Thread {
                        id,
                        resource_id: resource,
                        details,
                        created_at: now,
                        updated_at: now,
                    });
                }
                Err(error) if error.conflict().is_some() => {}
                Err(error) => return Err(failed(OPERATION, &id, error)),
            }
        }
        Err(contended(OPERATION, &id))
    }

    /// The thread `id`, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn thread(&self, id: &str) -> Result<Option<Thread>> {
        let record = self.record("get thread", id).await?;
        let record = record.filter(is_open);
        record.as_ref().map(Thread::read).transpose()
    }

    /// A page of threads.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn threads(&self, query: &ThreadQuery) -> Result<ThreadPage> {
        let page = self.store.list(THREADS, query.query()).await;
        let page = page.map_err(|error| failed("list threads", "threads", error))?;
        let threads: Result<_> = page.records.iter().map(Thread::read).collect();
        Ok(ThreadPage {
            threads: threads?,
            next: page.next,
        })
    }

    /// Changes the title or the metadata of the thread `id`. When others change it at the same time, `change` is called
    /// again with what they wrote.
    ///
    /// # Errors
    /// `NotFound` when there is no such thread.
    pub async fn update(
        &self,
        id: &str,
        mut change: impl FnMut(&mut ThreadDetails),
    ) -> Result<Thread> {
        const OPERATION: &str = "update thread";
        for _ in 0..ATTEMPTS {
            let record = self.open_record(OPERATION, id).await?;
            let mut thread = Thread::read(&record)?;
            change(&mut thread.details);
            let body = thread.details.body(id)?;
            let now = Timestamp::now();
            let commit = Commit::new()
                .replace(&record, record.index.clone(), body)
                .at(now);
            match self.store.commit(commit).await {
                Ok(_) => {
                    thread.updated_at = now;
                    return Ok(thread);
                }
                Err(error) if error.conflict().is_some() => {}
                Err(error) => return Err(failed(OPERATION, id, error)),
            }
        }
        Err(contended(OPERATION, id))
    }

    /// The record of the thread `id`, whatever its state.
    pub(super) async fn record(&self, operation: &'static str, id: &str) -> Result<Option<Record>> {
        check_id(operation, "thread", id)?;
        let record = self.store.get(THREADS, id).await;
        record.map_err(|error| failed(operation, id, error))
    }

    /// The record of the thread `id`, which has to be there.
    pub(super) async fn open_record(&self, operation: &'static str, id: &str) -> Result<Record> {
        let record = self.record(operation, id).await?;
        record
            .filter(is_open)
            .ok_or_else(|| not_found(operation, id))
    }
}

pub(super) fn is_open(record: &Record) -> bool {
    record.index.status.as_deref() != Some(DELETING)
}

/// `thread`, if it is one of `resource`.
fn owned(thread: Thread, resource: &Text) -> Result<Thread> {
    if thread.resource_id == *resource {
        return Ok(thread);
    }
    let message = "the thread belongs to another resource; open it as that one, or use another id";
    Err(Error::new(ErrorKind::AlreadyExists, "open thread", message).with_subject(thread.id))
}
