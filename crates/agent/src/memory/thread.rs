//! Threads, and the records that keep them.

use bowline_events::{Text, Timestamp};
use bowline_store::{Cursor, Filter, Index, Query, Record};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Data, Error, ErrorKind, Result};

/// The version of what is written here.
const FORMAT: u32 = 1;

/// The status of a thread that is there.
pub(super) const OPEN: &str = "open";

/// The status of a thread whose parts are being removed.
pub(super) const DELETING: &str = "deleting";

/// A conversation with somebody.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Thread {
    /// Its id.
    pub id: Text,
    /// Whom it is with.
    pub resource_id: Text,
    /// What can be changed of it.
    pub details: ThreadDetails,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its details were written; messages do not count.
    pub updated_at: Timestamp,
}

/// What can be changed of a thread.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadDetails {
    /// What people know it by.
    pub title: Option<String>,
    /// What programs keep with it: an object.
    pub metadata: Option<Data>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Data>,
}

impl Thread {
    /// The thread in `record`.
    pub(super) fn read(record: &Record) -> Result<Self> {
        let damaged = |problem: String| {
            Error::new(ErrorKind::Corrupt, "read thread", problem).with_subject(record.key.clone())
        };
        let body: Body = serde_json::from_slice(&record.body)
            .map_err(|error| damaged(format!("its record is not ours: {error}")))?;
        if body.format > FORMAT {
            let format = body.format;
            return Err(damaged(format!(
                "it was written in format {format} by a newer program; this one reads {FORMAT}"
            )));
        }
        let resource_id = record.index.owner.clone();
        Ok(Self {
            id: record.key.clone(),
            resource_id: resource_id.ok_or_else(|| damaged("it belongs to nobody".into()))?,
            details: ThreadDetails {
                title: body.title,
                metadata: body.metadata,
            },
            created_at: record.index.created,
            updated_at: record.updated,
        })
    }
}

impl ThreadDetails {
    /// Only a title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self {
            title: Some(title.into()),
            metadata: None,
        }
    }

    /// The body of the record of the thread `id`.
    pub(super) fn body(&self, id: &str) -> Result<Bytes> {
        let body = Body {
            format: FORMAT,
            title: self.title.clone(),
            metadata: self.metadata.clone(),
        };
        let json = serde_json::to_vec(&body).map_err(|error| {
            let message = "its title and metadata cannot be written";
            Error::new(ErrorKind::InvalidInput, "write thread", message)
                .with_subject(id.to_owned())
                .with_source(error)
        })?;
        Ok(json.into())
    }
}

/// The index of the record of a thread.
pub(super) fn index(resource: &Text, created: Timestamp, status: &'static str) -> Index {
    Index::new(created).owner(resource.clone()).status(status)
}

/// Which threads are listed: the newest first, up to 100 unless said otherwise.
#[derive(Debug, Clone)]
pub struct ThreadQuery {
    query: Query,
}

impl ThreadQuery {
    /// All threads.
    pub fn all() -> Self {
        let filter = Filter::new().status(OPEN);
        Self {
            query: Query::new(filter),
        }
    }

    /// The threads of `resource`.
    pub fn of(resource: impl Into<Text>) -> Self {
        let mut all = Self::all();
        all.query.filter.owner = Some(resource.into());
        all
    }

    /// Up to `limit` of them; never more than [`MAX_PAGE`](bowline_store::limits::MAX_PAGE).
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.query = self.query.limit(limit);
        self
    }

    /// Those after the page that ended at `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.query = self.query.after(cursor);
        self
    }

    pub(super) fn query(&self) -> &Query {
        &self.query
    }
}

/// A part of a list of threads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadPage {
    /// The threads.
    pub threads: Vec<Thread>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<Cursor>,
}
