//! The settings of a Redis or Valkey bus.

use std::path::PathBuf;
use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result};

use crate::RedisServer;
use crate::server::check_certificates;

/// The settings of a `redis://`, `rediss://`, `valkey://` or `valkeys://` bus. `None` is the default of `bowline-redis`.
///
/// ```
/// use std::time::Duration;
/// use bowline_runtime::{BusConfig, RedisConfig, RedisScheme, RedisServer};
///
/// let read = BusConfig::from_url("redis://localhost:6379/0?key_prefix=shop&block=2s")?;
/// let mut server = RedisServer::new(RedisScheme::Redis, "localhost");
/// (server.port, server.database) = (Some(6379), Some(0));
/// let mut made = RedisConfig::new(server);
/// (made.key_prefix, made.block) = (Some("shop".into()), Some(Duration::from_secs(2)));
/// assert_eq!(read, BusConfig::Redis(made));
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Which server, and as whom.
    pub server: RedisServer,
    /// What the key of every stream and lease begins with.
    pub key_prefix: Option<String>,
    /// How long one read waits for events on the server.
    pub block: Option<Duration>,
    /// Entries that a stream keeps, approximately; 0 keeps all.
    pub max_stream_length: Option<u64>,
    /// A stream that nobody writes to for this long is deleted; 0 keeps it.
    pub stream_idle_ttl: Option<Duration>,
    /// How often events are taken over from members of a group that are gone; 0 never.
    pub reclaim_interval: Option<Duration>,
    /// How long a member has to be silent about an event before it is taken over.
    pub reclaim_idle: Option<Duration>,
    /// Deliveries of one event at most; 0 sets no limit.
    pub max_deliveries: Option<u32>,
    /// How long a handler may hold an event before it is taken from it; 0 for ever.
    pub in_flight_timeout: Option<Duration>,
    /// How a refused event comes again.
    pub redelivery: Option<RedisRedelivery>,
    /// How long a refused event waits, with [`RedisRedelivery::GroupLocal`].
    pub redelivery_delay: Option<Duration>,
    /// The topic that gets what was delivered too often.
    pub dead_letters: Option<String>,
    /// Bytes of one event at most.
    pub max_event_bytes: Option<usize>,
    /// Events of one group that this process may hold at a time.
    pub max_in_flight: Option<usize>,
    /// Events that one read fetches at most.
    pub read_batch: Option<usize>,
    /// How long a publish may take.
    pub publish_timeout: Option<Duration>,
    /// What crashed processes left behind is removed when it showed no sign of life for this long; 0 leaves it.
    pub sweep_idle: Option<Duration>,
    /// Whether the server is part of a cluster.
    pub cluster: Option<bool>,
    /// A PEM file with the certificates that sign the server's, in place of those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl RedisConfig {
    /// The defaults, on `server`.
    pub fn new(server: RedisServer) -> Self {
        Self {
            server,
            key_prefix: None,
            block: None,
            max_stream_length: None,
            stream_idle_ttl: None,
            reclaim_interval: None,
            reclaim_idle: None,
            max_deliveries: None,
            in_flight_timeout: None,
            redelivery: None,
            redelivery_delay: None,
            dead_letters: None,
            max_event_bytes: None,
            max_in_flight: None,
            read_batch: None,
            publish_timeout: None,
            sweep_idle: None,
            cluster: None,
            tls_ca: None,
        }
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        if self.redelivery_delay.is_some() && self.redelivery != Some(RedisRedelivery::GroupLocal) {
            let message = "only redelivery=group-local waits; add that, or leave the delay out";
            return Err(Error::new(ErrorKind::InvalidInput, "bus option", message)
                .with_subject("redelivery_delay"));
        }
        check_certificates("bus option", &self.server, self.tls_ca.as_deref())
    }
}

/// How a refused event comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisRedelivery {
    /// `republish`: as a copy at the end of the stream, which every group and every reader gets. What Node processes do.
    Republish,
    /// `group-local`: to the same group alone, after a delay.
    GroupLocal,
}

impl RedisRedelivery {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "republish" => Ok(Self::Republish),
            "group-local" => Ok(Self::GroupLocal),
            _ => Err("is no kind of redelivery; write republish or group-local".to_owned()),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Republish => "republish",
            Self::GroupLocal => "group-local",
        }
    }
}
