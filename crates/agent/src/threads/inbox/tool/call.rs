//! What a call of the tool does.

use bowline_events::{Text, Timestamp};

use super::{Action, Answer, Reading, Request};
use crate::threads::inbox::entry::Entry;
use crate::threads::inbox::list::NotificationFilter;
use crate::threads::inbox::record::{NotificationRecord, NotificationStatus};
use crate::threads::inbox::shelf::Shelf;
use crate::threads::options::{Accepted, SendOptions};
use crate::threads::runtime::Threads;
use crate::threads::signal::Signal;
use crate::threads::thread::ThreadId;
use crate::tool::ToolError;

/// Notifications that a call is about unless it says another number.
const USUAL: usize = 20;
/// Bytes of the notifications that a call returns, unless one alone has more.
const MAX_ANSWER: usize = 256 * 1024;

/// A call of the tool.
pub(super) struct Call {
    pub(super) threads: Threads,
    /// The thread of the run.
    pub(super) own: ThreadId,
    /// The one that it is about.
    pub(super) thread: ThreadId,
    pub(super) agent: Text,
    /// Marks what it has seen: the same when it is made again.
    pub(super) key: Text,
}

impl Call {
    fn shelf(&self) -> &Shelf {
        &self.threads.shared().inboxes.shelf
    }

    /// What this call has marked when it was made before.
    async fn marked_before(&self) -> Result<Vec<Entry>, ToolError> {
        let mut marked = self.shelf().of_group(&self.thread, &self.key).await?;
        marked.retain(|it| it.record.status == NotificationStatus::Seen);
        Ok(marked)
    }

    pub(super) async fn list(&self, request: &Request) -> Result<Answer, ToolError> {
        let again = match request.action {
            Action::Search => Vec::new(),
            _ => self.marked_before().await?,
        };
        let (mut found, mut has_more) = match again.is_empty() {
            true => {
                let mut filter = self.filter(request);
                filter = match (&request.query, request.status, request.action) {
                    (Some(query), ..) => filter.query(query),
                    (None, None, Action::List) => filter.unread(),
                    _ => filter,
                };
                let page = self.threads.inbox(&self.thread).list(filter).await?;
                (page.notifications, page.next.is_some())
            }
            false => (again.into_iter().map(|it| it.record).collect(), false),
        };
        let fit = fitting(&found);
        has_more |= fit < found.len();
        found.truncate(fit);
        let unread = found.iter().filter(|it| it.status.is_unread());
        let unread: Vec<Text> = unread.map(|it| it.id.clone()).collect();
        let now = Timestamp::now();
        let change = |entry: &mut Entry| entry.see(&self.key, now);
        let seen = self.shelf().change(&self.thread, &unread, change).await?;
        for Entry { record, .. } in seen {
            if let Some(shown) = found.iter_mut().find(|it| it.id == record.id) {
                *shown = record;
            }
        }
        for record in &mut found {
            // As the reference does: details are for programs.
            (record.payload, record.metadata) = (None, None);
        }
        Ok(Answer::Found {
            marked_seen: self.marked_before().await?.len(),
            notifications: found,
            has_more,
        })
    }

    fn filter(&self, request: &Request) -> NotificationFilter {
        let limit = request.limit.unwrap_or(USUAL);
        let mut filter = NotificationFilter::new().agent(self.agent.clone());
        if let Some(status) = request.status {
            filter = filter.status(status);
        }
        if let Some(priority) = request.priority {
            filter = filter.priority(priority);
        }
        if let Some(source) = &request.source {
            filter = filter.source(source.clone());
        }
        filter.limit(limit)
    }

    pub(super) async fn read(&self, request: &Request) -> Result<Answer, ToolError> {
        let before = self.marked_before().await?;
        let mut reading = Reading {
            delivered: before.len(),
            ..Reading::default()
        };
        for entry in self.wanted(request).await? {
            let again = entry.progress.seen_by.as_ref() == Some(&self.key);
            if again && entry.record.status == NotificationStatus::Seen {
                continue;
            }
            if !entry.record.status.is_unread() {
                reading.already_read += 1;
                continue;
            }
            match self.deliver(&entry).await {
                Ok(true) => reading.delivered += 1,
                Ok(false) => reading.unavailable += 1,
                Err(error) => {
                    tracing::warn!(thread = %self.thread.id(), %error, "a notification was not read");
                    reading.unavailable += 1;
                }
            }
        }
        reading.marked_seen = self.marked_before().await?.len();
        reading.message = match reading.delivered {
            0 => "No unread notifications needed delivery.".to_owned(),
            n => format!("{n} notification(s) will now be delivered."),
        };
        Ok(Answer::Read(reading))
    }

