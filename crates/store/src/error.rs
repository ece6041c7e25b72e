//! The error of the store: what failed, on what, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;

use crate::{Expect, Table};

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What kind of failure an [`Error`] is. Match on this, not on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A record or log is not as the commit expected; nothing was written. See [`Error::conflict`].
    Conflict,
    /// The store was closed; nothing more will happen on it.
    Closed,
    /// An operation is larger than the store takes; nothing was written.
    TooLarge,
    /// The disk, the database or the memory of the server is full; nothing was written.
    Full,
    /// An argument is not acceptable (a key, a URL, two operations on one record).
    InvalidInput,
    /// This store or this build cannot do it; a newer program wrote the data.
    Unsupported,
    /// The store cannot be reached at present, or another process holds it locked.
    Unavailable,
    /// The operation did not finish in its time. A commit may have been kept or not.
    Timeout,
    /// The operating system or the server denies access.
    PermissionDenied,
    /// The data is damaged, or is not a store of ours.
    Corrupt,
    /// A failure of the system below that fits no other kind. A commit may have been kept or not.
    Io,
}

impl ErrorKind {
    /// Whether the same call may succeed later without any change by the caller. Not so for a conflict: read again first.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Full | Self::Unavailable | Self::Timeout)
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Closed => "closed",
            Self::TooLarge => "too large",
            Self::Full => "no space",
            Self::InvalidInput => "invalid input",
            Self::Unsupported => "not supported",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::PermissionDenied => "permission denied",
            Self::Corrupt => "damaged",
            Self::Io => "i/o failure",
        }
    }
}

/// What a commit expected and did not find; carried by [`ErrorKind::Conflict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The table of the record or log.
    pub table: Table,
    /// The key of the record or log.
    pub key: Text,
    /// What the commit wanted to find there.
    pub expected: Expected,
    /// The version of the record that is there, or the end of the log; `None` if there is none.
    pub found: Option<u64>,
}

/// What the failed operation of a commit wanted to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// No record.
    Absent,
    /// The record in this version.
    Version(u64),
    /// A record in any version, to own a blob.
    Present,
    /// A log whose next entry gets this position.
    End(u64),
}

impl From<Expect> for Expected {
    fn from(expect: Expect) -> Self {
        match expect {
            Expect::Absent => Self::Absent,
            Expect::Version(version) => Self::Version(version),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key) = (self.table, self.key.as_str());
        match self.expected {
            Expected::Absent => write!(f, "{table} {key:?} exists already")?,
            Expected::Version(version) => write!(f, "{table} {key:?} is not in version {version}")?,
            Expected::Present => return write!(f, "{table} {key:?} does not exist"),
            Expected::End(end) => {
                let found = self.found.unwrap_or(0);
                return write!(f, "the log {table} {key:?} ends at {found}, not at {end}");
            }
        }
        match self.found {
            Some(version) => write!(f, ": it is in version {version}"),
            None => f.write_str(": it does not exist"),
        }
    }
}

/// A failed store operation.
///
/// `Display` is one line that names the operation, the thing, the problem and the remedy; `source()` keeps the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: Option<Text>,
    detail: Detail,
    source: Option<Source>,
}

/// A conflict is normal life under contention, so its words are made only when somebody reads them.
enum Detail {
    Message(Text),
    Conflict(Conflict),
}

impl Error {
    /// An error of `kind` in `operation` ("commit", "list", ...), with a message that names the limit and the remedy.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Text>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            subject: None,
            detail: Detail::Message(message.into()),
            source: None,
        }))
    }

    /// The answer to a commit that lost.
    pub fn conflicting(conflict: Conflict) -> Self {
        Self(Box::new(Inner {
            kind: ErrorKind::Conflict,
            operation: "commit",
            subject: None,
            detail: Detail::Conflict(conflict),
            source: None,
        }))
    }

    pub(crate) fn closed(operation: &'static str) -> Self {
        let message = "the store was closed; open it again";
        Self::new(ErrorKind::Closed, operation, message)
    }

    /// Names the table, key, path or option that the error is about.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Text>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The table, key, path or option concerned.
    pub fn subject(&self) -> Option<&str> {
        match (&self.0.subject, &self.0.detail) {
            (None, Detail::Conflict(conflict)) => Some(&conflict.key),
            (subject, _) => subject.as_deref(),
        }
    }

    /// What was expected and found, if the commit lost against another one.
    pub fn conflict(&self) -> Option<&Conflict> {
        match &self.0.detail {
            Detail::Conflict(conflict) => Some(conflict),
            Detail::Message(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operation)?;
        if let Some(subject) = &self.0.subject {
            write!(f, " {:?}", subject.as_str())?;
        }
        write!(f, ": {}: ", self.0.kind.phrase())?;
        match &self.0.detail {
            Detail::Message(message) => f.write_str(message),
            Detail::Conflict(conflict) => fmt::Display::fmt(conflict, f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &format_args!("{self}"))
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// For what is built on both the bus and the store; the store's error is kept as the source.
impl From<Error> for bowline_events::Error {
    fn from(error: Error) -> Self {
        use bowline_events::ErrorKind as Kind;
        let kind = match error.kind() {
            ErrorKind::Conflict => Kind::Conflict,
            ErrorKind::Closed => Kind::Closed,
            ErrorKind::TooLarge => Kind::TooLarge,
            ErrorKind::Full => Kind::Full,
            ErrorKind::InvalidInput => Kind::InvalidInput,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::Unavailable => Kind::Unavailable,
            ErrorKind::Timeout => Kind::Timeout,
            ErrorKind::PermissionDenied => Kind::PermissionDenied,
            ErrorKind::Corrupt | ErrorKind::Io => Kind::Io,
        };
        let text = match &error.0.detail {
            Detail::Message(message) => message.clone(),
            Detail::Conflict(conflict) => conflict.to_string().into(),
        };
        let mut event_error = Self::new(kind, error.operation(), text);
        if let Some(subject) = error.subject() {
            event_error = event_error.with_subject(subject);
        }
        event_error.with_source(error)
    }
}
