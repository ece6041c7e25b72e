//! Keeping and publishing an event in one step.

use std::fmt;

use crate::{NewEvent, OpFuture, Published, Topic};

/// Keeps events in a cache and publishes them on a bus in one step, where both are one server.
///
/// [`EventCache::joint`](crate::EventCache::joint) makes it, and [`CachingPubSub`](crate::CachingPubSub) uses it instead of one
/// call to the cache and one to the bus. It saves a round trip per event, and the order of the indices is that of the live events.
///
/// # Contract
/// - What is published was kept before: a subscriber that sees the live event finds it in the history.
/// - Whatever [`PubSub::publish_with`](crate::PubSub::publish_with) refuses is refused here before anything is kept.
/// - A cache that cannot keep the event never stops it: the answer is [`Joint::Apart`] then, and nothing was done.
pub trait JointPublish: fmt::Debug + Send + Sync + 'static {
    /// Gives `event` its index, keeps it and publishes it.
    ///
    /// # Errors
    /// Those of [`PubSub::publish_with`](crate::PubSub::publish_with). After `Unavailable` and `Timeout` it is not known whether
    /// the event was kept, or published.
    fn append_and_publish<'a>(
        &'a self,
        topic: &'a Topic,
        event: &'a NewEvent,
    ) -> OpFuture<'a, Joint>;
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joint {
    /// It was kept and published; the receipt has the index.
    Done(Published),
    /// Nothing was done: cache and bus have to be called one after the other.
    Apart,
}
