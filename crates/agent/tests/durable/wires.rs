//! A store and a bus at the other end of a line.

use std::sync::Arc;

use bowline_events::{
    Capabilities, Event, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions, Published,
    Reach, SubscribeOptions, Subscription, Topic, TopicInfo,
};
use bowline_store::{Commit, Committed, Store, StoreFuture, StoreLayer};

use crate::line::Line;

/// A store as one process sees it.
#[derive(Debug)]
pub(crate) struct FarStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) line: Arc<Line>,
}

impl StoreLayer for FarStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    /// The operation is begun only when it passes: some do their work when they are called.
    fn around<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let operation = async move { operation(&*self.inner).await };
        StoreFuture::new(self.line.pass(operation))
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let mut operations = commit.operations().iter();
        if operations.any(|operation| operation.table().as_str() != "workers") {
            self.line.writes(commit.bytes());
        }
        self.around(|store| store.commit(commit))
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
