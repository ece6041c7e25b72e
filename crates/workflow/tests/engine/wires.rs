//! A store and a bus at the other end of a line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_events::{
    Capabilities, Delivery, Event, Fill, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions,
    Published, Reach, SubscribeOptions, Subscription, SubscriptionSource, Topic, TopicInfo,
};
use bowline_store::{LogName, LogPage, Page, Query, Store, StoreFuture, StoreLayer, Table};

use crate::line::{Line, Way};

/// A store as one process sees it.
#[derive(Debug)]
pub(crate) struct FarStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) line: Arc<Line>,
}

fn store_fault(kind: u64) -> bowline_store::Error {
    use bowline_store::ErrorKind::{Io, Timeout, Unavailable};
    let kinds = [Unavailable, Timeout, Io];
    // The remainder is small.
    let kind = kinds[(kind % 3) as usize];
    bowline_store::Error::new(kind, "test", "the line is broken")
}

impl StoreLayer for FarStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    /// What is done at once is done when it is called, so it is called late.
    fn around<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let operation = async move { operation(&*self.inner).await };
        StoreFuture::new(self.line.pass(Way::Store, operation, store_fault))
    }

    fn read_log<'a>(
        &'a self,
        log: &'a LogName,
        from: u64,
        limit: usize,
    ) -> StoreFuture<'a, LogPage> {
        self.around(move |store| {
            StoreFuture::new(async move {
                let page = store.read_log(log, from, limit).await?;
                self.line.reads(page.entries.len());
                Ok(page)
            })
        })
    }

    fn list<'a>(&'a self, table: Table, query: &'a Query) -> StoreFuture<'a, Page> {
        self.around(move |store| {
            StoreFuture::new(async move {
                let page = store.list(table, query).await?;
                if table.as_str() == "runs" {
                    self.line.lists(page.records.len());
                }
                Ok(page)
            })
        })
    }
}

/// A subscription that has ended.
struct Ended;

impl SubscriptionSource for Ended {
    fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        _: &mut VecDeque<Delivery>,
        _: usize,
    ) -> Poll<Fill> {
        Poll::Ready(Fill::End)
    }
}

/// What happens to the hints of engines on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// They arrive this many times.
    Times(u32),
    /// They arrive up to this many times, or not at all.
    UpTo(u32),
}

/// A bus as one process sees it.
#[derive(Debug)]
pub(crate) struct FarBus {
    pub(crate) inner: Arc<dyn PubSub>,
    pub(crate) line: Arc<Line>,
    pub(crate) hints: Hints,
    /// How far it says that it reaches: what is in this process is never away.
    pub(crate) reach: Reach,
    /// Whether it says that it keeps what was published.
    pub(crate) replay: bool,
}

fn bus_fault(_: u64) -> bowline_events::Error {
    let kind = bowline_events::ErrorKind::Unavailable;
    bowline_events::Error::new(kind, "test", "the line is broken")
}

impl FarBus {
    fn far<'a, T: Send + 'a>(
        &'a self,
        operation: impl Future<Output = bowline_events::Result<T>> + Send + 'a,
    ) -> OpFuture<'a, T> {
        OpFuture::new(self.line.pass(Way::Bus, operation, bus_fault))
    }
}

impl PubSub for FarBus {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        let times = match self.hints {
            _ if !topic.as_str().starts_with("rs.") => 1,
            Hints::Times(times) => times,
            Hints::UpTo(most) => self.line.roll(most + 1),
        };
        self.far(async move {
            let mut published = Published::new(None, None);
            for _ in 0..times {
                let again = self.inner.publish_with(topic, event.clone(), options);
                published = again.await?;
            }
            Ok(published)
        })
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.far(async move {
            match self.line.is_deaf() {
                true => Ok(Subscription::new(Box::new(Ended))),
                false => self.inner.subscribe_with(topic, options).await,
            }
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        self.line.asks();
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
            replay: self.replay,
            ..self.inner.capabilities()
        }
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        self.inner.lease_provider()
    }
}
