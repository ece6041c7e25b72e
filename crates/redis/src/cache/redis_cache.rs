//! The cache on a Redis server.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachePage, CachePosition, Error, ErrorKind, Event, EventCache, JointPublish, OpFuture, PubSub,
    Reach, Result, Topic, TopicInfo,
};

use super::detached::detached;
use super::histories::Histories;
use super::joint::OneServer;
use super::layout::Layout;
use super::store::RedisStore;
use crate::bus::Bus;
use crate::pubsub::RedisStreamsPubSub;
use crate::wire::{Client, ClientOptions, LinkOptions, Server};

/// Keeps the histories of topics on a Redis server, shared with processes written in Node.
///
/// Keys, values and the append script are those of the reference (`@mastra/redis` under `CachingPubSub` of core 1.71), so that
/// processes of both languages append to one history and replay one stream: a list `mastra:cache:pubsub:<topic>` of JSON texts
/// and its counter `mastra:cache:pubsub:<topic>:counter`. The exception are topics whose name ends in `:counter`, for
/// which the reference uses the counter of another topic: their list has `:list` behind its key, which peers do not know.
///
/// # Guarantees
/// - An append is one script: index, record and lifetime change together or not at all, and the order of the list is that of the
///   indices. It costs one round trip, and appends that are under way together share it.
/// - When the connection breaks before the server has answered, the end of the list is searched for the event, and it is appended
///   again only if it is not there.
/// - A history is named by its first record, so that readers notice when it has expired, or was cleared, and begins anew.
/// - [`CachingPubSub`](bowline_events::CachingPubSub) over a [`RedisStreamsPubSub`] on the same server and database keeps and
///   publishes an event by one script: one round trip, and the order of the stream is that of the indices.
/// - Once an operation has waited for the server in vain, further ones fail at once until it answers again, so that live delivery
///   goes on at its own pace.
/// - An element of the list that is no event is passed over with a warning; it never hides the events behind it.
///
/// # Limits
/// - A history expires `ttl` after its last event (300 s unless set), which is when attached readers lose what they have not read.
/// - Readers written in Node take the position in the list for the index. After [`trim`](EventCache::trim), or with
///   [`max_events`](RedisCacheBuilder::max_events), their offsets are shifted by what was removed.
/// - On Redis Cluster both keys of a topic are in one slot only if prefix or topic has a hash tag (`{...}`). Otherwise the cache
///   appends in two steps, as the reference does: events of different processes may stand in another order than their indices.
///   Then a read waits, for about a second at most, when events that belong before the oldest one may be on their way. It does so
///   too in the first 10 s after the server has lost a list and kept its counter, which looks the same.
///
/// ```no_run
/// use std::sync::Arc;
/// use bowline_events::{CachingPubSub, InProcessPubSub};
/// use bowline_redis::RedisCache;
/// # fn main() -> bowline_events::Result<()> {
/// let cache = RedisCache::new("redis://127.0.0.1:6379")?;
/// let bus = CachingPubSub::new(Arc::new(InProcessPubSub::new()), Arc::new(cache));
/// # drop(bus);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "RedisServerCache")]
#[derive(Clone)]
pub struct RedisCache {
    server: Server,
    histories: Arc<Histories>,
}

impl RedisCache {
    /// A cache with the default options on the server at `url`.
    ///
    /// # Errors
    /// As [`RedisCacheBuilder::build`].
    pub fn new(url: impl AsRef<str>) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Sets options before the cache is made.
    pub fn builder(url: impl AsRef<str>) -> RedisCacheBuilder {
        RedisCacheBuilder::from(
            Server::from_url(url.as_ref()).map_err(|error| error.message().to_owned()),
        )
    }

    /// As [`builder`](Self::builder), for a server with certificates of its own.
    pub fn builder_on(server: Server) -> RedisCacheBuilder {
        RedisCacheBuilder::from(Ok(server))
    }

    /// Where the cache is.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl EventCache for RedisCache {
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

    fn reach(&self) -> Reach {
        Reach::Network
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        let histories = Arc::clone(&self.histories);
        OpFuture::new(detached(async move { histories.topics().await }))
    }

    fn joint(&self, bus: &Arc<dyn PubSub>) -> Option<Arc<dyn JointPublish>> {
        let bus: &dyn Any = &**bus;
        let bus = bus.downcast_ref::<RedisStreamsPubSub>()?.bus();
        let layout = self.histories.layout.clone();
        self.is_with(bus)
            .then(|| Arc::new(OneServer::new(Arc::clone(bus), layout)) as Arc<dyn JointPublish>)
    }
}

impl RedisCache {
    /// Whether `bus` keeps its streams where this cache keeps its histories.
    fn is_with(&self, bus: &Bus) -> bool {
        let theirs = bus.client.server();
        !self.histories.is_cluster()
            && !bus.settings.cluster
            && theirs.address() == self.server.address()
            && theirs.database() == self.server.database()
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("server", &self.server)
            .field("layout", &self.histories.layout)
            .finish()
    }
}

/// Sets up a [`RedisCache`].
#[derive(Debug, Clone)]
#[must_use = "call build"]
pub struct RedisCacheBuilder {
    server: Result<Server, String>,
    layout: Layout,
    timeout: Duration,
    cluster: bool,
}

impl From<Result<Server, String>> for RedisCacheBuilder {
    fn from(server: Result<Server, String>) -> Self {
        Self {
            server,
            layout: Layout::default(),
            timeout: Duration::from_secs(5),
            cluster: false,
        }
    }
}

impl RedisCacheBuilder {
    /// What all keys begin with, `mastra:cache:` by default. Processes share a cache when server and prefixes are the same.
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

    /// How long an operation may wait for the connection, and again for the answer, 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether the server is a node of a Redis Cluster.
    pub fn cluster(mut self, on: bool) -> Self {
        self.cluster = on;
        self
    }

    /// Makes the cache. It connects when it is first used.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a value that is not acceptable.
    pub fn build(self) -> Result<RedisCache> {
        let server = self
            .server
            .map_err(|message| Error::new(ErrorKind::InvalidInput, "redis url", message))?;
        self.layout.check()?;
        check_timeout(self.timeout)?;
        let options = ClientOptions {
            connect_timeout: self.timeout,
            response_timeout: self.timeout,
            cluster: self.cluster,
        };
        let client = Client::new(server.clone(), options);
        let patience = self.timeout;
        let store = RedisStore::new(client, LinkOptions { patience });
        Ok(RedisCache {
            server,
            histories: Histories::new(Box::new(store), self.layout, self.cluster),
        })
    }
}

/// Refuses times that cannot be waited for.
pub(super) fn check_timeout(timeout: Duration) -> Result<()> {
    if timeout < Duration::from_millis(1) || timeout > Duration::from_secs(24 * 3600) {
        let message = "must be between 1 ms and 1 day";
        return Err(
            Error::new(ErrorKind::InvalidInput, "cache option", message).with_subject("timeout")
        );
    }
    Ok(())
}
