//! A store and a bus at the other end of a line.

use std::sync::Arc;

use bowline_events::{
    Capabilities, Event, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions, Published,
    Reach, SubscribeOptions, Subscription, Text, Timestamp, Topic, TopicInfo,
};
use bowline_store::{
    BlobHash, Claim, Commit, Committed, Filter, LogInfo, LogName, LogPage, Page, Query, Record,
    Stats, Store, StoreFuture, Table, Watch,
};
use bytes::Bytes;

use crate::line::Line;

/// A store as one process sees it.
#[derive(Debug)]
pub(crate) struct FarStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) line: Arc<Line>,
}

impl FarStore {
    /// The operation is begun only when it passes: some do their work when they are called.
    fn far<'a, T: Send + 'a, F>(
        &'a self,
        operation: impl FnOnce() -> F + Send + 'a,
    ) -> StoreFuture<'a, T>
    where
        F: Future<Output = bowline_store::Result<T>> + Send + 'a,
    {
        StoreFuture::new(self.line.pass(async move { operation().await }))
    }
}

impl Store for FarStore {
    fn id(&self) -> &Text {
        self.inner.id()
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let mut operations = commit.operations().iter();
        if operations.any(|operation| operation.table().as_str() != "workers") {
            self.line.writes(commit.bytes());
        }
        self.far(|| self.inner.commit(commit))
    }

    fn get<'a>(&'a self, table: Table, key: &'a str) -> StoreFuture<'a, Option<Record>> {
        self.far(move || self.inner.get(table, key))
    }

    fn get_many<'a>(
        &'a self,
        table: Table,
        keys: &'a [Text],
    ) -> StoreFuture<'a, Vec<Option<Record>>> {
        self.far(move || self.inner.get_many(table, keys))
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.far(move || self.inner.list(table, query))
    }

    fn count<'a>(&'a self, table: Table, filter: &'a Filter) -> StoreFuture<'a, u64> {
        self.far(move || self.inner.count(table, filter))
    }

    fn due(&self, table: Table, at: Timestamp, limit: usize) -> StoreFuture<'_, Vec<Record>> {
        self.far(move || self.inner.due(table, at, limit))
    }

    fn claim_due(&self, table: Table, claim: Claim) -> StoreFuture<'_, Vec<Record>> {
        self.far(move || self.inner.claim_due(table, claim))
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.far(move || self.inner.read_log(log, from, limit))
    }

    fn logs<'a>(
        &'a self,
        table: Table,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Text, LogInfo)>> {
        self.far(move || self.inner.logs(table, after, limit))
    }

    fn blob(&self, hash: BlobHash) -> StoreFuture<'_, Option<Bytes>> {
        self.far(move || self.inner.blob(hash))
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.far(|| self.inner.stats())
    }

    fn watch(&self, table: Table) -> Watch {
        self.inner.watch(table)
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.far(|| self.inner.close())
    }
}

/// A bus as one process sees it.
#[derive(Debug)]
pub(crate) struct FarBus {
    pub(crate) inner: Arc<dyn PubSub>,
    pub(crate) line: Arc<Line>,
    /// How far it says that it reaches: on one that reaches further than the process, events go out without being waited for.
    pub(crate) reach: Reach,
}

impl FarBus {
    fn far<'a, T: Send + 'a>(
        &'a self,
        operation: impl Future<Output = bowline_events::Result<T>> + Send + 'a,
    ) -> OpFuture<'a, T> {
        OpFuture::new(self.line.pass(operation))
    }
}

impl PubSub for FarBus {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        self.far(async move { self.inner.publish_with(topic, event, options).await })
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.far(async move { self.inner.subscribe_with(topic, options).await })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        self.far(async move { self.inner.history(topic, offset, limit).await })
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.far(async move { self.inner.clear_topic(topic).await })
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        self.far(async move { self.inner.trim_topic(topic, before).await })
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        self.far(async move { self.inner.topics().await })
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.far(async move { self.inner.flush().await })
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.far(async move { self.inner.close().await })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reach: self.reach,
            ..self.inner.capabilities()
        }
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        self.inner.lease_provider()
    }
}
