//! What SQLite reports, in our words.

use rusqlite::ErrorCode;

use crate::{Error, ErrorKind};

/// The error of `operation` on the database at `path`.
pub(super) fn failed(operation: &'static str, path: &str, error: rusqlite::Error) -> Error {
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Full,
            "the disk is full or the database has reached its max_bytes; make room",
        ),
        Some(ErrorCode::OutOfMemory) => (ErrorKind::Full, "SQLite has no memory"),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => (
            ErrorKind::Unavailable,
            "another process holds the database locked for longer than busy_timeout; try again",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            ErrorKind::PermissionDenied,
            "the database cannot be written; its file and its folder have to be writable for this user",
        ),
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::PermissionDenied,
            "the file cannot be opened; its folder has to exist and to be writable for this user",
        ),
        Some(ErrorCode::NotADatabase) => (
            ErrorKind::Corrupt,
            "the file is not an SQLite database; name another one",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Corrupt,
            "the database is damaged; keep a copy of the file and restore a backup",
        ),
        Some(ErrorCode::TooBig) => (ErrorKind::TooLarge, "SQLite takes no value of this size"),
        _ => (
            ErrorKind::Io,
            "SQLite failed; the cause is the source of this error",
        ),
    };
    Error::new(kind, operation, message)
        .with_subject(path.to_owned())
        .with_source(error)
}
