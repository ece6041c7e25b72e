//! Appending messages.

use std::collections::HashSet;

use bowline_events::{Text, Timestamp};
use bowline_store::limits::MAX_ENTRY;
use bowline_store::{Commit, Expect, Index, Record};
use bytes::Bytes;

use super::{
    ATTEMPTS, MESSAGE_IDS, MESSAGES, Memory, THREADS, Thread, check_id, contended, failed,
    message_key,
};
use crate::{Error, ErrorKind, Message, Result};

const OPERATION: &str = "append messages";

/// Messages that are appended together.
const TOGETHER: usize = 500;

/// Bytes of messages that are appended together, unless one alone has more.
const BYTES_TOGETHER: usize = 16 * 1024 * 1024;

/// A message that is to be appended.
struct New {
    key: Text,
    entry: Bytes,
}

impl Memory {
    /// Appends `messages` to the thread `id`, and returns how many of them it did not have yet.
    ///
    /// A message whose id is in the thread already changes nothing. Up to 500 messages of up to 16 MiB together happen as a
    /// whole; of more the first ones may be kept when the rest fails, and the same call again goes on. Messages are stored
    /// with the ids of the thread and its resource.
    ///
    /// # Errors
    /// `NotFound` when there is no such thread, `TooLarge` for a message of more than 16 MiB, `InvalidInput` for one without
    /// an id or whose id is longer than [`MAX_ID`](super::MAX_ID), or that names another thread.
    pub async fn append(&self, id: &str, messages: &[Message]) -> Result<usize> {
        let mut record = self.open_record(OPERATION, id).await?;
        let thread = Thread::read(&record)?;
        let mut seen = HashSet::new();
        let mut news = Vec::with_capacity(messages.len());
        for message in messages {
            if seen.insert(&message.id) {
                news.push(New::of(&thread, message)?);
            }
        }
        let mut appended = 0;
        let mut rest = news.as_slice();
        while !rest.is_empty() {
            let (together, later) = rest.split_at(together(rest));
            appended += self.append_together(&mut record, together).await?;
            rest = later;
        }
        Ok(appended)
    }

    async fn append_together(&self, thread: &mut Record, news: &[New]) -> Result<usize> {
        let mut news: Vec<&New> = news.iter().collect();
        for _ in 0..ATTEMPTS {
            if news.is_empty() {
                return Ok(0);
            }
            let id = &thread.key;
            let now = Timestamp::now();
            let index = Index::new(now).group(id.clone());
            let entries = news.iter().map(|new| new.entry.clone());
            // Appends do not change the thread, so they do not disturb each other.
            let mut commit = Commit::new()
                .check(THREADS, id.clone(), Expect::Version(thread.version))
                .append(MESSAGES.log(id.clone()), entries);
            for new in &news {
                let key = new.key.clone();
                commit = commit.put(
                    MESSAGE_IDS,
                    key,
                    Expect::Absent,
                    index.clone(),
                    Bytes::new(),
                );
            }
            match self.store.commit(commit.at(now)).await {
                Ok(_) => return Ok(news.len()),
                Err(error) => match error.conflict() {
                    Some(conflict) if conflict.table == MESSAGE_IDS => {
                        self.forget_known(&mut news).await?;
                    }
                    Some(_) => *thread = self.open_record(OPERATION, id).await?,
                    None => return Err(failed(OPERATION, id, error)),
                },
            }
        }
        Err(contended(OPERATION, &thread.key))
    }

    /// Leaves out what the thread has.
    async fn forget_known(&self, news: &mut Vec<&New>) -> Result<()> {
        let keys: Vec<Text> = news.iter().map(|new| new.key.clone()).collect();
        let known = self.store.get_many(MESSAGE_IDS, &keys).await;
        let known = known.map_err(|error| failed(OPERATION, "message ids", error))?;
        let mut known = known.into_iter();
        news.retain(|_| known.next().flatten().is_none());
        Ok(())
    }
}

/// How many of `news` are appended together.
fn together(news: &[New]) -> usize {
    let mut bytes = 0;
    let fit = news.iter().take(TOGETHER).take_while(|new| {
        bytes += new.entry.len();
        bytes <= BYTES_TOGETHER
    });
    fit.count().max(1)
}

impl New {
    fn of(thread: &Thread, message: &Message) -> Result<Self> {
        check_id(OPERATION, "message", &message.id)?;
        let invalid = |kind, problem: String| {
            Error::new(kind, OPERATION, problem).with_subject(message.id.clone())
        };
        if message
            .thread_id
            .as_ref()
            .is_some_and(|id| *id != thread.id)
        {
            let problem = "the message names another thread; append it to that one";
            return Err(invalid(ErrorKind::InvalidInput, problem.into()));
        }
        let stored = message
            .clone()
            .with_thread(thread.id.clone(), thread.resource_id.clone());
        let entry = serde_json::to_vec(&stored).map_err(|error| {
            let problem = format!("the message cannot be written: {error}");
            invalid(ErrorKind::InvalidInput, problem).with_source(error)
        })?;
        if entry.len() > MAX_ENTRY {
            let problem = format!(
                "the message has {} bytes, the limit is {MAX_ENTRY}; keep files elsewhere and name their URL",
                entry.len()
            );
            return Err(invalid(ErrorKind::TooLarge, problem));
        }
        Ok(Self {
            key: message_key(&thread.id, &message.id),
            entry: entry.into(),
        })
    }
}
