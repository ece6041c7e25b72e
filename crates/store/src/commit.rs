//! Commits: operations that happen together or not at all.

use bowline_events::{Text, Timestamp};
use bytes::Bytes;

use crate::{Blob, BlobHash, Index, Keep, LogName, Record, Table};

/// What a commit expects of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// The record is in this version.
    Version(u64),
}

/// Operations that happen together or not at all. A record or log appears in one operation of it at most.
///
/// ```
/// use bowline_events::Timestamp;
/// use bowline_store::{Commit, Expect, Index, MemoryStore, Store, Table};
/// const RUNS: Table = Table::new("runs");
/// const STEPS: Table = Table::new("steps");
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_store::Result<()> {
/// let store = MemoryStore::new();
/// let index = Index::new(Timestamp::now()).status("running");
/// let begun = Commit::new()
///     .put(RUNS, "run-1", Expect::Absent, index.clone(), r#"{"step":0}"#)
///     .append(STEPS.log("run-1"), ["started"]);
/// let version = store.commit(begun).await?.version;
///
/// let next = Commit::new().put(RUNS, "run-1", Expect::Version(version), index.clone(), r#"{"step":1}"#);
/// store.commit(next.clone()).await?;
/// let late = store.commit(next).await.expect_err("the version has changed");
/// assert_eq!(late.conflict().map(|conflict| conflict.key.as_str()), Some("run-1"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a commit does nothing until a store takes it"]
pub struct Commit {
    operations: Vec<Operation>,
    bytes: usize,
    at: Option<Timestamp>,
}

/// One operation of a [`Commit`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// Writes a record as a whole.
    Put {
        /// Its table.
        table: Table,
        /// Its key.
        key: Text,
        /// What has to be there now.
        expect: Expect,
        /// What it is found by from now on.
        index: Index,
        /// Its content from now on.
        body: Bytes,
    },
    /// Deletes a record, and releases the blobs that it owns.
    Delete {
        /// Its table.
        table: Table,
        /// Its key.
        key: Text,
        /// The version that has to be there now.
        version: u64,
    },
    /// Changes nothing; the commit fails unless the record is as expected.
    Check {
        /// Its table.
        table: Table,
        /// Its key.
        key: Text,
        /// What has to be there now.
        expect: Expect,
    },
    /// Appends to a log, which begins with its first append.
    Append {
        /// The log.
        log: LogName,
        /// The position that the first of the entries has to get, if it matters. A log that does not exist ends at 0.
        end: Option<u64>,
        /// The entries.
        entries: Vec<Bytes>,
        /// What stays in the log afterwards.
        keep: Keep,
    },
    /// Forgets the beginning of a log. Nothing happens if there is no such log.
    Trim {
        /// The log.
        log: LogName,
        /// What stays.
        keep: Keep,
    },
    /// Forgets a log. Nothing happens if there is no such log.
    DropLog {
        /// The log.
        log: LogName,
        /// The position that its next entry would have to get, if it matters.
        end: Option<u64>,
    },
    /// Stores a blob for a record, which has to exist when the commit is done. Nothing happens if the record owns it already.
    PutBlob {
        /// The table of the owner.
        table: Table,
        /// The key of the owner.
        key: Text,
        /// The blob.
        blob: Blob,
    },
    /// Releases a blob for one owner. It is gone when its last owner has released it. Nothing happens if the record does not
    /// own it.
    DropBlob {
        /// The table of the owner.
        table: Table,
        /// The key of the owner.
        key: Text,
        /// The blob.
        hash: BlobHash,
    },
}

impl Operation {
    /// The table that it touches.
    pub fn table(&self) -> Table {
        match self {
            Self::Put { table, .. }
            | Self::Delete { table, .. }
            | Self::Check { table, .. }
            | Self::PutBlob { table, .. }
            | Self::DropBlob { table, .. } => *table,
            Self::Append { log, .. } | Self::Trim { log, .. } | Self::DropLog { log, .. } => {
                log.table
            }
        }
    }

    /// The key of the record, log or owner that it is about.
    pub fn key(&self) -> &Text {
        match self {
            Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Check { key, .. }
            | Self::PutBlob { key, .. }
            | Self::DropBlob { key, .. } => key,
            Self::Append { log, .. } | Self::Trim { log, .. } | Self::DropLog { log, .. } => {
                &log.key
            }
        }
    }

