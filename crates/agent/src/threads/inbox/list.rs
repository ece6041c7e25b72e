//! Looking into an inbox.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_events::{Text, Timestamp};
use bowline_store::{Cursor, Filter, Query, Store};

use super::NOTIFICATION_RETENTION;
use super::record::{NotificationRecord, NotificationStatus};
use super::shelf::{Shelf, TOGETHER};
use crate::threads::notification::Priority;
use crate::threads::runtime::Threads;
use crate::threads::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

/// Notifications of a page unless a filter wants another number.
const PAGE: usize = 50;
/// Notifications of a page at most.
const MAX_PAGE: usize = 100;
/// Notifications that are looked at for one page.
const MAX_LOOKS: usize = 2000;

/// Which notifications are meant: everything that is set has to hold.
///
/// ```
/// use bowline_agent::threads::{NotificationFilter, NotificationStatus};
///
/// let unread = NotificationFilter::new().status(NotificationStatus::Pending).source("harbour").limit(10);
/// # drop(unread);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct NotificationFilter {
    statuses: Vec<NotificationStatus>,
    priority: Option<Priority>,
    source: Option<Text>,
    agent: Option<Text>,
    query: Option<String>,
    limit: Option<usize>,
    after: Option<Text>,
}

impl NotificationFilter {
    /// All notifications.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those with this status, or another that is said.
    pub fn status(mut self, status: NotificationStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Those that nobody has dealt with: pending and delivered.
    pub fn unread(self) -> Self {
        self.status(NotificationStatus::Pending)
            .status(NotificationStatus::Delivered)
    }

    /// Those of a priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Those of a source.
    pub fn source(mut self, source: impl Into<Text>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Those for an agent.
    pub fn agent(mut self, agent: impl Into<Text>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Those with this in their summary, kind or source, whatever the case.
    pub fn query(mut self, query: impl AsRef<str>) -> Self {
        self.query = Some(query.as_ref().to_lowercase());
        self
    }

    /// How many at most: 50 unless set, 1 to 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Those after a [page](NotificationPage::next).
    pub fn after(mut self, next: impl Into<Text>) -> Self {
        self.after = Some(next.into());
        self
    }

    fn means(&self, record: &NotificationRecord) -> bool {
        let says = |text: &str| {
            let query = self.query.as_deref();
            query.is_some_and(|query| text.to_lowercase().contains(query))
        };
        (self.statuses.is_empty() || self.statuses.contains(&record.status))
            && self.priority.is_none_or(|it| it == record.priority)
            && self.source.as_ref().is_none_or(|it| *it == record.source)
            && self.agent.as_ref().is_none_or(|it| *it == record.agent_id)
            && (self.query.is_none()
                || says(&record.summary)
                || says(&record.kind)
                || says(&record.source))
    }
}

/// Notifications, the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct NotificationPage {
    /// The records.
    pub notifications: Vec<NotificationRecord>,
    /// Where to go on, with [`NotificationFilter::after`]; `None` at the end. There is a page after one that looked through 2000
    /// notifications, even if it is empty.
    pub next: Option<Text>,
}

/// The notifications of a thread.
///
/// ```
/// # use bowline_agent::threads::{NotificationFilter, NotificationStatus, ThreadId, Threads};
/// # async fn look(threads: Threads, thread: ThreadId) -> bowline_agent::Result<()> {
/// let inbox = threads.inbox(&thread);
/// for record in inbox.list(NotificationFilter::new().unread()).await?.notifications {
///     println!("{}: {}", record.source, record.summary);
///     inbox.mark(&record.id, NotificationStatus::Seen).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Inbox {
    shelf: Shelf,
    thread: ThreadId,
}

impl Threads {
    /// The notifications of a thread.
    pub fn inbox(&self, thread: &ThreadId) -> Inbox {
        Inbox {
            shelf: self.shared().inboxes.shelf.clone(),
            thread: thread.clone(),
        }
    }
}

impl Inbox {
    /// The notifications of a thread in a store, for who has no [`Threads`]; those that it marks are kept for
    /// [`NOTIFICATION_RETENTION`].
    pub fn new(store: Arc<dyn Store>, thread: &ThreadId) -> Self {
        let retention = NOTIFICATION_RETENTION;
        Self {
            shelf: Shelf { store, retention },
            thread: thread.clone(),
        }
    }

