//! The settings of a PostgreSQL database, as a store and as a cache.

use std::path::PathBuf;
use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

use crate::{CacheRetention, PostgresServer};

/// The settings of a `postgres://` store. `None` is the default of `bowline-store`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresStoreConfig {
    /// Which server and database, and as whom.
    pub server: PostgresServer,
    /// The schema of the tables, made when it is not there. Each is a store of its own.
    pub schema: Option<String>,
    /// Connections to the server at most.
    pub max_connections: Option<usize>,
    /// How long an operation may take.
    pub timeout: Option<Duration>,
    /// Whether the connection is encrypted.
    pub sslmode: Option<PostgresSslMode>,
    /// A PEM file with the certificates that sign the server's, in place of those of the system.
    pub sslrootcert: Option<PathBuf>,
}

/// Whether the connection to a PostgreSQL server is encrypted. Where it is, the certificate is verified, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresSslMode {
    /// `disable`: never.
    Disable,
    /// `prefer`: if the server can.
    Prefer,
    /// `require`: always. `verify-ca` and `verify-full` are other names for it.
    Require,
}

impl PostgresSslMode {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" | "verify-ca" | "verify-full" => Ok(Self::Require),
            _ => Err("is no such mode; write disable, prefer or require".to_owned()),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

impl PostgresStoreConfig {
    /// The defaults, on `server`.
    pub fn new(server: PostgresServer) -> Self {
        Self {
            server,
            schema: None,
            max_connections: None,
            timeout: None,
            sslmode: None,
            sslrootcert: None,
        }
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        let refuse = |name, message: &str| {
            Err(
                Error::new(ErrorKind::InvalidInput, operation, message.to_owned())
                    .with_subject(name),
            )
        };
        if self.max_connections.is_some_and(|most| most < 2) {
            return refuse(
                "max_connections",
                "one connection reads and one writes; write 2 or more",
            );
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return refuse(
                "timeout",
                "nothing can be done in no time; write a time such as 30s",
            );
        }
        if self.sslrootcert.is_some() && self.sslmode == Some(PostgresSslMode::Disable) {
            let message = "the connection is not encrypted; write sslmode=require, or leave the certificates out";
            return refuse("sslrootcert", message);
        }
        Ok(())
    }
}

/// The settings of a `postgres://` cache: histories in a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresCacheConfig {
    /// The database that has the histories.
    pub store: PostgresStoreConfig,
    /// How much of each topic is kept.
    pub retention: CacheRetention,
}

impl PostgresCacheConfig {
    /// The defaults, on `server`.
    pub fn new(server: PostgresServer) -> Self {
        Self {
            store: PostgresStoreConfig::new(server),
            retention: CacheRetention::default(),
        }
    }
}
