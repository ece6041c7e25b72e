//! Which cache keeps the history of topics, and how it is set up.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bowline_events::{Error, Result};

use crate::options::{self, Subject};
use crate::server::{RedisScheme, check_certificates};
use crate::suggest;
use crate::url::{self, UrlParts, invalid};
use crate::{
    CacheRetention, PostgresCacheConfig, PostgresServer, RedisServer, Secret, SqliteCacheConfig,
    SqliteStoreConfig, StoreConfig,
};

const SCHEMES: [&str; 9] = [
    "memory",
    "sqlite",
    "postgres",
    "postgresql",
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "upstash",
];

/// What the errors about the options of a cache call the operation.
const OPERATION: &str = "cache option";

/// Which cache to put in front of a bus, so that its topics can be resumed from any offset.
///
/// ```
/// use bowline_runtime::CacheConfig;
///
/// let cache: CacheConfig = "redis://:hunter2@localhost:6379?ttl=10m".parse()?;
/// assert_eq!(cache.scheme(), "redis");
/// // Fit to be printed, not to be opened.
/// assert_eq!(cache.to_string(), "redis://***@localhost:6379?ttl=600s");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheConfig {
    /// `memory:`, histories in this process: only what it publishes itself can be resumed, and only by itself.
    Memory(MemoryCacheConfig),
    /// `sqlite:path/to/events.db`, histories in a file, shared by the processes of this host; they survive all of them.
    Sqlite(SqliteCacheConfig),
    /// `postgres://host/database` (also `postgresql`), histories in a database, shared by processes on several hosts.
    Postgres(PostgresCacheConfig),
    /// `redis://host` and its variants, histories shared by all processes.
    Redis(RedisCacheConfig),
    /// `upstash://host`, the same histories over HTTPS.
    Upstash(UpstashCacheConfig),
}

/// The settings of a `memory:` cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCacheConfig {
    /// Bytes of all histories together; `None` is the default of the cache.
    pub max_bytes: Option<usize>,
}

/// The settings of a `redis://` cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisCacheConfig {
    /// Which server, and as whom.
    pub server: RedisServer,
    /// What every key of the cache begins with; `None` is the default of `bowline-redis`, here and below.
    pub key_prefix: Option<String>,
    /// What follows before the topic.
    pub topic_prefix: Option<String>,
    /// A history that nobody adds to for this long is forgotten; 0 keeps it.
    pub ttl: Option<Duration>,
    /// Events that a history keeps; 0 keeps all.
    pub max_events: Option<u64>,
    /// How long an operation may take.
    pub timeout: Option<Duration>,
    /// Whether the server is part of a cluster.
    pub cluster: Option<bool>,
    /// A PEM file with the certificates that sign the server's, in place of those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl RedisCacheConfig {
    /// The defaults, on `server`.
    pub fn new(server: RedisServer) -> Self {
        Self {
            server,
            key_prefix: None,
            topic_prefix: None,
            ttl: None,
            max_events: None,
            timeout: None,
            cluster: None,
            tls_ca: None,
        }
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        check_certificates(OPERATION, &self.server, self.tls_ca.as_deref())
    }
}

/// The settings of an `upstash://` cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstashCacheConfig {
    /// The name of the host, with its port if it is not that of HTTPS.
    pub host: String,
    /// The token of the REST API; without one the cache cannot be opened.
    /// [`Sources::of_process`](crate::Sources::of_process) fills in that of [`TOKEN_VARIABLE`](crate::TOKEN_VARIABLE).
    pub token: Option<Secret>,
    /// What every key of the cache begins with; `None` is the default of `bowline-redis`, here and below.
    pub key_prefix: Option<String>,
    /// What follows before the topic.
    pub topic_prefix: Option<String>,
    /// A history that nobody adds to for this long is forgotten; 0 keeps it.
    pub ttl: Option<Duration>,
    /// Events that a history keeps; 0 keeps all.
    pub max_events: Option<u64>,
    /// How long an operation may take.
    pub timeout: Option<Duration>,
    /// Whether requests are encrypted, which they are unless this says no. Only for a host that is this one.
    pub tls: Option<bool>,
    /// A PEM file with the certificates that sign the host's, in place of those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl UpstashCacheConfig {
    /// The defaults, on `host`, without a token.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            token: None,
            key_prefix: None,
            topic_prefix: None,
            ttl: None,
            max_events: None,
            timeout: None,
            tls: None,
            tls_ca: None,
        }
    }

    /// The address that requests go to.
    pub fn url(&self) -> String {
        let scheme = if self.tls == Some(false) {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{}", self.host)
    }
}

