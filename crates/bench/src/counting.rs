//! A store and a bus that count what goes through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bowline_events::{
    Capabilities, Event, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions, Published,
    SubscribeOptions, Subscription, Text, Timestamp, Topic, TopicInfo,
};
use bowline_store::{
    BlobHash, Claim, Commit, Committed, Filter, LogInfo, LogName, LogPage, Page, Query, Record,
    Stats, Store, StoreFuture, Table, Watch,
};
use bytes::Bytes;

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

impl Store for CountingStore {
    fn id(&self) -> &Text {
        self.store.id()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.bytes.fetch_add(commit.bytes() as u64, Relaxed);
        self.store.commit(commit)
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.store.get(table, key)
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        self.store.get_many(table, keys)
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.store.list(table, query)
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        self.store.count(table, filter)
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.store.due(table, at, limit)
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        self.store.claim_due(table, claim)
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.store.read_log(log, from, limit)
    }

    fn log_info<'a>(&'a self, log: &'a LogName) -> StoreFuture<'a, Option<LogInfo>> {
        self.store.log_info(log)
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        self.store.logs(table, after, limit)
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        self.store.blob(hash)
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.store.stats()
    }

    fn watch(&self, table: Table) -> Watch {
        self.store.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.store.close()
    }
}
