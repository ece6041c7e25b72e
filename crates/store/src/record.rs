//! Records: what is written by compare-and-set.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;

use crate::Table;

/// A versioned record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The kind of the record.
    pub table: Table,
    /// Its name, unique in the table.
    pub key: Text,
    /// The number of the commit that wrote it: larger than every earlier version of this key, never used twice in a store.
    pub version: u64,
    /// What the record is found by.
    pub index: Index,
    /// The content: opaque bytes, JSON by convention.
    pub body: Bytes,
    /// When the last commit wrote it.
    pub updated: Timestamp,
}

/// What a record is found by, apart from its key.
///
/// ```
/// use bowline_events::Timestamp;
/// use bowline_store::Index;
/// let now = Timestamp::now();
/// let index = Index::new(now).status("running").group("triage").due(now);
/// assert_eq!(index.status.as_deref(), Some("running"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The state that the record is in, such as `running`. At most [`MAX_INDEX_TEXT`](crate::limits::MAX_INDEX_TEXT) bytes,
    /// as `group` and `owner`.
    pub status: Option<Text>,
    /// What the record belongs to, such as the workflow of a run.
    pub group: Option<Text>,
    /// Whom the record belongs to, such as a user.
    pub owner: Option<Text>,
    /// When somebody has to look at the record; see [`Store::due`](crate::Store::due).
    pub due: Option<Timestamp>,
    /// What lists are ordered by. Keep it when the record changes.
    pub created: Timestamp,
}

impl Index {
    /// An index with nothing but the time of creation.
    pub fn new(created: Timestamp) -> Self {
        Self {
            status: None,
            group: None,
            owner: None,
            due: None,
            created,
        }
    }

    /// The same index with another status.
    #[must_use]
    pub fn status(mut self, status: impl Into<Text>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// The same index with another group.
    #[must_use]
    pub fn group(mut self, group: impl Into<Text>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The same index with another owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Text>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The same index, due at `at`, or no more.
    #[must_use]
    pub fn due(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.due = at.into();
        self
    }
}
