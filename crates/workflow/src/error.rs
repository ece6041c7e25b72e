//! The error of workflows: what failed, on what, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;

/// The result of a workflow operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What kind of failure an [`Error`] is. Match on this, not on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A definition contradicts itself: an id twice, a step that cannot be reached, types that do not meet.
    InvalidDefinition,
    /// An argument is not acceptable.
    InvalidInput,
    /// There is no such run, workflow, step or schedule, or it has passed its retention.
    NotFound,
    /// There is one of this name already.
    AlreadyExists,
    /// Somebody else was faster: the thing changed meanwhile. Read again first.
    Conflict,
    /// The run was resumed by somebody else. The code is that of the reference, `WORKFLOW_RESUME_ALREADY_CLAIMED`.
    AlreadyResumed,
    /// The run is not in a state in which this can be done.
    WrongState,
    /// A value is larger than the limit for it.
    TooLarge,
    /// The engine or scheduler was closed.
    Closed,
    /// It did not happen in the time for it.
    Timeout,
    /// The store failed; see the source.
    Store,
    /// The bus failed; see the source.
    Bus,
    /// The data of a run or schedule is damaged, or was written by a newer program.
    Corrupt,
}

impl ErrorKind {
    fn phrase(self) -> &'static str {
        match self {
            Self::InvalidDefinition => "invalid definition",
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::Conflict => "conflict",
            Self::AlreadyResumed => "already resumed",
            Self::WrongState => "wrong state",
            Self::TooLarge => "too large",
            Self::Closed => "closed",
            Self::Timeout => "timed out",
            Self::Store => "store failure",
            Self::Bus => "bus failure",
            Self::Corrupt => "damaged",
        }
    }
}

/// A failed workflow operation.
///
/// `Display` is one line that names the operation, the thing, the problem and the remedy; `source()` keeps the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: Option<Text>,
    message: Text,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` in `operation` ("resume", "build", ...), with a message that names the limit and the remedy.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Text>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            subject: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Names the run, workflow, step or schedule that the error is about.
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

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Timeout => true,
            ErrorKind::Store | ErrorKind::Bus => self.cause_is_retryable(),
            _ => false,
        }
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The run, workflow, step or schedule that it is about.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The problem and the remedy, without operation and subject.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The error code of the reference, where it has one for this.
    pub fn code(&self) -> Option<&'static str> {
        match self.0.kind {
            ErrorKind::AlreadyResumed => Some("WORKFLOW_RESUME_ALREADY_CLAIMED"),
            _ => None,
        }
    }

    /// A failure of the store during `operation`. A conflict stays one.
    pub(crate) fn store(operation: &'static str, error: bowline_store::Error) -> Self {
        let kind = match error.kind() {
            bowline_store::ErrorKind::Conflict => ErrorKind::Conflict,
            bowline_store::ErrorKind::Closed => ErrorKind::Closed,
            bowline_store::ErrorKind::TooLarge => ErrorKind::TooLarge,
            _ => ErrorKind::Store,
        };
        let message = error.to_string();
        Self::new(kind, operation, message).with_source(error)
    }

    fn cause_is_retryable(&self) -> bool {
        let Some(source) = &self.0.source else {
            return false;
        };
        if let Some(error) = source.downcast_ref::<bowline_store::Error>() {
            return error.is_retryable();
        }
        source
            .downcast_ref::<bowline_events::Error>()
            .is_some_and(bowline_events::Error::is_retryable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if let Some(subject) = &self.0.subject {
            write!(f, " {:?}", subject.as_str())?;
        }
        write!(f, ": {}: {}", self.0.kind.phrase(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("subject", &self.0.subject)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// For programs that have one kind of error for all of Bowline.
impl From<Error> for bowline_events::Error {
    fn from(error: Error) -> Self {
        use bowline_events::ErrorKind as Kind;
        let kind = match error.kind() {
            ErrorKind::InvalidDefinition
            | ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::WrongState => Kind::InvalidInput,
            ErrorKind::TooLarge => Kind::TooLarge,
            ErrorKind::Closed => Kind::Closed,
            ErrorKind::Timeout => Kind::Timeout,
            _ if error.is_retryable() => Kind::Unavailable,
            _ => Kind::Io,
        };
        let message = error.message().to_owned();
        let mut wrapped = Self::new(kind, error.operation(), message);
        if let Some(subject) = error.subject() {
            wrapped = wrapped.with_subject(subject);
        }
        wrapped.with_source(error)
    }
}
