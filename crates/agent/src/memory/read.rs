//! Reading messages.

use std::collections::VecDeque;

use bowline_store::LogEntry;
use bowline_store::limits::{MAX_PAGE, MAX_PAGE_BYTES};

use super::{MESSAGES, Memory, failed};
use crate::{Error, ErrorKind, Message, Result};

const OPERATION: &str = "read messages";

/// Which messages of a thread are read. Messages are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRange {
    /// The newest.
    Last,
    /// Those from this position on.
    From(u64),
    /// The last ones before this position.
    Before(u64),
}

/// A part of the messages of a thread, the oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<Message>,
    /// The position of the first of them. There are older ones unless it is 0: [`MessageRange::Before`] it.
    pub first: u64,
    /// The position after the last of them. There are newer ones if it is less than `total`: [`MessageRange::From`] it.
    pub end: u64,
    /// How many messages the thread has.
    pub total: u64,
}

impl Memory {
    /// The last `count` messages of the thread `id`, the oldest first.
    ///
    /// # Errors
    /// Those of [`messages`](Self::messages).
    pub async fn recent(&self, id: &str, count: usize) -> Result<Vec<Message>> {
        let page = self.messages(id, MessageRange::Last, count).await?;
        Ok(page.messages)
    }

    /// Up to `limit` messages of the thread `id`, never more than [`MAX_PAGE`] or about 16 MiB of them; at least one, if there
    /// is one in the range and the limit is not 0.
    ///
    /// # Errors
    /// `NotFound` when there is no such thread.
    pub async fn messages(
        &self,
        id: &str,
        range: MessageRange,
        limit: usize,
    ) -> Result<MessagePage> {
        self.open_record(OPERATION, id).await?;
        let log = MESSAGES.log(id.to_owned());
        let info = self.store.log_info(&log).await;
        let info = info.map_err(|error| failed(OPERATION, id, error))?;
        let total = info.map_or(0, |info| info.end);
        let limit = limit.min(MAX_PAGE);
        let wanted = limit as u64;
        let (first, end) = match range {
            MessageRange::From(from) => {
                let from = from.min(total);
                (from, from.saturating_add(wanted).min(total))
            }
            MessageRange::Last => (total.saturating_sub(wanted), total),
            MessageRange::Before(end) => {
                let end = end.min(total);
                (end.saturating_sub(wanted), end)
            }
        };
        let backwards = !matches!(range, MessageRange::From(_));
        let entries = self.entries(id, first, end, backwards).await?;
        let first = entries.front().map_or(end, |entry| entry.position);
        let messages: Result<Vec<_>> = entries.iter().map(|entry| read(id, entry)).collect();
        let messages = messages?;
        Ok(MessagePage {
            first,
            end: first + messages.len() as u64,
            messages,
            total,
        })
    }

    /// The entries from `first` to `end`; of those that are more than a page has bytes the first ones, or `backwards` the
    /// last.
    async fn entries(
        &self,
        id: &str,
        first: u64,
        end: u64,
        backwards: bool,
    ) -> Result<VecDeque<LogEntry>> {
        let log = MESSAGES.log(id.to_owned());
        let mut entries = VecDeque::new();
        let mut bytes = 0;
        let mut at = first;
        while at < end {
            let limit = usize::try_from(end - at).unwrap_or(MAX_PAGE);
            let page = self.store.read_log(&log, at, limit).await;
            let page = page.map_err(|error| failed(OPERATION, id, error))?;
            let Some(last) = page.entries.last() else {
                break;
            };
            at = last.position + 1;
            for entry in page.entries {
                bytes += entry.body.len();
                entries.push_back(entry);
            }
            if !backwards {
                break;
            }
            while bytes > MAX_PAGE_BYTES && entries.len() > 1 {
                bytes -= entries.pop_front().map_or(0, |entry| entry.body.len());
            }
        }
        Ok(entries)
    }
}

fn read(thread: &str, entry: &LogEntry) -> Result<Message> {
    serde_json::from_slice(&entry.body).map_err(|error| {
        let message = format!("message {} is not ours: {error}", entry.position);
        Error::new(ErrorKind::Corrupt, OPERATION, message)
            .with_subject(thread.to_owned())
            .with_source(error)
    })
}
