//! What can go wrong between a command and its reply.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bowline_events::{Error, ErrorKind};

/// An error reply: its code (`WRONGTYPE`) and the rest of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl ServerError {
    /// Reads the line of an error reply. What has no code is a general error.
    pub(crate) fn from_line(line: &str) -> Self {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let is_code =
            !first.is_empty() && first.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let (code, message) = if is_code {
            (first, rest)
        } else {
            ("ERR", line)
        };
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl From<&redis::ServerError> for ServerError {
    fn from(error: &redis::ServerError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.details().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

impl StdError for ServerError {}

/// Why a command has no reply that is of use.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The connection broke, or no reply came in time: whether the command was executed is not known.
    Lost(Arc<dyn StdError + Send + Sync>),
    /// No connection could be made; nothing was sent.
    Unreachable(Arc<dyn StdError + Send + Sync>),
    /// The server refused the command, or the login.
    Server(ServerError),
    /// The server said something that the protocol does not allow.
    Protocol(String),
    /// The client is set up in a way that cannot work.
    Configuration(String),
}

impl Failure {
    /// Whether the server did not execute the command and may do so later, on this connection or on another one.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Server(error) if matches!(
            error.code.as_str(),
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "READONLY" | "BUSY" | "MOVED" | "ASK"
        ))
    }

    /// Whether another connection is needed: this one is gone, or leads to a server that is not in charge any more.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Server(error) => {
                matches!(error.code.as_str(), "READONLY" | "MASTERDOWN" | "MOVED")
            }
            _ => false,
        }
    }

    /// Whether trying to connect again cannot help: the login is refused, or the address makes no sense.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Configuration(_) => true,
            Self::Server(error) => matches!(
                error.code.as_str(),
                "WRONGPASS" | "NOAUTH" | "NOPERM" | "ERR"
            ),
            _ => false,
        }
    }

    /// The code of an error reply.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.code),
            _ => None,
        }
    }

    /// The error that users see, about `command` on `subject`.
    pub(crate) fn into_error(
        self,
        operation: &'static str,
        command: &str,
        subject: Option<&str>,
    ) -> Error {
        let (kind, message) = self.explain(command);
        let error = Error::new(kind, operation, message);
        let error = match subject {
            Some(subject) => error.with_subject(subject),
            None => error,
        };
        match self {
            Self::Lost(source) | Self::Unreachable(source) => error.with_source(Shared(source)),
            Self::Server(source) => error.with_source(source),
            Self::Protocol(_) | Self::Configuration(_) => error,
        }
    }

    fn explain(&self, command: &str) -> (ErrorKind, String) {
        match self {
            Self::Lost(_) => (
                ErrorKind::Unavailable,
                format!(
                    "the connection was lost before {command} was answered; it may have been executed"
                ),
            ),
            Self::Unreachable(_) => (
                ErrorKind::Unavailable,
                "the server cannot be reached; check the address, or try again later".to_owned(),
            ),
            Self::Server(error) => explain_reply(error, command),
            Self::Protocol(message) => (
                ErrorKind::Protocol,
                format!("{message}, in reply to {command}"),
            ),
            Self::Configuration(message) => (ErrorKind::InvalidInput, message.clone()),
        }
    }
}

fn explain_reply(error: &ServerError, command: &str) -> (ErrorKind, String) {
    let (kind, remedy) = match error.code.as_str() {
        "WRONGPASS" | "NOAUTH" => (
            ErrorKind::PermissionDenied,
            "the login was refused; check user and password",
        ),
        "NOPERM" => (
            ErrorKind::PermissionDenied,
            "the user may not do this; grant it the command and the keys (bowline doctor lists what is needed)",
        ),
        "WRONGTYPE" => (
            ErrorKind::InvalidInput,
            "the key holds something else; remove it, or choose another key prefix",
        ),
        "OOM" => (
            ErrorKind::Full,
            "the server has reached its maxmemory; raise it, or trim more",
        ),
        "CROSSSLOT" => (
            ErrorKind::Unsupported,
            "the keys are on different nodes of a cluster",
        ),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "READONLY" | "BUSY" | "MISCONF"
        | "NOREPLICAS" | "MOVED" | "ASK" => (
            ErrorKind::Unavailable,
            "the server does not take it at present; try again later",
        ),
        "ERR" if error.message.starts_with("unknown command") => (
            ErrorKind::Unsupported,
            "the server does not know this command; Redis 7.0 or newer is needed",
        ),
        _ => (ErrorKind::Protocol, "this was not expected"),
    };
    (kind, format!("{command} was refused: {error}; {remedy}"))
}

/// A cause that several errors share.
struct Shared(Arc<dyn StdError + Send + Sync>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
