//! A wrapper that does nothing.

use std::sync::Arc;

use bowline_events::{
    Capabilities, Event, LeaseProvider, NewEvent, OpFuture, PubSub, PublishOptions, Published,
    SubscribeOptions, Subscription, Topic, TopicInfo,
};

use crate::{Fixture, Participants};

/// A bus that forwards every method to another one, as every wrapper must.
#[derive(Debug)]
pub struct Forwarding(Arc<dyn PubSub>);

impl Forwarding {
    /// A wrapper around `bus`.
    pub fn new(bus: Arc<dyn PubSub>) -> Self {
        Self(bus)
    }
}

impl PubSub for Forwarding {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        self.0.publish_with(topic, event, options)
    }

    fn publish_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<NewEvent>,
        options: PublishOptions,
    ) -> OpFuture<'a, Vec<Published>> {
        self.0.publish_all(topic, events, options)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        self.0.subscribe_with(topic, options)
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        self.0.history(topic, offset, limit)
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.0.clear_topic(topic)
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        self.0.trim_topic(topic, before)
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        self.0.topics()
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.0.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.0.close()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn check(&self, topic: &Topic, event: &NewEvent) -> bowline_events::Result<()> {
        self.0.check(topic, event)
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        self.0.lease_provider()
    }
}

/// A fixture whose handles are wrapped; with [`Forwarding`] it shows that a backend works behind wrappers.
pub struct Wrapped<F, W> {
    fixture: F,
    name: String,
    wrap: W,
}

impl<F, W> Wrapped<F, W>
where
    F: Fixture,
    W: Fn(Arc<dyn PubSub>) -> Arc<dyn PubSub> + Send + Sync + 'static,
{
    /// The fixture `inner` with each handle replaced by `wrap` of it. A handle that appears twice is wrapped once.
    pub fn new(inner: F, suffix: &str, wrap: W) -> Self {
        Self {
            name: format!("{}-{suffix}", inner.name()),
            fixture: inner,
            wrap,
        }
    }
}

impl<F, W> Fixture for Wrapped<F, W>
where
    F: Fixture,
    W: Fn(Arc<dyn PubSub>) -> Arc<dyn PubSub> + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let mut participants = self.fixture.connect().await?;
            let distinct = participants.are_distinct();
            participants.publisher = (self.wrap)(participants.publisher);
            participants.subscriber = if distinct {
                (self.wrap)(participants.subscriber)
            } else {
                Arc::clone(&participants.publisher)
            };
            Ok(participants)
        })
    }

    fn settle(&self) -> std::time::Duration {
        self.fixture.settle()
    }

    fn deadline(&self) -> std::time::Duration {
        self.fixture.deadline()
    }
}

impl<F, W> std::fmt::Debug for Wrapped<F, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wrapped").field(&self.name).finish()
    }
}