    /// The thread.
    pub fn thread(&self) -> &ThreadId {
        &self.thread
    }

    /// A page of the notifications that `filter` means.
    ///
    /// # Errors
    /// `InvalidInput` for a place to go on that no page has said, `Store`, `Corrupt`.
    pub async fn list(&self, filter: NotificationFilter) -> Result<NotificationPage> {
        let shelf = &self.shelf;
        let limit = filter.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
        let mut stored = Filter::new();
        for status in &filter.statuses {
            stored = stored.status(status.as_str());
        }
        stored.owner.clone_from(&filter.agent);
        let mut after = filter.after.as_deref().map(place).transpose()?;
        let mut found = NotificationPage::default();
        let mut last = None;
        let mut looks = 0;
        loop {
            let query = Query::new(stored.clone()).limit(TOGETHER);
            let page = shelf.list(&self.thread, query.after(after)).await?;
            let (entries, next) = page;
            for entry in entries {
                looks += 1;
                if !filter.means(&entry.record) {
                    continue;
                }
                if found.notifications.len() == limit {
                    found.next = last;
                    return Ok(found);
                }
                let stored = entry.stored.as_ref();
                last = stored.map(|it| Cursor::after(it).to_string().into());
                found.notifications.push(entry.record);
            }
            match next {
                Some(next) if looks < MAX_LOOKS => after = Some(next),
                next => {
                    found.next = next.map(|it| it.to_string().into());
                    return Ok(found);
                }
            }
        }
    }

    /// The notification `id`.
    ///
    /// # Errors
    /// `Store`, `Corrupt`.
    pub async fn get(&self, id: &str) -> Result<Option<NotificationRecord>> {
        let shelf = &self.shelf;
        let (_, mut entries) = shelf.read(&self.thread, &[id.to_owned().into()]).await?;
        Ok(entries.pop().map(|it| it.record))
    }

    /// Says that the notification `id` was seen, dismissed, archived or discarded: one that was pending is not delivered any more,
    /// unless that is happening. Returns it as it is then.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for another status, `Conflict` when others change it all the time, `Store`.
    pub async fn mark(&self, id: &str, status: NotificationStatus) -> Result<NotificationRecord> {
        let marked = self.mark_all([id.to_owned()], status).await?;
        marked.into_iter().next().ok_or_else(|| self.missing(id))
    }

    /// As [`mark`](Self::mark) for each of `ids`, a hundred at a time; returns those that are there, each once.
    ///
    /// # Errors
    /// As there, without `NotFound`. Those before may be marked.
    pub async fn mark_all<I: Into<Text>>(
        &self,
        ids: impl IntoIterator<Item = I>,
        status: NotificationStatus,
    ) -> Result<Vec<NotificationRecord>> {
        use NotificationStatus::{Archived, Discarded, Dismissed, Seen};
        if !matches!(status, Seen | Dismissed | Archived | Discarded) {
            let message = "a notification is marked as seen, dismissed, archived or discarded";
            let error = Error::new(ErrorKind::InvalidInput, "mark notification", message);
            return Err(error.with_subject(status.as_str()));
        }
        let mut known = HashSet::new();
        let ids = ids.into_iter().map(Into::into);
        let ids: Vec<Text> = ids.filter(|id: &Text| known.insert(id.clone())).collect();
        let shelf = &self.shelf;
        let mut marked = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            let changed = shelf.change(&self.thread, ids, |entry| {
                entry.mark(status, Timestamp::now())
            });
            marked.extend(changed.await?.into_iter().map(|it| it.record));
        }
        Ok(marked)
    }

    fn missing(&self, id: &str) -> Error {
        let thread = self.thread.id();
        let message = format!("the inbox of the thread {thread} has no such notification");
        Error::new(ErrorKind::NotFound, "find notification", message).with_subject(id.to_owned())
    }
}

fn place(text: &str) -> Result<Cursor> {
    text.parse().map_err(|error: bowline_store::Error| {
        Error::new(ErrorKind::InvalidInput, "read inbox", error.to_string())
            .with_subject(text.to_owned())
            .with_source(error)
    })
}