    /// What it adds to [`Commit::bytes`].
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Put { index, body, .. } => {
                let texts = [&index.status, &index.group, &index.owner];
                let texts = texts.into_iter().flatten().map(|text| text.len());
                body.len() + texts.sum::<usize>()
            }
            Self::Append { entries, .. } => entries.iter().map(Bytes::len).sum(),
            Self::PutBlob { blob, .. } => blob.bytes().len(),
            _ => 0,
        };
        self.key().len() + content
    }
}

impl Commit {
    /// A commit without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record as a whole if `expect` holds.
    pub fn put(
        self,
        table: Table,
        key: impl Into<Text>,
        expect: Expect,
        index: Index,
        body: impl Into<Bytes>,
    ) -> Self {
        self.with(Operation::Put {
            table,
            key: key.into(),
            expect,
            index,
            body: body.into(),
        })
    }

    /// Writes the successor of `record`, as it was read.
    pub fn replace(self, record: &Record, index: Index, body: impl Into<Bytes>) -> Self {
        let expect = Expect::Version(record.version);
        self.put(record.table, record.key.clone(), expect, index, body)
    }

    /// Deletes a record if it is in `version`.
    pub fn delete(self, table: Table, key: impl Into<Text>, version: u64) -> Self {
        let key = key.into();
        self.with(Operation::Delete {
            table,
            key,
            version,
        })
    }

    /// Lets the commit happen only if `expect` holds.
    pub fn check(self, table: Table, key: impl Into<Text>, expect: Expect) -> Self {
        let key = key.into();
        self.with(Operation::Check { table, key, expect })
    }

    /// Appends entries to a log.
    pub fn append<E: Into<Bytes>>(
        self,
        log: LogName,
        entries: impl IntoIterator<Item = E>,
    ) -> Self {
        self.with(Operation::Append {
            log,
            end: None,
            entries: entries.into_iter().map(Into::into).collect(),
            keep: Keep::default(),
        })
    }

    /// Appends entries to a log if its next position is `end`.
    pub fn append_at<E: Into<Bytes>>(
        self,
        log: LogName,
        end: u64,
        entries: impl IntoIterator<Item = E>,
    ) -> Self {
        self.with(Operation::Append {
            log,
            end: Some(end),
            entries: entries.into_iter().map(Into::into).collect(),
            keep: Keep::default(),
        })
    }

    /// Appends entries to a log, and forgets its beginning as far as `keep` says.
    pub fn append_within<E: Into<Bytes>>(
        self,
        log: LogName,
        entries: impl IntoIterator<Item = E>,
        keep: Keep,
    ) -> Self {
        self.with(Operation::Append {
            log,
            end: None,
            entries: entries.into_iter().map(Into::into).collect(),
            keep,
        })
    }

    /// Forgets the beginning of a log.
    pub fn trim(self, log: LogName, keep: Keep) -> Self {
        self.with(Operation::Trim { log, keep })
    }

    /// Forgets a log.
    pub fn drop_log(self, log: LogName) -> Self {
        self.with(Operation::DropLog { log, end: None })
    }

    /// Forgets a log if its next position is `end`.
    pub fn drop_log_at(self, log: LogName, end: u64) -> Self {
        let end = Some(end);
        self.with(Operation::DropLog { log, end })
    }

    /// Stores a blob for the record `key`, which has to exist when the commit is done.
    pub fn put_blob(self, table: Table, key: impl Into<Text>, blob: Blob) -> Self {
        let key = key.into();
        self.with(Operation::PutBlob { table, key, blob })
    }

    /// Releases a blob of the record `key`. Deleting the record releases all that it owns.
    pub fn drop_blob(self, table: Table, key: impl Into<Text>, hash: BlobHash) -> Self {
        let key = key.into();
        self.with(Operation::DropBlob { table, key, hash })
    }

    /// One more operation.
    pub fn with(mut self, operation: Operation) -> Self {
        self.bytes = self.bytes.saturating_add(operation.bytes());
        self.operations.push(operation);
        self
    }

    /// Says when the commit happens, for `updated` and the age of log entries, instead of the clock of this machine.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }

    /// The operations in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations, to take apart.
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    /// Bytes of keys, index texts, bodies, entries and blobs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the commit happens: what [`at`](Self::at) said, or now.
    pub fn time(&self) -> Timestamp {
        self.at.unwrap_or_else(Timestamp::now)
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The number of the commit: the version of every record that it wrote.
    pub version: u64,
    /// Where the entries of each append landed, in the order of the append operations.
    pub appended: Vec<Appended>,
}

/// Where the entries of an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first of them.
    pub first: u64,
    /// The position that the next entry will get.
    pub end: u64,
    /// The number of the commit that began the log.
    pub born: u64,
}
