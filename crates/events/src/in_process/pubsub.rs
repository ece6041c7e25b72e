//! The contract of a bus, for the one of one process.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::runtime::Handle;

use super::InProcessPubSub;
use super::source::{MemberSource, ReaderSource};
use super::topic::TopicState;
use crate::batch::batched;
use crate::{
    Capabilities, DeliveryModes, Event, EventId, LeaseProvider, NewEvent, OpFuture, Ordering,
    PubSub, PublishOptions, PublishSafety, Published, Reach, SubscribeOptions, Subscription,
    SubscriptionSource, Topic, TopicInfo,
};

impl PubSub for InProcessPubSub {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        _options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        if self.shared.has_no_use_for(topic) {
            // Nobody will see the event; the receipt is like any other.
            return OpFuture::ready(Ok(Published::new(Some(EventId::random()), None)));
        }
        self.deliver(topic, event.stamp())
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        if let Err(error) = self.check_open("subscribe", topic) {
            return OpFuture::ready(Err(error));
        }
        if let Ok(handle) = Handle::try_current() {
            self.shared.runtime.get_or_init(|| handle);
        }
        let batch = options.batch.clone();
        let source = loop {
            let state = self.shared.topic(topic);
            // A topic that was removed as idle since we looked it up must not be attached to.
            if let Some(source) = attach(&state, &options, self.shared.settings.fanout_redelivery) {
                break source;
            }
        };
        OpFuture::ready(Ok(Subscription::new(batched(source, batch))))
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        let history = self
            .shared
            .with_topic(topic, |state| state.history(offset, limit));
        OpFuture::ready(
            self.check_open("history", topic)
                .map(|()| history.unwrap_or_default()),
        )
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        OpFuture::ready(self.check_open("clear", topic).map(|()| {
            self.shared.with_topic(topic, TopicState::clear);
            self.shared.remove_if_idle(topic);
        }))
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        OpFuture::ready(self.check_open("trim", topic).map(|()| {
            self.shared
                .with_topic(topic, |state| state.trim_before(before));
        }))
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        let mut infos: Vec<_> = self
            .shared
            .read_topics()
            .values()
            .map(|state| state.info())
            .collect();
        infos.sort_by(|a, b| a.topic.cmp(&b.topic));
        OpFuture::ready(Ok(infos))
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        for state in self.shared.read_topics().values() {
            state.flush_batches();
        }
        OpFuture::ready(Ok(()))
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.shared.closed.store(true, Relaxed);
        let states: Vec<_> = self.shared.read_topics().values().cloned().collect();
        for state in states {
            state.close();
        }
        OpFuture::ready(Ok(()))
    }

    fn capabilities(&self) -> Capabilities {
        let settings = &self.shared.settings;
        Capabilities {
            name: "memory",
            replay: settings.replays(),
            groups: true,
            group_redelivery: true,
            group_redelivery_moves: true,
            fanout_redelivery: settings.fanout_redelivery,
            private_redelivery: true,
            max_deliveries: settings.redelivery.max_deliveries,
            redelivery_delay: settings.redelivery.delay_step,
            leases: true,
            local_only: true,
            batching: true,
            clear: true,
            list_topics: true,
            max_event_bytes: None,
            ordering: Ordering::Topic,
            publish_safety: PublishSafety::Memory,
            reach: Reach::Process,
            modes: DeliveryModes {
                pull: true,
                push: true,
            },
        }
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        Some(Arc::clone(&self.shared.leases) as Arc<dyn LeaseProvider>)
    }
}

fn attach(
    state: &Arc<TopicState>,
    options: &SubscribeOptions,
    redelivery: bool,
) -> Option<Box<dyn SubscriptionSource>> {
    Some(match &options.group {
        Some(group) => Box::new(MemberSource::join(state, group, options)?),
        None => Box::new(ReaderSource::attach(state, options, redelivery)?),
    })
}
