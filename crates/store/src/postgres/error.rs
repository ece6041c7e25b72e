//! What PostgreSQL reports, in our words.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::{Error, ErrorKind};

/// Why a batch did not happen, or why nobody knows.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of it was kept.
    Refused(tokio_postgres::Error),
    /// The connection broke, or the server did not answer in time: it was kept or not.
    Unknown(Option<tokio_postgres::Error>),
    /// There is no connection.
    Unreachable(PoolError),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(_) => Self::Refused(error),
            None => Self::Unknown(Some(error)),
        }
    }
}

impl Failure {
    /// Whether the same again may succeed at once: two transactions had waited for each other.
    pub(super) fn is_collision(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        matches!(
            error.code(),
            Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE)
        )
    }

    /// Whether it can be that of one commit among several.
    pub(super) fn is_about_one(&self) -> bool {
        matches!(self, Self::Refused(error) if classify(error).0 != ErrorKind::Unavailable)
    }

    pub(super) fn to_error(&self, operation: &'static str, place: &str) -> Error {
        let (kind, message) = match self {
            Self::Refused(error) => classify(error),
            Self::Unknown(Some(_)) => (
                ErrorKind::Io,
                "the connection broke before the server had answered; a commit may have been kept or not",
            ),
            Self::Unknown(None) => (
                ErrorKind::Timeout,
                "the server did not answer in time; a commit may have been kept or not",
            ),
            Self::Unreachable(error) => unreachable(error),
        };
        // The causes cannot be cloned, and several commits may share one.
        let cause = match self {
            Self::Refused(error) | Self::Unknown(Some(error)) => describe(error),
            Self::Unknown(None) => "no answer".to_owned(),
            Self::Unreachable(PoolError::Backend(error)) => describe(error),
            Self::Unreachable(error) => error.to_string(),
        };
        Error::new(kind, operation, message)
            .with_subject(place.to_owned())
            .with_source(cause)
    }
}

/// The error of a read or of opening.
pub(super) fn failed(operation: &'static str, place: &str, error: tokio_postgres::Error) -> Error {
    let (kind, message) = match error.as_db_error() {
        Some(_) => classify(&error),
        None => (
            ErrorKind::Unavailable,
            "the connection to the server broke; try again",
        ),
    };
    Error::new(kind, operation, message)
        .with_subject(place.to_owned())
        .with_source(error)
}

/// The error of who gets no connection.
pub(super) fn no_connection(operation: &'static str, place: &str, error: PoolError) -> Error {
    let (kind, message) = unreachable(&error);
    Error::new(kind, operation, message)
        .with_subject(place.to_owned())
        .with_source(error)
}

fn unreachable(error: &PoolError) -> (ErrorKind, &'static str) {
    match error {
        PoolError::Closed => (ErrorKind::Closed, "the store was closed; open it again"),
        PoolError::Backend(error) if error.as_db_error().is_some() => classify(error),
        PoolError::Backend(_) => (
            ErrorKind::Unavailable,
            "the server cannot be reached; where its certificate is not trusted, name it with sslrootcert=file or use \
             sslmode=disable on a trusted network",
        ),
        PoolError::Timeout(_) => (
            ErrorKind::Unavailable,
            "no connection became free in time; raise max_connections or look for slow reads",
        ),
        _ => (
            ErrorKind::Unavailable,
            "there is no connection to the server",
        ),
    }
}

fn classify(error: &tokio_postgres::Error) -> (ErrorKind, &'static str) {
    let state = error.code().map_or("", SqlState::code);
    match (state, state.get(..2).unwrap_or_default()) {
        ("53100", _) => (ErrorKind::Full, "the disk of the server is full; make room"),
        ("53200", _) => (
            ErrorKind::Full,
            "the server has no memory or no room for locks; raise max_locks_per_transaction or commit less at once",
        ),
        ("53300", _) => (
            ErrorKind::Unavailable,
            "the server takes no more connections; lower max_connections here or raise it there",
        ),
        ("57014", _) => (ErrorKind::Timeout, "the server has cancelled the statement"),
        ("25006" | "42501", _) | (_, "28") => (
            ErrorKind::PermissionDenied,
            "the server refuses this user; look at its password and its rights on the schema",
        ),
        ("3D000", _) => (
            ErrorKind::InvalidInput,
            "there is no such database; create it",
        ),
        ("55P03" | "40001" | "40P01", _) | (_, "57" | "53" | "08") => (
            ErrorKind::Unavailable,
            "the server is busy, starting or shutting down; try again",
        ),
        (_, "XX") => (ErrorKind::Corrupt, "the server reports damaged data"),
        _ => (
            ErrorKind::Io,
            "PostgreSQL failed; the cause is the source of this error",
        ),
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
