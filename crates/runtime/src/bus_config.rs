//! Which bus, and how it is set up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bowline_events::{Error, Result};

use crate::options::{self, Subject};
use crate::redis_config::RedisConfig;
use crate::server::{RedisScheme, RedisServer};
use crate::suggest;
use crate::url::{self, UrlParts, invalid};

const SCHEMES: [&str; 6] = ["memory", "unix", "redis", "rediss", "valkey", "valkeys"];

/// Which bus to open, and how. Made from a URL, from a table of a file, or field by field.
///
/// ```
/// use bowline_runtime::{BusConfig, UnixConfig};
///
/// let read: BusConfig = "unix:///run/app/events.sock?max_frame_bytes=16MiB".parse()?;
/// let mut made = UnixConfig::new("/run/app/events.sock");
/// made.max_frame_bytes = Some(16 * 1024 * 1024);
/// assert_eq!(read, BusConfig::Unix(made));
/// assert_eq!(read.to_string(), "unix:///run/app/events.sock?max_frame_bytes=16MiB");
/// # Ok::<(), bowline_events::Error>(())
/// ```
///
/// `Display` writes the URL that gives the same configuration, except that user and password of a server are hidden: what was
/// printed is no URL to open. `Debug` hides them too. Text that was not parsed yet goes through
/// [`redact_url`](crate::redact_url) before it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusConfig {
    /// `memory:`, the bus of one process.
    Memory(MemoryConfig),
    /// `unix:///absolute/path.sock`, the bus of one host.
    Unix(UnixConfig),
    /// `redis://host:6379` (also `rediss`, `valkey`, `valkeys`), the bus of all hosts that reach one server.
    Redis(RedisConfig),
}

/// The settings of a `memory:` bus. `None` is the default of the bus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Bytes that all topics together may keep.
    pub max_bytes: Option<usize>,
    /// Whether events are kept for readers that come later (default: yes, by topic family).
    pub replay: Option<bool>,
}

/// The settings of a `unix:` bus. `None` is the default of `bowline-unix`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixConfig {
    /// The socket: an absolute path, 107 bytes at most.
    pub path: PathBuf,
    /// Bytes of one frame at most, without the newline.
    pub max_frame_bytes: Option<usize>,
    /// Bytes that may wait for one client before it is disconnected.
    pub max_client_queue_bytes: Option<usize>,
    /// Bytes that may wait for one client before publishers are slowed down.
    pub high_watermark: Option<usize>,
    /// Bytes that may wait in this process for the broker before publishing waits.
    pub send_window_bytes: Option<usize>,
    /// How long a subscribe waits for its acknowledgement.
    pub membership_ack_timeout: Option<Duration>,
    /// How long a publish may wait for room and for a broker.
    pub publish_deadline: Option<Duration>,
    /// How often a broker checks that the socket is still its own.
    pub path_check_interval: Option<Duration>,
    /// How long a flush and a close wait for what is queued.
    pub flush_timeout: Option<Duration>,
    /// The number of a group whose members may use the bus beside the owner.
    pub allow_group: Option<u32>,
    /// Whether a file that is no socket may be replaced.
    pub reclaim_plain_file: Option<bool>,
}

impl UnixConfig {
    /// The defaults, on the socket `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

impl BusConfig {
    /// Reads a bus URL: `memory:`, `unix:///absolute/path.sock` or `redis://user:password@host:6379/0` (also `rediss`,
    /// `valkey`, `valkeys`), with `?option=value&option=value`.
    ///
    /// Sizes are written as `65536` or `64MiB`, durations as `250ms` or `5s`, switches as `true` or `false`.
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
        let subject = Subject::bus(scheme);
        if let Some(kind) = RedisScheme::parse(scheme) {
            let mut config = RedisConfig::new(RedisServer::parse(kind, &parts)?);
            options::apply(&mut config, subject, options::REDIS, &parts, beside)?;
            config.check()?;
            return Ok(Self::Redis(config));
        }
        match scheme {
            "memory" => {
                parts.check_memory()?;
                let mut config = MemoryConfig::default();
                options::apply(&mut config, subject, options::MEMORY, &parts, beside)?;
                Ok(Self::Memory(config))
            }
            "unix" => {
                let mut config = UnixConfig::new(unix_path(&url::decode(&parts.body)?)?);
                options::apply(&mut config, subject, options::UNIX, &parts, beside)?;
                Ok(Self::Unix(config))
            }
            other => Err(invalid(format!(
                "the scheme is not known{}",
                suggest::hint(other, &SCHEMES)
            ))
            .with_subject(other)),
        }
    }

    /// The names of the options that the kind of bus called `scheme` has; `None` for a scheme that is not known.
    pub fn option_names(scheme: &str) -> Option<Vec<&'static str>> {
        match scheme {
            "memory" => Some(options::names(options::MEMORY)),
            "unix" => Some(options::names(options::UNIX)),
            other if RedisScheme::parse(other).is_some() => Some(options::names(options::REDIS)),
            _ => None,
        }
    }

    /// The scheme of the URL of this kind of bus.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Unix(_) => "unix",
            Self::Redis(config) => config.server.scheme.as_str(),
        }
    }
}

impl FromStr for BusConfig {
    type Err = Error;
    fn from_str(url: &str) -> Result<Self> {
        Self::from_url(url)
    }
}

