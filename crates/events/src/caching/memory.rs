//! The cache of one process.

use crate::in_process::InProcessPubSub;
use crate::{
    CachePage, CachePosition, Event, EventCache, InProcessPubSubBuilder, OpFuture, PubSub,
    Retention, Topic, TopicFamily, TopicInfo,
};

/// Keeps histories in the memory of this process, within the retention of each topic's family and a budget for all topics.
///
/// Plain topics, of which the in-process bus keeps little, get the retention of streams here: who wraps a bus in a cache
/// wants its topics replayed.
///
/// ```
/// use bowline_events::MemoryCache;
/// let cache = MemoryCache::new();
/// let small = MemoryCache::with_max_bytes(16 * 1024 * 1024);
/// # drop((cache, small));
/// ```
#[doc(alias = "InMemoryServerCache")]
#[derive(Debug, Clone)]
pub struct MemoryCache {
    log: InProcessPubSub,
}

impl MemoryCache {
    /// A cache with the default budget of 512 MiB.
    pub fn new() -> Self {
        Self::from_builder(InProcessPubSub::builder())
    }

    /// A cache that keeps at most `bytes` bytes of events. Beyond it whole histories are dropped, the longest untouched first.
    pub fn with_max_bytes(bytes: usize) -> Self {
        Self::from_builder(InProcessPubSub::builder().max_bytes(bytes))
    }

    /// A cache that keeps `retention` of every topic, and at most `bytes` bytes in all.
    pub fn with_retention(retention: Retention, bytes: usize) -> Self {
        let builder = InProcessPubSub::builder().max_bytes(bytes);
        let builder = TopicFamily::ALL
            .into_iter()
            .fold(builder, |builder, family| {
                builder.retention(family, retention)
            });
        Self {
            log: builder.build(),
        }
    }

    fn from_builder(builder: InProcessPubSubBuilder) -> Self {
        Self {
            log: builder
                .retention(TopicFamily::Plain, TopicFamily::Stream.retention())
                .build(),
        }
    }

    /// Bytes of all events kept.
    pub fn bytes(&self) -> usize {
        self.log.bytes()
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl EventCache for MemoryCache {
    fn append<'a>(&'a self, topic: &'a Topic, event: Event) -> OpFuture<'a, CachePosition> {
        OpFuture::ready(self.log.append_indexed(topic, event))
    }

    fn read(&self, topic: &Topic, from: u64, limit: usize) -> OpFuture<'static, CachePage> {
        OpFuture::ready(Ok(self.log.page(topic, from, limit)))
    }

    fn clear<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.log.clear_topic(topic)
    }

    fn trim<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        self.log.trim_topic(topic, before)
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        self.log.topics()
    }
}
