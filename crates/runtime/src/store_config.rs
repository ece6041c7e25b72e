//! Which store keeps what is durable, and how it is set up.

use std::fmt;
use std::str::FromStr;

use bowline_events::{Error, Result};

use crate::options::{self, Subject};
use crate::suggest;
use crate::url::{UrlParts, invalid};
use crate::{PostgresServer, PostgresStoreConfig, SqliteStoreConfig};

const SCHEMES: [&str; 4] = ["memory", "sqlite", "postgres", "postgresql"];

/// What the errors about the options of a store call the operation.
const OPERATION: &str = "store option";

/// Which store keeps what has to survive: in this process, in a SQLite file, or in a PostgreSQL database.
///
/// ```
/// use bowline_runtime::StoreConfig;
///
/// let store: StoreConfig = "postgres://app:hunter2@db.example/shop?timeout=5s".parse()?;
/// assert_eq!(store.scheme(), "postgres");
/// // Fit to be printed, not to be opened.
/// assert_eq!(store.to_string(), "postgres://***@db.example/shop?timeout=5s");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreConfig {
    /// `memory:`, gone with this process.
    Memory,
    /// `sqlite:path/to/app.db`, for the processes of one host; nothing to install.
    Sqlite(SqliteStoreConfig),
    /// `postgres://host/database` (also `postgresql`), for processes on several hosts.
    Postgres(PostgresStoreConfig),
}

impl StoreConfig {
    /// Reads a store URL: `memory:`, `sqlite:path/to/app.db`, `sqlite::memory:` or
    /// `postgres://user:password@host:5432/database`, with `?option=value&option=value`.
    ///
    /// # Errors
    /// `InvalidInput` for a scheme, an option or a value that is not known; the message names the nearest known one and the
    /// list, and never the URL itself.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_parts(url, Vec::new())
    }

    /// Reads a URL and options that were given beside it (in a file).
    pub(crate) fn from_parts(url: &str, beside: Vec<(String, String)>) -> Result<Self> {
        let parts = UrlParts::parse(url)?;
        let scheme = parts.scheme.as_str();
        let subject = Subject::store(scheme);
        match scheme {
            "memory" => {
                parts.check_memory()?;
                options::apply(&mut (), subject, &[], &parts, beside)?;
                Ok(Self::Memory)
            }
            "sqlite" => {
                let mut config = SqliteStoreConfig::parse(&parts)?;
                options::apply(&mut config, subject, options::SQLITE_STORE, &parts, beside)?;
                config.check(OPERATION)?;
                Ok(Self::Sqlite(config))
            }
            "postgres" | "postgresql" => {
                let mut config = PostgresStoreConfig::new(PostgresServer::parse(&parts)?);
                options::apply(
                    &mut config,
                    subject,
                    options::POSTGRES_STORE,
                    &parts,
                    beside,
                )?;
                config.check(OPERATION)?;
                Ok(Self::Postgres(config))
            }
            other => Err(invalid(format!(
                "the scheme is not known{}",
                suggest::hint(other, &SCHEMES)
            ))
            .with_subject(other)),
        }
    }

    /// The names of the options that the kind of store called `scheme` has; `None` for a scheme that is not known.
    pub fn option_names(scheme: &str) -> Option<Vec<&'static str>> {
        match scheme {
            "memory" => Some(Vec::new()),
            "sqlite" => Some(options::names(options::SQLITE_STORE)),
            "postgres" | "postgresql" => Some(options::names(options::POSTGRES_STORE)),
            _ => None,
        }
    }

    /// The scheme of the URL of this kind of store.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Refuses what contradicts itself; a configuration need not come from a URL.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Sqlite(config) => config.check(OPERATION),
            Self::Postgres(config) => config.check(OPERATION),
        }
    }

    /// An option that `self` sets to another value than `other`, of the same kind, has.
    pub(crate) fn contradicts(&self, other: &Self) -> Option<&'static str> {
        match (self, other) {
            (Self::Sqlite(mine), Self::Sqlite(theirs)) => {
                options::contradicting(mine, theirs, options::SQLITE_STORE)
            }
            (Self::Postgres(mine), Self::Postgres(theirs)) => {
                options::contradicting(mine, theirs, options::POSTGRES_STORE)
            }
            _ => None,
        }
    }
}

impl FromStr for StoreConfig {
    type Err = Error;
    fn from_str(url: &str) -> Result<Self> {
        Self::from_url(url)
    }
}

