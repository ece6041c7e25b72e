//! The options of the bus, and what they may be.

use std::time::Duration;

use bowline_events::{Error, ErrorKind, Result, Topic};

use crate::pubsub::RedisStreamsPubSub;
use crate::wire::{Client, ClientOptions, Server};

/// How a refused event comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Redelivery {
    /// As the reference does: a copy with the next `deliveryAttempt` is appended to the stream and the refused entry is
    /// acknowledged. Peers written in Node count the attempts too; every other group and every ungrouped reader of the topic
    /// sees the copy as well, and it comes behind what was published meanwhile.
    #[default]
    Republish,
    /// The entry stays pending and comes again, after `delay`, to a member of the same group in this process. Nobody else sees
    /// it, and nothing is written. When this process dies, other members reclaim it; the pending list counts the attempts.
    GroupLocal {
        /// The pause before the redelivery.
        delay: Duration,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) key_prefix: String,
    pub(crate) block: Duration,
    pub(crate) max_stream_length: Option<u64>,
    pub(crate) stream_idle_ttl: Option<Duration>,
    pub(crate) reclaim_interval: Option<Duration>,
    pub(crate) reclaim_idle: Duration,
    pub(crate) max_deliveries: Option<u32>,
    pub(crate) in_flight_timeout: Option<Duration>,
    pub(crate) redelivery: Redelivery,
    pub(crate) dead_letters: Option<Topic>,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) read_batch: usize,
    pub(crate) publish_timeout: Duration,
    pub(crate) sweep_idle: Option<Duration>,
    pub(crate) cluster: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key_prefix: "mastra:topic".to_owned(),
            block: Duration::from_secs(1),
            max_stream_length: Some(10_000),
            stream_idle_ttl: None,
            reclaim_interval: Some(Duration::from_secs(30)),
            reclaim_idle: Duration::from_secs(60),
            max_deliveries: Some(5),
            in_flight_timeout: None,
            redelivery: Redelivery::Republish,
            dead_letters: None,
            max_event_bytes: 64 * 1024 * 1024,
            max_in_flight: 1024,
            read_batch: 512,
            publish_timeout: Duration::from_secs(30),
            sweep_idle: None,
            cluster: false,
        }
    }
}

impl Settings {
    /// The key of the stream of `topic`.
    pub(crate) fn key(&self, topic: &str) -> String {
        let mut key = String::with_capacity(self.key_prefix.len() + 1 + topic.len());
        key.push_str(&self.key_prefix);
        key.push(':');
        key.push_str(topic);
        key
    }

    /// The key of the lease called `name`.
    pub(crate) fn lease_key(&self, name: &str) -> String {
        format!("{}:lease:{name}", self.key_prefix)
    }

    /// Refuses topics whose stream would take the place of a lease.
    pub(crate) fn check_topic(&self, operation: &'static str, topic: &str) -> Result<()> {
        if topic.starts_with("lease:") {
            let message = "names that begin with \"lease:\" belong to leases in this backend; choose another name";
            return Err(Error::new(ErrorKind::InvalidInput, operation, message).with_subject(topic));
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("block", self.block),
            ("reclaim_idle", self.reclaim_idle),
            ("publish_timeout", self.publish_timeout),
        ];
        let optional = [
            ("stream_idle_ttl", self.stream_idle_ttl),
            ("reclaim_interval", self.reclaim_interval),
            ("in_flight_timeout", self.in_flight_timeout),
            ("sweep_idle", self.sweep_idle),
        ];
        let optional =
            optional.map(|(name, value)| (name, value.unwrap_or(Duration::from_secs(1))));
        for (name, value) in positive.into_iter().chain(optional) {
            if value < Duration::from_millis(1) || value > LONGEST {
                return Err(refused(name, "must be between 1 ms and 1 year"));
            }
        }
        if self.max_deliveries == Some(0) {
            return Err(refused(
                "max_deliveries",
                "must be at least 1, or none for no limit",
            ));
        }
        if self.max_stream_length == Some(0) {
            return Err(refused(
                "max_stream_length",
                "must be at least 1, or none for no limit",
            ));
        }
        for (name, value) in [
            ("read_batch", self.read_batch),
            ("max_in_flight", self.max_in_flight),
            ("max_event_bytes", self.max_event_bytes),
        ] {
            if value == 0 {
                return Err(refused(name, "must be at least 1"));
            }
        }
        if self.in_flight_timeout.is_some() && self.reclaim_interval.is_none() {
            return Err(refused(
                "in_flight_timeout",
                "works only with a reclaim_interval, which looks for late handlers; set one",
            ));
        }
        Ok(())
    }
}