/// The path of a `unix:` URL: `///absolute`, `/absolute`.
fn unix_path(body: &str) -> Result<PathBuf> {
    let path = match body.strip_prefix("//") {
        Some(rest) if !rest.starts_with('/') => {
            return Err(invalid(
                "the path is not absolute, and a socket has no host; write three slashes: unix:///absolute/path.sock",
            ));
        }
        Some(rest) => rest,
        None => body,
    };
    if !Path::new(path).is_absolute() || path == "/" {
        return Err(invalid(
            "there is no absolute path; write unix:///absolute/path.sock",
        ));
    }
    if path.contains('\0') {
        return Err(invalid(
            "the path contains a NUL byte; no file can be called that",
        ));
    }
    Ok(PathBuf::from(path))
}

impl fmt::Display for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(config) => {
                f.write_str("memory:")?;
                options::show(f, config, options::MEMORY)
            }
            Self::Unix(config) => {
                write!(f, "unix://{}", url::encode(&config.path.to_string_lossy()))?;
                options::show(f, config, options::UNIX)
            }
            Self::Redis(config) => {
                write!(f, "{}", config.server)?;
                options::show(f, config, options::REDIS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::ErrorKind;

    #[test]
    fn urls_are_read_and_written() {
        let table = [
            ("memory:", "memory:"),
            ("memory://", "memory:"),
            ("MEMORY:?replay=false", "memory:?replay=false"),
            ("unix:///a/b.sock", "unix:///a/b.sock"),
            ("unix:/a/b.sock", "unix:///a/b.sock"),
            (" unix:///a%20b ", "unix:///a%20b"),
            (
                "unix:///a?publish_deadline=1500ms&max_frame_bytes=1024",
                "unix:///a?max_frame_bytes=1KiB&publish_deadline=1500ms",
            ),
            ("redis://h", "redis://h"),
            ("Valkeys://[::1]:7/2", "valkeys://[::1]:7/2"),
            (
                "rediss://h?tls_ca=/etc/a%26b.pem&max_deliveries=0&max_stream_length=0",
                "rediss://h?max_stream_length=0&max_deliveries=0&tls_ca=/etc/a%26b.pem",
            ),
        ];
        for (url, shown) in table {
            let config = BusConfig::from_url(url).unwrap();
            assert_eq!(config.to_string(), shown);
            assert_eq!(BusConfig::from_url(shown).unwrap(), config, "{shown}");
        }
    }

    #[test]
    fn every_option_is_read_and_written() {
        let unix = "unix:///a?max_frame_bytes=1MiB&max_client_queue_bytes=2MiB&high_watermark=1KiB\
                    &send_window_bytes=5KiB\
                    &membership_ack_timeout=1s&publish_deadline=2s&path_check_interval=50ms&flush_timeout=3s&allow_group=100\
                    &reclaim_plain_file=false";
        let redis = "rediss://h:1/2?key_prefix=a:%40b&block=2s&max_stream_length=5&stream_idle_ttl=604800s\
                     &reclaim_interval=0s&reclaim_idle=300ms&max_deliveries=3&in_flight_timeout=60s\
                     &redelivery=group-local&redelivery_delay=500ms&dead_letters=orders.dlq&max_event_bytes=1MiB\
                     &max_in_flight=16&read_batch=100&publish_timeout=5s&sweep_idle=3600s&cluster=true&tls_ca=/etc/ca.pem";
        for (scheme, url) in [
            ("memory", "memory:?max_bytes=1MiB&replay=true"),
            ("unix", unix),
            ("rediss", redis),
        ] {
            let config = BusConfig::from_url(url).unwrap();
            assert_eq!(config.to_string(), url);
            for name in BusConfig::option_names(scheme).unwrap() {
                assert!(url.contains(&format!("{name}=")), "{name}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let table: [(&str, &[&str]); 20] = [
            ("", &["scheme", "memory:"]),
            (
                "unx:///a",
                &["\"unx\"", "did you mean \"unix\"?", "memory, unix, redis"],
            ),
            (
                "redi://u:hunter2@h",
                &["\"redi\"", "did you mean \"redis\"?", "valkeys"],
            ),
            ("redis://u:hunter2@h:x", &["port"]),
            (
                "redis://u:hunter2@h?blok=2s",
                &["a redis bus", "did you mean \"block\"?", "reclaim_idle"],
            ),
            ("valkey://u:hunter2@h?colour=1", &["a valkey bus", "known:"]),
            ("redis://h?block=2", &["\"2\"", "5s"]),
            (
                "redis://h?max_stream_length=-1",
                &["\"-1\"", "whole number"],
            ),
            ("redis://h?redelivery=never", &["republish or group-local"]),
            ("redis://h?redelivery_delay=1s", &["group-local"]),
            ("redis://h?tls_ca=/a", &["rediss://"]),
            ("memory:/a", &["memory has no path"]),
            (
                "memory:?reply=true",
                &["\"reply\"", "did you mean \"replay\"?"],
            ),
            ("memory:?replay=yes", &["\"yes\"", "true"]),
            ("unix:", &["absolute"]),
            ("unix://run/a.sock", &["three slashes"]),
            ("unix:///", &["absolute"]),
            ("unix:///a%00b", &["NUL"]),
            (
                "unix:///a?max_frame_byte=1",
                &[
                    "did you mean \"max_frame_bytes\"?",
                    "known:",
                    "publish_deadline",
                ],
            ),
            ("unix:///a?allow_group=1&allow_group=2", &["twice"]),
        ];
        for (url, parts) in table {
            let error = BusConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            for part in parts {
                assert!(text.contains(part), "{url:?}: {text}");
            }
            assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
        }
    }
}