/// The URL with user and password hidden. It gives the same configuration only where there was nothing to hide.
impl fmt::Display for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(config) => {
                f.write_str(&config.place())?;
                options::show(f, config, options::SQLITE_STORE)
            }
            Self::Postgres(config) => {
                write!(f, "{}", config.server)?;
                options::show(f, config, options::POSTGRES_STORE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn urls_are_read_and_written() {
        let table = [
            ("memory:", "memory:"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("sqlite:app.db", "sqlite:app.db"),
            ("SQLITE:///a/b%20c.db", "sqlite:/a/b%20c.db"),
            ("sqlite:a%3Fb%25.db", "sqlite:a%3Fb%25.db"),
            (
                "sqlite:a@b.db?max_bytes=65536",
                "sqlite:a@b.db?max_bytes=64KiB",
            ),
            (
                "postgresql://h/d?sslmode=verify-full",
                "postgres://h/d?sslmode=require",
            ),
        ];
        for (url, shown) in table {
            let config = StoreConfig::from_url(url).unwrap();
            assert_eq!(config.to_string(), shown);
            assert_eq!(StoreConfig::from_url(shown).unwrap(), config, "{shown}");
        }
        let odd = StoreConfig::Sqlite(SqliteStoreConfig::new("//a/b"));
        assert_eq!(StoreConfig::from_url(&odd.to_string()).unwrap(), odd);
    }

    #[test]
    fn every_option_is_read_and_written() {
        let tables = [
            ("memory", "memory:"),
            (
                "sqlite",
                "sqlite:a.db?synchronous=full&busy_timeout=500ms&max_bytes=1GiB",
            ),
            (
                "postgres",
                "postgres://h:1/d?schema=app&max_connections=4&timeout=5s&sslmode=require&sslrootcert=/etc/ca.pem",
            ),
        ];
        for (scheme, url) in tables {
            let config = StoreConfig::from_url(url).unwrap();
            assert_eq!(
                (config.to_string().as_str(), config.scheme()),
                (url, scheme)
            );
            for name in StoreConfig::option_names(scheme).unwrap() {
                assert!(url.contains(&format!("{name}=")), "{name}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let table: [(&str, &[&str]); 19] = [
            ("app.db", &["scheme"]),
            (
                "sqlit:a.db",
                &["\"sqlit\"", "did you mean \"sqlite\"?", "postgresql"],
            ),
            ("redis://u:hunter2@h", &["\"redis\"", "known:"]),
            ("memory:?max_bytes=1", &["a memory store", "remove it"]),
            ("sqlite:", &["no file", "sqlite::memory:"]),
            ("sqlite:?synchronous=full", &["no file"]),
            ("sqlite:folder/", &["no file"]),
            ("sqlite://app.db", &["no host", "sqlite:relative/path.db"]),
            ("sqlite:a%00b", &["NUL"]),
            ("sqlite:a#b", &["%23"]),
            (
                "sqlite:a?synchronus=full",
                &["a sqlite store", "did you mean \"synchronous\"?"],
            ),
            ("sqlite:a?synchronous=off", &["\"off\"", "normal", "full"]),
            ("sqlite:a?busy_timeout=5", &["\"5\"", "5s"]),
            ("sqlite:a?max_bytes=0", &["no room"]),
            (
                "sqlite::memory:?synchronous=full",
                &["synchronous", "name a file"],
            ),
            (
                "postgres://u:hunter2@h?poolsize=1",
                &["a postgres store", "max_connections"],
            ),
            ("postgres://u:hunter2@h?max_connections=1", &["2 or more"]),
            ("postgres://u:hunter2@h?timeout=0s", &["timeout", "30s"]),
            (
                "postgres://u:hunter2@h?sslmode=disable&sslrootcert=/a",
                &["sslmode=require"],
            ),
        ];
        for (url, parts) in table {
            let error = StoreConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            for part in parts {
                assert!(text.contains(part), "{url:?}: {text}");
            }
            assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_path_survives_its_url(path in "[^\0]{0,40}[^\0/]") {
            let config = StoreConfig::Sqlite(SqliteStoreConfig::new(path));
            prop_assert_eq!(StoreConfig::from_url(&config.to_string()).unwrap(), config);
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            for scheme in ["sqlite:", "postgres:", "postgres://h/d?"] {
                let _ = StoreConfig::from_url(&format!("{scheme}{text}"));
            }
        }
    }
}
