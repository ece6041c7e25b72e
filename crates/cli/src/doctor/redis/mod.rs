//! What the facts about a Redis or Valkey server mean for a bus, or for a cache.

mod limits;
mod reach;
mod rights;
mod storage;

use std::fmt::Display;

use bowline_events::{Error, ErrorKind};
use bowline_redis::Server;
use bowline_redis::inspect::{
    self, BUS_PREFIX, CACHE_PREFIX, Fact, Report, Role, Software, TOPIC_PREFIX, Unknown,
};
use bowline_runtime::{RedisCacheConfig, RedisConfig, RedisServer};
use serde::Serialize;

use super::finding::Finding;

/// What the judgement needs to know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) is_cache: bool,
    pub(super) is_tls: bool,
    pub(super) has_login: bool,
    pub(super) cluster: bool,
    /// What the keys begin with.
    pub(super) keys: String,
    pub(super) max_event_bytes: usize,
    /// Entries that a stream keeps, if it is trimmed.
    pub(super) max_stream_length: Option<u64>,
}

/// Bytes of one event at most where nothing else is said.
const EVENT_BYTES: usize = 64 * 1024 * 1024;

/// Entries of a stream where nothing else is said.
const STREAM_LENGTH: u64 = 10_000;

impl Wanted {
    fn of_bus(config: &RedisConfig) -> Self {
        let prefix = config.key_prefix.as_deref().unwrap_or(BUS_PREFIX);
        Self {
            is_cache: false,
            keys: format!("{prefix}:"),
            cluster: config.cluster.unwrap_or(false),
            max_event_bytes: config.max_event_bytes.unwrap_or(EVENT_BYTES),
            max_stream_length: Some(config.max_stream_length.unwrap_or(STREAM_LENGTH))
                .filter(|length| *length > 0),
            ..Self::of_server(&config.server)
        }
    }

    fn of_server(server: &RedisServer) -> Self {
        Self {
            is_cache: true,
            is_tls: server.scheme.is_tls(),
            has_login: server.password.is_some(),
            cluster: false,
            keys: String::new(),
            max_event_bytes: EVENT_BYTES,
            max_stream_length: None,
        }
    }
}

/// The server, as the report tells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenServer {
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    round_trip_micros: u64,
}

impl SeenServer {
    fn of(report: &Report) -> Self {
        let software = report.software.as_ref().ok();
        Self {
            software: software.map(reach::name),
            version: software.map(|software| software.version.clone()),
            user: report.user.as_ref().ok().cloned(),
            round_trip_micros: u64::try_from(report.round_trip.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Looks at the server of a bus.
pub(super) async fn examine_bus(config: &RedisConfig) -> (Option<SeenServer>, Vec<Finding>) {
    let server = match config.client_server() {
        Ok(server) => server,
        Err(error) => return (None, vec![refused(&error)]),
    };
    let role = Role::Bus {
        key_prefix: config.key_prefix.as_deref().unwrap_or(BUS_PREFIX),
    };
    examine(&server, role, &Wanted::of_bus(config)).await
}

/// Looks at the server of a cache.
pub(super) async fn examine_cache(config: &RedisCacheConfig) -> Vec<Finding> {
    let server = match config.client_server() {
        Ok(server) => server,
        Err(error) => return vec![refused(&error)],
    };
    let (key_prefix, topic_prefix) = (
        config.key_prefix.as_deref().unwrap_or(CACHE_PREFIX),
        config.topic_prefix.as_deref().unwrap_or(TOPIC_PREFIX),
    );
    let role = Role::Cache {
        key_prefix,
        topic_prefix,
    };
    let wanted = Wanted {
        keys: format!("{key_prefix}{topic_prefix}"),
        ..Wanted::of_server(&config.server)
    };
    examine(&server, role, &wanted).await.1
}

async fn examine(
    server: &Server,
    role: Role<'_>,
    wanted: &Wanted,
) -> (Option<SeenServer>, Vec<Finding>) {
    match inspect::inspect(server, role).await {
        Ok(report) => (Some(SeenServer::of(&report)), judge(&report, wanted)),
        Err(error) => (None, vec![refused(&error)]),
    }
}

/// Everything there is to say about the server.
fn judge(report: &Report, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = reach::judge(report, wanted);
    findings.extend(rights::judge(report, wanted));
    findings.extend(storage::judge(report, wanted));
    if !wanted.is_cache {
        findings.extend(limits::judge(report, wanted));
    }
    findings
}

fn refused(error: &Error) -> Finding {
    let remedy = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            "check that the server runs and that host and port are right: redis-cli -h HOST -p PORT ping; \
             a server with TLS wants rediss://"
        }
        ErrorKind::PermissionDenied => {
            "check user and password; in a URL they are percent-encoded: redis://user:password@host"
        }
        _ => "change what it names",
    };
    Finding::problem(super::explain(error), remedy)
}

/// The finding about something that the server does not tell.
fn unknown(what: &str, why: &Unknown) -> Finding {
    Finding::unknown(
        format!("{what} is not known; {why}"),
        "let the user ask (+info +config|get), or look it up where the server is managed",
    )
}

/// The finding about a fact, or that it is not known.
fn known<T>(fact: &Fact<T>, what: impl Display, judge: impl FnOnce(&T) -> Finding) -> Finding {
    match fact {
        Ok(value) => judge(value),
        Err(why) => unknown(&what.to_string(), why),
    }
}

#[cfg(test)]
mod testing;
