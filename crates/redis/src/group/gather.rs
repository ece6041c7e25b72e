//! Batching for members: the caching layer of the events crate batches what a bus does not, which is used here for one
//! subscription.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{
    BatchPolicy, CachingPubSub, Capabilities, Error, ErrorKind, InProcessPubSub, MemoryCache,
    NewEvent, OpFuture, PubSub, PublishOptions, Published, Result, SubscribeOptions, Subscription,
    Text, Topic,
};

/// `subscription` to `group`, handed over as `policy` says where there is one.
pub(super) async fn gathered(
    subscription: Subscription,
    topic: &Topic,
    group: &Text,
    policy: Option<BatchPolicy>,
) -> Result<Subscription> {
    let Some(policy) = policy else {
        return Ok(subscription);
    };
    let one = One {
        subscription: Mutex::new(Some(subscription)),
    };
    let options = SubscribeOptions::new().group(group.clone()).batch(policy);
    let layer = CachingPubSub::new(Arc::new(one), Arc::new(MemoryCache::new()));
    layer.subscribe_with(topic, options).await
}

/// A bus with one subscription.
#[derive(Debug)]
struct One {
    subscription: Mutex<Option<Subscription>>,
}

fn unsupported<T>(operation: &'static str) -> OpFuture<'static, T> {
    let message = "this bus has one subscription and nothing else";
    OpFuture::ready(Err(Error::new(ErrorKind::Unsupported, operation, message)))
}

impl PubSub for One {
    fn publish_with<'a>(
        &'a self,
        _topic: &'a Topic,
        _event: NewEvent,
        _options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        unsupported("publish")
    }

    fn subscribe_with<'a>(
        &'a self,
        _topic: &'a Topic,
        _options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        let mut subscription = self
            .subscription
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match subscription.take() {
            Some(subscription) => OpFuture::ready(Ok(subscription)),
            None => unsupported("subscribe"),
        }
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        OpFuture::ready(Ok(()))
    }

    fn close(&self) -> OpFuture<'_, ()> {
        OpFuture::ready(Ok(()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batching: false,
            ..InProcessPubSub::new().capabilities()
        }
    }
}