    /// What is to be read: one, or what is unread.
    async fn wanted(&self, request: &Request) -> Result<Vec<Entry>, ToolError> {
        let ids = match &request.id {
            Some(id) => vec![id.clone().into()],
            None => {
                let mut filter = self.filter(request);
                if request.status.is_none() {
                    filter = filter.unread();
                }
                let page = self.threads.inbox(&self.thread).list(filter).await?;
                page.notifications.into_iter().map(|it| it.id).collect()
            }
        };
        let (_, mut entries) = self.shelf().read(&self.thread, &ids).await?;
        entries.retain(|it| it.record.agent_id == self.agent);
        match (&request.id, entries.is_empty()) {
            (Some(id), true) => Err(self.not_found(id)),
            _ => Ok(entries),
        }
    }

    /// Delivers the signal of an entry into the run, and marks the entry as seen. `false` when the run cannot be given it.
    async fn deliver(&self, entry: &Entry) -> crate::Result<bool> {
        let now = Timestamp::now();
        let ids = [entry.record.id.clone()];
        let first = entry.signal_id();
        let pending = entry.record.is_pending();
        let again = entry.progress.seen_by.as_ref() == Some(&self.key);
        if pending && !again {
            // If the dispatcher is faster and this call is made again, that was the delivery that the call wants.
            let claim = |entry: &mut Entry| {
                entry.progress.seen_by = Some(self.key.clone());
                true
            };
            self.shelf().change(&self.thread, &ids, claim).await?;
        }
        let id = match pending || again {
            true => first.clone(),
            false => format!("{}:{}", self.key, entry.record.id).into(),
        };
        if (pending || !again) && !self.give(entry.record.signal(id.clone(), now)).await? {
            return Ok(false);
        }
        let change = |entry: &mut Entry| {
            // What was joined meanwhile is not in that signal.
            let same = entry.signal_id() == first;
            if same && entry.see(&self.key, now) {
                entry.record.delivered_at = Some(now);
                entry.record.delivered_signal_id = Some(id.clone());
                return true;
            }
            false
        };
        self.shelf().change(&self.thread, &ids, change).await?;
        Ok(true)
    }

    /// Gives a signal to the run. `false` when it does not take it.
    async fn give(&self, signal: Signal) -> crate::Result<bool> {
        let options = SendOptions::new().run(self.threads.shared().inboxes.policy.run.clone());
        let sent = self
            .threads
            .send_signal(&self.agent, &self.own, signal, options);
        let accepted = Box::pin(sent).await?;
        Ok(!matches!(
            accepted,
            Accepted::Blocked { .. } | Accepted::Discard
        ))
    }

    pub(super) async fn mark(
        &self,
        id: &str,
        status: NotificationStatus,
    ) -> Result<Answer, ToolError> {
        let ids = [id.to_owned().into()];
        let change = |entry: &mut Entry| {
            entry.record.agent_id == self.agent && entry.mark(status, Timestamp::now())
        };
        let marked = self.shelf().change(&self.thread, &ids, change).await?;
        let mut own = marked.into_iter().map(|it| it.record);
        match own.find(|it| it.agent_id == self.agent) {
            Some(record) => Ok(Answer::Marked {
                notification: Box::new(record),
            }),
            None => Err(self.not_found(id)),
        }
    }

    fn not_found(&self, id: &str) -> ToolError {
        let thread = self.thread.id();
        let message = format!("Notification {id} was not found for thread {thread}");
        ToolError::fail("Error", message)
    }
}

/// How many of `records` fit into an answer.
fn fitting(records: &[NotificationRecord]) -> usize {
    let mut bytes = 0;
    let fit = records.iter().take_while(|it| {
        bytes += it.summary.len() + it.attributes.to_data().as_str().len() + 1024;
        bytes <= MAX_ANSWER
    });
    fit.count().max(1)
}
