//! A store and a bus that count what goes through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bowline_events::{
    Capabilities, Event, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions, Published,
    SubscribeOptions, Subscription, Topic, TopicInfo,
};
use bowline_store::{Commit, Committed, Store, StoreFuture, StoreLayer};

/// What went through since the counts were taken last.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    published: AtomicU64,
    commits: AtomicU64,
    bytes: AtomicU64,
}

/// Numbers of [`Counts`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Events that were published.
    pub(crate) published: u64,
    /// Commits that were asked for.
    pub(crate) commits: u64,
    /// Bytes of them, as [`Commit::bytes`] counts.
    pub(crate) bytes: u64,
}

impl Counts {
    /// The numbers so far; they begin at 0 again.
    pub(crate) fn take(&self) -> Counted {
        let take = |count: &AtomicU64| count.swap(0, Relaxed);
        Counted {
            published: take(&self.published),
            commits: take(&self.commits),
            bytes: take(&self.bytes),
        }
    }
}

/// Counts the events that are published on a bus.
#[derive(Debug)]
pub(crate) struct CountingBus<B> {
    pub(crate) bus: B,
    pub(crate) counts: Arc<Counts>,
}

impl<B: PubSub> PubSub for CountingBus<B> {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        self.counts.published.fetch_add(1, Relaxed);
        self.bus.publish_with(topic, event, options)
    }

    fn publish_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<NewEvent>,
        options: PublishOptions,
    ) -> OpFuture<'a, Vec<Published>> {
        self.counts
            .published
            .fetch_add(events.len() as u64, Relaxed);
        self.bus.publish_all(topic, events, options)
    }

    fn check(&self, topic: &Topic, event: &NewEvent) -> bowline_events::Result<()> {
        self.bus.check(topic, event)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.bus.subscribe_with(topic, options)
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        self.bus.history(topic, offset, limit)
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.bus.clear_topic(topic)
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        self.bus.trim_topic(topic, before)
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        self.bus.topics()
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.bus.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.bus.close()
    }

    fn capabilities(&self) -> Capabilities {
        self.bus.capabilities()
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        self.bus.lease_provider()
    }
}

/// Counts the commits of a store and their bytes.
#[derive(Debug)]
pub(crate) struct CountingStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) counts: Arc<Counts>,
}

impl StoreLayer for CountingStore {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.bytes.fetch_add(commit.bytes() as u64, Relaxed);
        self.store.commit(commit)
    }
}