impl CacheConfig {
    /// Reads a cache URL: `memory:`, `sqlite:path/to/events.db`, `postgres://user:password@host:5432/database` (also
    /// `postgresql`), `redis://host:6379` (also `rediss`, `valkey`, `valkeys`) or `upstash://host?token=...`, with
    /// `?option=value&option=value`.
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
        let subject = Subject::cache(scheme);
        if let Some(kind) = RedisScheme::parse(scheme) {
            let mut config = RedisCacheConfig::new(RedisServer::parse(kind, &parts)?);
            options::apply(&mut config, subject, options::REDIS_CACHE, &parts, beside)?;
            config.check()?;
            return Ok(Self::Redis(config));
        }
        match scheme {
            "memory" => {
                parts.check_memory()?;
                let mut config = MemoryCacheConfig::default();
                options::apply(&mut config, subject, options::MEMORY_CACHE, &parts, beside)?;
                Ok(Self::Memory(config))
            }
            "sqlite" => {
                let store = SqliteStoreConfig::parse(&parts)?;
                let mut config = SqliteCacheConfig {
                    store,
                    retention: CacheRetention::default(),
                };
                options::apply(&mut config, subject, options::SQLITE_CACHE, &parts, beside)?;
                config.store.check(OPERATION)?;
                Ok(Self::Sqlite(config))
            }
            "postgres" | "postgresql" => {
                let mut config = PostgresCacheConfig::new(PostgresServer::parse(&parts)?);
                options::apply(
                    &mut config,
                    subject,
                    options::POSTGRES_CACHE,
                    &parts,
                    beside,
                )?;
                config.store.check(OPERATION)?;
                Ok(Self::Postgres(config))
            }
            "upstash" => {
                let mut config = UpstashCacheConfig::new(upstash_host(&parts)?);
                options::apply(&mut config, subject, options::UPSTASH_CACHE, &parts, beside)?;
                Ok(Self::Upstash(config))
            }
            other => Err(invalid(format!(
                "the scheme is not known{}",
                suggest::hint(other, &SCHEMES)
            ))
            .with_subject(other)),
        }
    }

    /// The names of the options that the kind of cache called `scheme` has; `None` for a scheme that is not known.
    pub fn option_names(scheme: &str) -> Option<Vec<&'static str>> {
        match scheme {
            "memory" => Some(options::names(options::MEMORY_CACHE)),
            "sqlite" => Some(options::names(options::SQLITE_CACHE)),
            "postgres" | "postgresql" => Some(options::names(options::POSTGRES_CACHE)),
            "upstash" => Some(options::names(options::UPSTASH_CACHE)),
            other if RedisScheme::parse(other).is_some() => {
                Some(options::names(options::REDIS_CACHE))
            }
            _ => None,
        }
    }

    /// The scheme of the URL of this kind of cache.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::Redis(config) => config.server.scheme.as_str(),
            Self::Upstash(_) => "upstash",
        }
    }

    /// The store that the histories are in, if they are in one.
    pub fn store(&self) -> Option<StoreConfig> {
        match self {
            Self::Sqlite(config) => Some(StoreConfig::Sqlite(config.store.clone())),
            Self::Postgres(config) => Some(StoreConfig::Postgres(config.store.clone())),
            _ => None,
        }
    }

    /// Fills in a token that the URL left out.
    pub(crate) fn or_token(mut self, token: Option<&Secret>) -> Self {
        if let Self::Upstash(config) = &mut self
            && config.token.is_none()
        {
            config.token = token.cloned();
        }
        self
    }
}

