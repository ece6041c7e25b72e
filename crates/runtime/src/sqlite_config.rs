//! The settings of a SQLite database, as a store and as a cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

use crate::CacheRetention;
use crate::url::{self, UrlParts, invalid};

/// What the path of a database in memory is called.
const IN_MEMORY: &str = ":memory:";

/// The settings of a `sqlite:` store. `None` is the default of `bowline-store`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteStoreConfig {
    /// The file, made when it is not there; relative to the working folder if it is not absolute. `:memory:` is a database that
    /// nobody else sees and that ends with its last handle.
    pub path: PathBuf,
    /// What a commit survives once it was reported.
    pub synchronous: Option<SqliteSynchronous>,
    /// How long to wait for another process that writes.
    pub busy_timeout: Option<Duration>,
    /// The size of the file at which nothing more is kept.
    pub max_bytes: Option<usize>,
}

/// What a reported commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteSynchronous {
    /// `normal`: the end of the process. A loss of power may cost the last commits, in order.
    Normal,
    /// `full`: a loss of power as well.
    Full,
}

impl SqliteSynchronous {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "normal" => Ok(Self::Normal),
            "full" => Ok(Self::Full),
            _ => Err(
                "is no such promise; write normal (kept when the process dies) or full (kept when the power fails)"
                    .to_owned(),
            ),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Full => "full",
        }
    }
}

impl SqliteStoreConfig {
    /// The defaults, in the file `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: None,
            busy_timeout: None,
            max_bytes: None,
        }
    }

    /// Whether the database is in memory, and so ends with its process.
    pub fn is_in_memory(&self) -> bool {
        self.path == Path::new(IN_MEMORY)
    }

    /// Reads what stands between the scheme and the options.
    pub(crate) fn parse(parts: &UrlParts) -> Result<Self> {
        let body = url::decode(&parts.body)?;
        let path = match body.strip_prefix("//") {
            Some(rest) if !rest.starts_with('/') => {
                return Err(invalid(
                    "a file has no host; write sqlite:relative/path.db or sqlite:/absolute/path.db",
                ));
            }
            Some(rest) => rest,
            None => &body,
        };
        if path.is_empty() || path.ends_with('/') {
            return Err(invalid(
                "there is no file; write sqlite:path/to/events.db, or sqlite::memory: for a database in memory",
            ));
        }
        if path.contains('\0') {
            return Err(invalid(
                "the path contains a NUL byte; no file can be called that",
            ));
        }
        Ok(Self::new(path))
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        let given = [
            ("synchronous", self.synchronous.is_some()),
            ("busy_timeout", self.busy_timeout.is_some()),
            ("max_bytes", self.max_bytes.is_some()),
        ];
        let refuse = |name, message: &str| {
            Err(
                Error::new(ErrorKind::InvalidInput, operation, message.to_owned())
                    .with_subject(name),
            )
        };
        if let Some((name, _)) = given
            .iter()
            .find(|(_, given)| *given && self.is_in_memory())
        {
            return refuse(
                *name,
                "a database in memory has no file; leave it out, or name a file",
            );
        }
        if self.max_bytes == Some(0) {
            return refuse("max_bytes", "0 leaves no room; leave it out for no limit");
        }
        Ok(())
    }

    /// The URL without options.
    pub(crate) fn place(&self) -> String {
        let path = self.path.to_string_lossy();
        // Two slashes would begin a host.
        let path = match path.strip_prefix("//") {
            Some(rest) => format!("/{}", rest.trim_start_matches('/')).into(),
            None => path,
        };
        format!("sqlite:{}", url::encode(&path))
    }
}

/// The settings of a `sqlite:` cache: histories in a SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteCacheConfig {
    /// The database that has the histories.
    pub store: SqliteStoreConfig,
    /// How much of each topic is kept.
    pub retention: CacheRetention,
}

impl SqliteCacheConfig {
    /// The defaults, in the file `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            store: SqliteStoreConfig::new(path),
            retention: CacheRetention::default(),
        }
    }
}
