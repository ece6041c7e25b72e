//! The contract of a cache that keeps the history of topics.

use std::fmt;
use std::sync::Arc;

use super::JointPublish;
use crate::{Event, OpFuture, PubSub, Reach, Text, Topic, TopicInfo};

/// Where an event landed in a cached history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePosition {
    /// The index of the event, counted from 0.
    pub index: u64,
    /// Names the incarnation of the history, where the cache knows one. It changes whenever indices begin at 0 again.
    pub generation: Option<Text>,
}

/// A part of a cached history.
#[derive(Debug, Clone, Default)]
pub struct CachePage {
    /// The events, in order, each with its `index`.
    pub events: Vec<Arc<Event>>,
    /// The oldest index that is kept.
    pub first: u64,
    /// The index that the next event will get.
    pub end: u64,
    /// The incarnation that the indices count in.
    pub generation: Option<Text>,
}

/// Keeps the history of topics for [`CachingPubSub`](crate::CachingPubSub).
///
/// # Contract
/// - `append` is atomic: indices are contiguous in the order in which events are kept.
/// - An index is never given twice within a generation; a history that begins at 0 again has a new generation.
/// - Growth is bounded; what was dropped shows as a larger [`CachePage::first`].
pub trait EventCache: fmt::Debug + Send + Sync + 'static {
    /// Appends `event` to the history of `topic`; its `index` and `generation` are assigned here.
    fn append<'a>(&'a self, topic: &'a Topic, event: Event) -> OpFuture<'a, CachePosition>;

    /// Appends `events` in their order, as one call of [`append`](Self::append) after the other does, but in one step where it can,
    /// and tells what became of each.
    fn append_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<Event>,
    ) -> OpFuture<'a, Vec<crate::Result<CachePosition>>> {
        OpFuture::new(async move {
            let mut positions = Vec::with_capacity(events.len());
            for event in events {
                positions.push(self.append(topic, event).await);
            }
            Ok(positions)
        })
    }

    /// Up to `limit` events from index `from` on. A topic without history reads as an empty page.
    fn read(&self, topic: &Topic, from: u64, limit: usize) -> OpFuture<'static, CachePage>;

    /// Forgets the history of `topic`.
    fn clear<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()>;

    /// Forgets the events of `topic` before index `before`.
    fn trim<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()>;

    /// Where else the histories are read and appended to. Where that is farther than the bus reaches, subscribers look for what the
    /// bus does not bring them; see [`CachingPubSub::poll`](crate::CachingPubSub::poll).
    fn reach(&self) -> Reach {
        Reach::Process
    }

    /// The topics with a history, where the cache can list them.
    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::ready(Ok(Vec::new()))
    }

    /// A way to append here and publish on `bus` in one step, where this cache knows one: both are the same server, say.
    fn joint(&self, bus: &Arc<dyn PubSub>) -> Option<Arc<dyn JointPublish>> {
        let _ = bus;
        None
    }
}
