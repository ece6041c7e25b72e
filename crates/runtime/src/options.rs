//! The options of each kind of bus, cache and store: one table that the URL, the file and the error messages are made from.

use std::fmt;
use std::path::PathBuf;

use bowline_events::{Error, ErrorKind, Result};

use crate::bus_config::{MemoryConfig, UnixConfig};
use crate::cache_config::{MemoryCacheConfig, RedisCacheConfig, UpstashCacheConfig};
use crate::postgres_config::{PostgresCacheConfig, PostgresSslMode, PostgresStoreConfig};
use crate::redis_config::{RedisConfig, RedisRedelivery};
use crate::sqlite_config::{SqliteCacheConfig, SqliteStoreConfig, SqliteSynchronous};
use crate::url::{self, UrlParts};
use crate::{Secret, suggest, value};

/// One option of a kind of bus, cache or store whose settings are a `C`.
pub(crate) struct ConfigOption<C> {
    pub(crate) name: &'static str,
    /// Takes the value in text form; the error says what is wrong with it and what to write.
    set: fn(&mut C, &str) -> Result<(), String>,
    /// The value in text form, if it was set.
    get: fn(&C) -> Option<String>,
}

/// An option that is kept in the field of its own name, of the settings or of a part of them, read by `$read` and written by
/// `$show`.
macro_rules! option {
    ($field:ident $(in $part:ident)?, $read:expr, $show:expr) => {
        ConfigOption {
            name: stringify!($field),
            set: |config, text| {
                config.$($part.)?$field = Some($read(text)?);
                Ok(())
            },
            get: |config| config.$($part.)?$field.as_ref().map($show),
        }
    };
}

macro_rules! bytes {
    ($($field:tt)+) => {
        option!($($field)+, value::bytes, |size| value::show_bytes(*size))
    };
}

macro_rules! duration {
    ($($field:tt)+) => {
        option!($($field)+, value::duration, |time| value::show_duration(*time))
    };
}

macro_rules! number {
    ($($field:tt)+) => {
        option!($($field)+, value::number, ToString::to_string)
    };
}

macro_rules! switch {
    ($($field:tt)+) => {
        option!($($field)+, value::switch, ToString::to_string)
    };
}

macro_rules! name {
    ($($field:tt)+) => {
        option!($($field)+, value::name, Clone::clone)
    };
}

macro_rules! path {
    ($($field:tt)+) => {
        option!(
            $($field)+,
            |text| value::name(text).map(PathBuf::from),
            |path| path.to_string_lossy().into_owned()
        )
    };
}

/// One of several words.
macro_rules! word {
    ($kind:ident, $($field:tt)+) => {
        option!($($field)+, $kind::parse, |word| word.as_str().to_owned())
    };
}

pub(crate) const MEMORY: &[ConfigOption<MemoryConfig>] = &[bytes!(max_bytes), switch!(replay)];

pub(crate) const UNIX: &[ConfigOption<UnixConfig>] = &[
    bytes!(max_frame_bytes),
    bytes!(max_client_queue_bytes),
    bytes!(high_watermark),
    bytes!(send_window_bytes),
    duration!(membership_ack_timeout),
    duration!(publish_deadline),
    duration!(path_check_interval),
    duration!(flush_timeout),
    number!(allow_group),
    switch!(reclaim_plain_file),
];

pub(crate) const REDIS: &[ConfigOption<RedisConfig>] = &[
    name!(key_prefix),
    duration!(block),
    number!(max_stream_length),
    duration!(stream_idle_ttl),
    duration!(reclaim_interval),
    duration!(reclaim_idle),
    number!(max_deliveries),
    duration!(in_flight_timeout),
    word!(RedisRedelivery, redelivery),
    duration!(redelivery_delay),
    name!(dead_letters),
    bytes!(max_event_bytes),
    number!(max_in_flight),
    number!(read_batch),
    duration!(publish_timeout),
    duration!(sweep_idle),
    switch!(cluster),
    path!(tls_ca),
];

pub(crate) const MEMORY_CACHE: &[ConfigOption<MemoryCacheConfig>] = &[bytes!(max_bytes)];

pub(crate) const REDIS_CACHE: &[ConfigOption<RedisCacheConfig>] = &[
    name!(key_prefix),
    name!(topic_prefix),
    duration!(ttl),
    number!(max_events),
    duration!(timeout),
    switch!(cluster),
    path!(tls_ca),
];