/// Longer times would overflow the clock arithmetic of the server or ours.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn refused(option: &str, message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "redis option", message).with_subject(option)
}

/// Sets up a [`RedisStreamsPubSub`].
#[derive(Debug, Clone)]
#[must_use = "call build"]
pub struct RedisStreamsPubSubBuilder {
    server: Result<Server, String>,
    settings: Settings,
}

impl RedisStreamsPubSubBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            server: Server::from_url(url).map_err(|error| error.message().to_owned()),
            settings: Settings::default(),
        }
    }

    pub(crate) fn on(server: Server) -> Self {
        Self {
            server: Ok(server),
            settings: Settings::default(),
        }
    }

    /// What all keys begin with, `mastra:topic` by default. Processes share a bus when server and prefix are the same.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.key_prefix = prefix.into();
        self
    }

    /// How long one blocking read waits on the server, 1 s by default. It costs one command per read loop and period.
    pub fn block(mut self, period: Duration) -> Self {
        self.settings.block = period;
        self
    }

    /// Entries that a stream keeps, 10,000 by default: publishing trims to about this length (`MAXLEN ~`), read or not. A
    /// reader that falls further behind loses the oldest and is told. `None` never trims.
    pub fn max_stream_length(mut self, entries: Option<u64>) -> Self {
        self.settings.max_stream_length = entries;
        self
    }

    /// When set, the server forgets a stream with all its groups this long after the last publish or subscribe. A week is a
    /// good value; `None`, the default of the reference, keeps streams for ever.
    pub fn stream_idle_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.settings.stream_idle_ttl = ttl;
        self
    }

    /// How often members of groups look for entries of dead ones, 30 s by default. `None` never looks.
    pub fn reclaim_interval(mut self, interval: Option<Duration>) -> Self {
        self.settings.reclaim_interval = interval;
        self
    }

    /// How long an entry must be pending without a sign of life before another member takes it, 60 s by default.
    pub fn reclaim_idle(mut self, idle: Duration) -> Self {
        self.settings.reclaim_idle = idle;
        self
    }

    /// Deliveries of one event to a group at most, 5 by default, crashes included. `None` sets no limit.
    pub fn max_deliveries(mut self, deliveries: Option<u32>) -> Self {
        self.settings.max_deliveries = deliveries;
        self
    }

    /// Takes events from handlers that hold them longer than this, as if they had nacked; checked at every reclaim interval.
    /// `None`, the default, waits for ever.
    pub fn in_flight_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.in_flight_timeout = timeout;
        self
    }

    /// How refused events come again, [`Redelivery::Republish`] by default.
    pub fn redelivery(mut self, redelivery: Redelivery) -> Self {
        self.settings.redelivery = redelivery;
        self
    }

    /// Where events go that were refused as often as they may, and entries that cannot be read. Without it they are logged,
    /// counted and dropped, as in the reference.
    pub fn dead_letters(mut self, topic: impl Into<Topic>) -> Self {
        self.settings.dead_letters = Some(topic.into());
        self
    }

    /// Bytes of one event as JSON at most, 64 MiB by default. Redis itself takes 512 MiB.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_event_bytes = bytes;
        self
    }

    /// Events that this process may hold unsettled per topic and group, 1,024 by default; then reading waits.
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.settings.max_in_flight = events;
        self
    }

    /// Entries that one read takes at most, 512 by default. Groups begin with 10, as the reference, and take more only while
    /// their members keep up.
    pub fn read_batch(mut self, entries: usize) -> Self {
        self.settings.read_batch = entries;
        self
    }

    /// How long an operation may wait for a server that is away, 30 s by default.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.settings.publish_timeout = timeout;
        self
    }

    /// When set, subscribing removes private groups and idle consumers without anything pending on the topic that showed no
    /// sign of life for this long: what crashed processes left behind. At least a few minutes; `None`, the default, removes
    /// nothing.
    pub fn sweep_idle(mut self, idle: Option<Duration>) -> Self {
        self.settings.sweep_idle = idle;
        self
    }

    /// Whether the server is a node of a Redis Cluster. Then every topic with ungrouped readers has a connection of its own.
    pub fn cluster(mut self, on: bool) -> Self {
        self.settings.cluster = on;
        self
    }

    /// Makes the bus. It connects when it is first used.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a value that is not acceptable.
    pub fn build(self) -> Result<RedisStreamsPubSub> {
        let server = self
            .server
            .map_err(|message| Error::new(ErrorKind::InvalidInput, "redis url", message))?;
        self.settings.check()?;
        let options = ClientOptions {
            cluster: self.settings.cluster,
            ..ClientOptions::default()
        };
        let client = Client::new(server, options);
        Ok(RedisStreamsPubSub::open(client, self.settings))
    }
}
