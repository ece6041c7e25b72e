//! The error of the bus: what failed, on what, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use crate::Text;

/// The result of a bus operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What kind of failure an [`Error`] is. Match on this, not on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bus or the subscription was closed; nothing more will happen on it.
    Closed,
    /// The event is larger than the backend takes. Nothing was sent.
    TooLarge,
    /// A limit on memory or backlog is reached; the operation was refused and nothing was lost.
    Full,
    /// An argument is not acceptable (an option, a URL, a name).
    InvalidInput,
    /// A payload is not what it claims to be (not JSON, an impossible date, the wrong type).
    InvalidPayload,
    /// The backend cannot do this; see its [`Capabilities`](crate::Capabilities).
    Unsupported,
    /// Events before the reader's position were trimmed; see [`Error::truncated`]. The subscription goes on.
    Truncated,
    /// The topic was cleared and starts again with a new generation. The subscription goes on.
    Cleared,
    /// The backend cannot be reached at present.
    Unavailable,
    /// The operation did not finish in its time.
    Timeout,
    /// The operating system or the server denies access.
    PermissionDenied,
    /// Somebody else changed the thing first.
    Conflict,
    /// The peer said something that the protocol does not allow.
    Protocol,
    /// The cache that keeps the history failed; live delivery is not affected.
    Cache,
    /// A failure of the system below (input, output) that fits no other kind.
    Io,
}

impl ErrorKind {
    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Full | Self::Unavailable | Self::Timeout | Self::Conflict | Self::Cache
        )
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::TooLarge => "too large",
            Self::Full => "limit reached",
            Self::InvalidInput => "invalid input",
            Self::InvalidPayload => "invalid payload",
            Self::Unsupported => "not supported",
            Self::Truncated => "history truncated",
            Self::Cleared => "topic cleared",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::PermissionDenied => "permission denied",
            Self::Conflict => "conflict",
            Self::Protocol => "protocol violation",
            Self::Cache => "cache failure",
            Self::Io => "i/o failure",
        }
    }
}

/// The range of a log that a reader missed; carried by [`ErrorKind::Truncated`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// The position that the reader wanted next.
    pub wanted: u64,
    /// The oldest position that is still there; reading goes on from here.
    pub first: u64,
}

/// A failed bus operation.
///
/// `Display` is one line that names the operation, the thing, the problem and the remedy; `source()` keeps the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: Option<Text>,
    message: Text,
    truncated: Option<Truncated>,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` in `operation` ("publish", "subscribe", ...), with a message that names the limit and the remedy.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Text>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            subject: None,
            message: message.into(),
            truncated: None,
            source: None,
        }))
    }

    /// The answer of a bus that was closed.
    pub(crate) fn closed(operation: &'static str, topic: &str) -> Self {
        let message = "the bus was closed; make a new one";
        Self::new(ErrorKind::Closed, operation, message).with_subject(topic)
    }

    /// The notice that events in `wanted..first` are gone.
    pub fn truncation(topic: &str, wanted: u64, first: u64) -> Self {
        let mut error = Self::new(
            ErrorKind::Truncated,
            "read",
            format!("events {wanted} to {} were trimmed before they were read; reading goes on at {first}", first.saturating_sub(1)),
        )
        .with_subject(topic);
        error.0.truncated = Some(Truncated { wanted, first });
        error
    }

    /// Names the topic, key, path or option that the error is about.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        self.0.subject = Some(subject.to_owned().into());
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

    /// Whether this is a notice inside a subscription that goes on ([`ErrorKind::Truncated`], [`ErrorKind::Cleared`],
    /// [`ErrorKind::Cache`]). Any other error is the last item of its subscription.
    pub fn is_notice(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Truncated | ErrorKind::Cleared | ErrorKind::Cache
        )
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The topic, key, path or option concerned.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The missed range, when events were trimmed before they were read.
    pub fn truncated(&self) -> Option<Truncated> {
        self.0.truncated
    }

    /// The explanation without operation and subject.
    pub fn message(&self) -> &str {
        &self.0.message
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
            .field("truncated", &self.0.truncated)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
