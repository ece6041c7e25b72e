//! The cache on a Redis server that is reached over HTTPS.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachePage, CachePosition, Error, ErrorKind, Event, EventCache, OpFuture, Result, Topic,
    TopicInfo,
};

use super::address::Address;
use super::http::Http;
use super::store::RestStore;
use crate::cache::detached::detached;
use crate::cache::histories::Histories;
use crate::cache::layout::Layout;
use crate::cache::redis_cache::check_timeout;

/// Keeps the histories of topics on a Redis server behind the REST API of Upstash.
///
/// Keys, values and script are those of [`RedisCache`](crate::RedisCache): a process that reaches the same database as a Redis
/// server, and processes written in Node, share the histories. All guarantees and limits are the same.
///
/// # Round trips
/// One request with appends is under way at a time; appends that are called meanwhile go together in the next one (1,000 of them
/// or 768 KiB at most), in the order in which they were called. A stream of chunks costs one round trip per batch. Up to eight
/// reads are under way beside it. Subscribers ask it when they begin and when they miss something, and not
/// [from time to time](bowline_events::CachingPubSub::poll): requests are paid for.
///
/// # Failures
/// - A request that was not executed (no connection, too many requests) is sent again after a pause, within the timeout.
/// - When an answer is lost, the end of the history is searched for the event before it is appended again.
/// - A wrong token is `PermissionDenied`; a limit of the service that stays reached is `Unavailable`.
///
/// The address is `https://`. `http://` is accepted for addresses of this machine only, for tests and local proxies. Proxies named
/// in the environment are not used.
///
/// ```no_run
/// use std::sync::Arc;
/// use bowline_events::{CachingPubSub, InProcessPubSub};
/// use bowline_redis::UpstashCache;
/// # fn main() -> bowline_events::Result<()> {
/// let cache = UpstashCache::new("https://eu1-name-12345.upstash.io", "token of the REST API")?;
/// let bus = CachingPubSub::new(Arc::new(InProcessPubSub::new()), Arc::new(cache));
/// # drop(bus);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "UpstashServerCache")]
#[derive(Clone)]
pub struct UpstashCache {
    address: Address,
    histories: Arc<Histories>,
}

impl UpstashCache {
    /// A cache with the default options behind the REST API at `url`.
    ///
    /// # Errors
    /// As [`UpstashCacheBuilder::build`].
    pub fn new(url: impl AsRef<str>, token: impl AsRef<str>) -> Result<Self> {
        Self::builder(url, token).build()
    }

    /// Sets options before the cache is made.
    pub fn builder(url: impl AsRef<str>, token: impl AsRef<str>) -> UpstashCacheBuilder {
        let address = Address::new(url.as_ref(), token.as_ref());
        UpstashCacheBuilder {
            address: address.map_err(|error| (error.operation(), error.message().to_owned())),
            layout: Layout::default(),
            timeout: Duration::from_secs(10),
            ca_pem: None,
        }
    }
}

impl EventCache for UpstashCache {
    fn append<'a>(&'a self, topic: &'a Topic, event: Event) -> OpFuture<'a, CachePosition> {
        OpFuture::new(self.histories.append(topic, event))
    }

    fn read(&self, topic: &Topic, from: u64, limit: usize) -> OpFuture<'static, CachePage> {
        let (histories, topic) = (Arc::clone(&self.histories), topic.clone());
        OpFuture::new(detached(async move {
            histories.read(&topic, from, limit).await
        }))
    }

    fn clear<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        OpFuture::new(self.histories.clear(topic))
    }

    fn trim<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        OpFuture::new(self.histories.trim(topic, before))
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        let histories = Arc::clone(&self.histories);
        OpFuture::new(detached(async move { histories.topics().await }))
    }
}

impl fmt::Debug for UpstashCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstashCache")
            .field("address", &self.address)
            .field("layout", &self.histories.layout)
            .finish()
    }
}

/// Sets up an [`UpstashCache`].
#[derive(Debug, Clone)]
#[must_use = "call build"]
pub struct UpstashCacheBuilder {
    address: Result<Address, (&'static str, String)>,
    layout: Layout,
    timeout: Duration,
    ca_pem: Option<Vec<u8>>,
}

impl UpstashCacheBuilder {
    /// What all keys begin with, `mastra:cache:` by default. Processes share a cache when database and prefixes are the same.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.layout.key_prefix = prefix.into();
        self
    }

    /// What comes between the key prefix and the topic, `pubsub:` by default.
    pub fn topic_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.layout.topic_prefix = prefix.into();
        self
    }

    /// How long a history is kept after its last event, 300 s by default; rounded up to whole seconds. `None` keeps it until it
    /// is cleared. Peers renew the lifetime with their own value, so it should be the same everywhere.
    pub fn ttl(mut self, ttl: Option<Duration>) -> Self {
        self.layout.ttl = ttl;
        self
    }

    /// Events that a history keeps at most. `None`, the default, keeps all: readers written in Node see shifted offsets in a
    /// history that was shortened.
    pub fn max_events(mut self, events: Option<u64>) -> Self {
        self.layout.max_events = events;
        self
    }

    /// How long a request may take, and how long an operation may wait for a service that takes none, 10 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts the certificate authorities in the PEM text `pem`, instead of those of the system.
    pub fn tls_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// As [`tls_ca_pem`](Self::tls_ca_pem), from a file.
    ///
    /// # Errors
    /// `InvalidInput` when the file cannot be read.
    pub fn tls_ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|error| {
            let message = "the file with the certificate authorities cannot be read";
            Error::new(ErrorKind::InvalidInput, "cache option", message)
                .with_subject(&path.display().to_string())
                .with_source(error)
        })?;
        Ok(self.tls_ca_pem(pem))
    }

    /// Makes the cache. It connects when it is first used, which must be inside of a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for a URL, a token or a value that is not acceptable. Neither repeats the token.
    pub fn build(self) -> Result<UpstashCache> {
        let address = self.address.map_err(|(operation, message)| {
            Error::new(ErrorKind::InvalidInput, operation, message)
        })?;
        self.layout.check()?;
        check_timeout(self.timeout)?;
        let http = Http::new(address.clone(), self.timeout, self.ca_pem);
        let store = RestStore::new(http, self.timeout);
        Ok(UpstashCache {
            address,
            histories: Histories::new(Box::new(store), self.layout, false),
        })
    }
}