pub(crate) const UPSTASH_CACHE: &[ConfigOption<UpstashCacheConfig>] = &[
    option!(token, |text| value::name(text).map(Secret::new), |_| "***"
        .to_owned()),
    name!(key_prefix),
    name!(topic_prefix),
    duration!(ttl),
    number!(max_events),
    duration!(timeout),
    switch!(tls),
    path!(tls_ca),
];

pub(crate) const SQLITE_STORE: &[ConfigOption<SqliteStoreConfig>] = &[
    word!(SqliteSynchronous, synchronous),
    duration!(busy_timeout),
    bytes!(max_bytes),
];

pub(crate) const SQLITE_CACHE: &[ConfigOption<SqliteCacheConfig>] = &[
    word!(SqliteSynchronous, synchronous in store),
    duration!(busy_timeout in store),
    bytes!(max_bytes in store),
    duration!(ttl in retention),
    number!(max_events in retention),
    bytes!(max_topic_bytes in retention),
];

pub(crate) const POSTGRES_STORE: &[ConfigOption<PostgresStoreConfig>] = &[
    name!(schema),
    number!(max_connections),
    duration!(timeout),
    word!(PostgresSslMode, sslmode),
    path!(sslrootcert),
];

pub(crate) const POSTGRES_CACHE: &[ConfigOption<PostgresCacheConfig>] = &[
    name!(schema in store),
    number!(max_connections in store),
    duration!(timeout in store),
    word!(PostgresSslMode, sslmode in store),
    path!(sslrootcert in store),
    duration!(ttl in retention),
    number!(max_events in retention),
    bytes!(max_topic_bytes in retention),
];

/// What has the options: a kind of bus, of cache or of store.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    scheme: &'a str,
    noun: &'static str,
    operation: &'static str,
}

impl<'a> Subject<'a> {
    pub(crate) fn bus(scheme: &'a str) -> Self {
        Self {
            scheme,
            noun: "bus",
            operation: "bus option",
        }
    }

    pub(crate) fn cache(scheme: &'a str) -> Self {
        Self {
            scheme,
            noun: "cache",
            operation: "cache option",
        }
    }

    pub(crate) fn store(scheme: &'a str) -> Self {
        Self {
            scheme,
            noun: "store",
            operation: "store option",
        }
    }
}

/// Sets in `config` what the URL says, and what was given `beside` it.
pub(crate) fn apply<C>(
    config: &mut C,
    subject: Subject<'_>,
    options: &[ConfigOption<C>],
    parts: &UrlParts,
    beside: Vec<(String, String)>,
) -> Result<()> {
    let mut given = parts.options()?;
    given.extend(beside);
    for (position, (name, text)) in given.iter().enumerate() {
        let problem = |message: String| {
            Error::new(ErrorKind::InvalidInput, subject.operation, message).with_subject(name)
        };
        let Some(option) = options.iter().find(|option| option.name == name) else {
            let article = if subject.scheme == "upstash" {
                "an"
            } else {
                "a"
            };
            return Err(problem(format!(
                "{article} {} {} has no such option{}",
                subject.scheme,
                subject.noun,
                suggest::hint(name, &names(options))
            )));
        };
        if given[..position].iter().any(|(earlier, _)| earlier == name) {
            return Err(problem("the option is given twice; keep one".to_owned()));
        }
        (option.set)(config, text).map_err(|what| problem(format!("{text:?} {what}")))?;
    }
    Ok(())
}

pub(crate) fn names<C>(options: &[ConfigOption<C>]) -> Vec<&'static str> {
    options.iter().map(|option| option.name).collect()
}

/// An option that `mine` sets to another value than `theirs` has.
pub(crate) fn contradicting<C>(
    mine: &C,
    theirs: &C,
    options: &[ConfigOption<C>],
) -> Option<&'static str> {
    options
        .iter()
        .find(|option| {
            let value = (option.get)(mine);
            value.is_some() && value != (option.get)(theirs)
        })
        .map(|option| option.name)
}

/// Writes what is set as the options of a URL.
pub(crate) fn show<C>(
    f: &mut fmt::Formatter<'_>,
    config: &C,
    options: &[ConfigOption<C>],
) -> fmt::Result {
    let set = options
        .iter()
        .filter_map(|option| Some((option.name, (option.get)(config)?)));
    for (position, (name, text)) in set.enumerate() {
        let separator = if position == 0 { '?' } else { '&' };
        // In the URL of a server a plain @ ends the password.
        let text = url::encode(&text).replace('@', "%40");
        write!(f, "{separator}{name}={text}")?;
    }
    Ok(())
}
