//! The error of agents: what failed, on what, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;

/// The result of an agent operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What kind of failure an [`Error`] is. Match on this, not on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An agent or a tool contradicts itself, or two have one name.
    InvalidDefinition,
    /// An argument is not acceptable.
    InvalidInput,
    /// There is no such agent, run, thread or tool call, or it has passed its retention.
    NotFound,
    /// There is one of this name already.
    AlreadyExists,
    /// The run is not in a state in which this can be done.
    WrongState,
    /// Somebody else was faster: the thing changed meanwhile.
    Conflict,
    /// A value is larger than the limit for it.
    TooLarge,
    /// The model refused the request, or what it sent makes no sense.
    Model,
    /// The model cannot be reached, is overloaded, or broke off; another attempt may succeed.
    ModelUnavailable,
    /// A tool failed.
    Tool,
    /// The application was closed.
    Closed,
    /// It did not happen in the time for it.
    Timeout,
    /// The store failed; see the source.
    Store,
    /// The bus failed; see the source.
    Bus,
    /// Stored data or an event is damaged, or was written by a newer program.
    Corrupt,
}

impl ErrorKind {
    fn phrase(self) -> &'static str {
        match self {
            Self::InvalidDefinition => "invalid definition",
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::WrongState => "wrong state",
            Self::Conflict => "conflict",
            Self::TooLarge => "too large",
            Self::Model => "model failure",
            Self::ModelUnavailable => "model unavailable",
            Self::Tool => "tool failure",
            Self::Closed => "closed",
            Self::Timeout => "timed out",
            Self::Store => "store failure",
            Self::Bus => "bus failure",
            Self::Corrupt => "damaged",
        }
    }
}

/// A failed agent operation.
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
    /// An error of `kind` in `operation` ("stream", "observe", ...), with a message that names the limit and the remedy.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Text>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            subject: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Names the thing: a run, an agent, a tool.
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

    /// What failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What it failed on.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The problem and the remedy, without what it failed on.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::ModelUnavailable | ErrorKind::Timeout => true,
            ErrorKind::Store | ErrorKind::Bus => self.cause_is_retryable(),
            _ => false,
        }
    }

    fn cause_is_retryable(&self) -> bool {
        let Some(source) = &self.0.source else {
            return false;
        };
        let bus = source.downcast_ref::<bowline_events::Error>();
        let store = source.downcast_ref::<bowline_store::Error>();
        let workflow = source.downcast_ref::<bowline_workflow::Error>();
        bus.is_some_and(bowline_events::Error::is_retryable)
            || store.is_some_and(bowline_store::Error::is_retryable)
            || workflow.is_some_and(bowline_workflow::Error::is_retryable)
    }

    /// A failure of the bus in `operation`.
    pub(crate) fn bus(operation: &'static str, source: bowline_events::Error) -> Self {
        let message = source.to_string();
        Self::new(ErrorKind::Bus, operation, message).with_source(source)
    }

    /// A failure of the engine in `operation`, of the kind that it is for an agent.
    pub(crate) fn engine(operation: &'static str, source: bowline_workflow::Error) -> Self {
        use bowline_workflow::ErrorKind as From;
        let kind = match source.kind() {
            From::InvalidDefinition => ErrorKind::InvalidDefinition,
            From::InvalidInput => ErrorKind::InvalidInput,
            From::NotFound => ErrorKind::NotFound,
            From::AlreadyExists => ErrorKind::AlreadyExists,
            From::Conflict | From::AlreadyResumed => ErrorKind::Conflict,
            From::WrongState => ErrorKind::WrongState,
            From::TooLarge => ErrorKind::TooLarge,
            From::Closed => ErrorKind::Closed,
            From::Timeout => ErrorKind::Timeout,
            From::Bus => ErrorKind::Bus,
            From::Corrupt => ErrorKind::Corrupt,
            _ => ErrorKind::Store,
        };
        let message = source.message().to_owned();
        let error = Self::new(kind, operation, message);
        let error = match source.subject() {
            Some(subject) => error.with_subject(subject.to_owned()),
            None => error,
        };
        error.with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.kind.phrase())?;
        if let Some(subject) = &self.0.subject {
            write!(f, " ({subject})")?;
        }
        write!(f, ": {}", self.0.message)
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
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

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
        let wrapped = Self::new(kind, error.operation(), error.message().to_owned());
        let wrapped = match error.subject() {
            Some(subject) => wrapped.with_subject(subject),
            None => wrapped,
        };
        wrapped.with_source(error)
    }
}