fn upstash_host(parts: &UrlParts) -> Result<String> {
    let host = parts.body.strip_prefix("//").unwrap_or_default();
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains('@') {
        return Err(invalid(
            "an Upstash REST address has a token, not a user and a password; write upstash://host?token=...",
        ));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    if host.is_empty() || !host.chars().all(known) {
        return Err(invalid(
            "there is no host; write upstash://name.upstash.io?token=..., with the name of the REST address",
        ));
    }
    Ok(host.to_owned())
}

impl FromStr for CacheConfig {
    type Err = Error;
    fn from_str(url: &str) -> Result<Self> {
        Self::from_url(url)
    }
}

/// The URL with user, password and token hidden. It gives the same configuration only where there was nothing to hide.
impl fmt::Display for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(config) => {
                f.write_str("memory:")?;
                options::show(f, config, options::MEMORY_CACHE)
            }
            Self::Sqlite(config) => {
                f.write_str(&config.store.place())?;
                options::show(f, config, options::SQLITE_CACHE)
            }
            Self::Postgres(config) => {
                write!(f, "{}", config.store.server)?;
                options::show(f, config, options::POSTGRES_CACHE)
            }
            Self::Redis(config) => {
                write!(f, "{}", config.server)?;
                options::show(f, config, options::REDIS_CACHE)
            }
            Self::Upstash(config) => {
                write!(f, "upstash://{}", url::encode(&config.host))?;
                options::show(f, config, options::UPSTASH_CACHE)
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
            ("memory:?max_bytes=65536", "memory:?max_bytes=64KiB"),
            ("sqlite:events.db?ttl=0s", "sqlite:events.db?ttl=0s"),
            (
                "sqlite::memory:?max_events=9",
                "sqlite::memory:?max_events=9",
            ),
            (
                "postgresql://u:p@h/d?sslmode=verify-ca",
                "postgres://***@h/d?sslmode=require",
            ),
            ("redis://u:p@h:1/2", "redis://***@h:1/2"),
            ("upstash://n.upstash.io/", "upstash://n.upstash.io"),
            ("UPSTASH://n:8443?token=x", "upstash://n:8443?token=***"),
        ];
        for (url, shown) in table {
            let config = CacheConfig::from_url(url).unwrap();
            assert_eq!(config.to_string(), shown);
            assert!(!format!("{config:?}").contains(":p@"), "{config:?}");
        }
    }

    #[test]
    fn every_option_is_read_and_written() {
        let kept = "ttl=86400s&max_events=5000&max_topic_bytes=1MiB";
        let limits = "key_prefix=a:&topic_prefix=b:&ttl=600s&max_events=5000&timeout=2s";
        let all = format!("{limits}&cluster=true&tls_ca=/etc/ca.pem");
        for (scheme, url) in [
            ("memory", "memory:?max_bytes=1MiB".to_owned()),
            (
                "sqlite",
                format!("sqlite:/a/b.db?synchronous=full&busy_timeout=5s&max_bytes=1GiB&{kept}"),
            ),
            (
                "postgres",
                format!(
                    "postgres://h:1/d?schema=app&max_connections=4&timeout=5s&sslmode=require&sslrootcert=/etc/ca.pem&{kept}"
                ),
            ),
            ("rediss", format!("rediss://h?{all}")),
            ("valkeys", format!("valkeys://h?{all}")),
            (
                "upstash",
                format!("upstash://h?token=***&{limits}&tls=true&tls_ca=/etc/ca.pem"),
            ),
        ] {
            let config = CacheConfig::from_url(&url).unwrap();
            assert_eq!((config.to_string(), config.scheme()), (url.clone(), scheme));
            for name in CacheConfig::option_names(scheme).unwrap() {
                assert!(url.contains(&format!("{name}=")), "{name}");
            }
        }
        let CacheConfig::Upstash(config) = CacheConfig::from_url("upstash://h?token=x%26").unwrap()
        else {
            panic!("another kind");
        };
        assert_eq!(config.token, Some(Secret::new("x&")));
        assert_eq!(config.url(), "https://h");
        let plain = UpstashCacheConfig {
            tls: Some(false),
            ..config
        };
        assert_eq!(plain.url(), "http://h");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let table: [(&str, &[&str]); 14] = [
            ("", &["scheme"]),
            ("unix:///a", &["\"unix\"", "upstash"]),
            ("sqlit:a.db", &["did you mean \"sqlite\"?"]),
            (
                "sqlite:a.db?tl=5s",
                &["a sqlite cache", "did you mean \"ttl\"?"],
            ),
            ("sqlite::memory:?max_bytes=1", &["max_bytes", "name a file"]),
            ("postgres://u:hunter2@h?max_connections=1", &["2 or more"]),
            ("upstsh://h", &["did you mean \"upstash\"?"]),
            ("memory:/a", &["no path"]),
            ("memory:?max_event=1", &["a memory cache", "max_bytes"]),
            ("redis://u:hunter2@h?tl=5s", &["did you mean \"ttl\"?"]),
            ("redis://h?tls_ca=/a", &["rediss://"]),
            ("upstash://?token=hunter2", &["no host"]),
            ("upstash://u:hunter2@h", &["token=..."]),
            (
                "upstash://h?tokn=hunter2",
                &["an upstash cache", "\"token\"?"],
            ),
        ];
        for (url, parts) in table {
            let error = CacheConfig::from_url(url).unwrap_err();
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
        fn a_cache_in_a_file_survives_its_url(
            path in "[^\0]{0,20}[^\0/]",
            full in proptest::option::of(any::<bool>()),
            ttl in proptest::option::of(any::<u32>()),
            max_events in proptest::option::of(any::<u64>()),
            max_topic_bytes in proptest::option::of(any::<u32>()),
        ) {
            let mut config = SqliteCacheConfig::new(path);
            config.store.synchronous = full.map(|full| match full {
                true => crate::SqliteSynchronous::Full,
                false => crate::SqliteSynchronous::Normal,
            });
            config.retention.ttl = ttl.map(|millis| Duration::from_millis(millis.into()));
            config.retention.max_events = max_events;
            config.retention.max_topic_bytes = max_topic_bytes.map(|bytes| bytes as usize);
            let config = CacheConfig::Sqlite(config);
            prop_assert_eq!(CacheConfig::from_url(&config.to_string()).unwrap(), config);
        }

        #[test]
        fn a_password_is_never_shown(user in "[a-z]{1,8}", password in "[A-Z]{8,20}", database in "[a-z]{1,8}") {
            let config = CacheConfig::from_url(&format!("postgres://{user}:{password}@h/{database}")).unwrap();
            let shown = format!("{config} {config:?}");
            prop_assert!(!shown.contains(&password), "{}", shown);
        }
    }
}
