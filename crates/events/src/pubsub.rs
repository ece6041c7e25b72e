//! The contract that every bus fulfils.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    BatchPolicy, Capabilities, Event, EventId, LeaseProvider, NewEvent, OpFuture, Subscription,
    Text, Topic,
};

/// How to publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOptions {
    /// Deliver to subscribers of this process only, by reference: every ungrouped one, and one member of each local group.
    pub local_only: bool,
}

impl PublishOptions {
    /// Stay in this process.
    pub const LOCAL_ONLY: Self = Self { local_only: true };
}

/// The receipt of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The id that subscribers will see, where the backend knows it already.
    pub id: Option<EventId>,
    /// The position of the event in the topic, where the backend knows it already.
    pub seq: Option<u64>,
}

impl Published {
    /// A receipt of what is known.
    pub fn new(id: Option<EventId>, seq: Option<u64>) -> Self {
        Self { id, seq }
    }
}

/// Where a new subscription begins. A group that exists already keeps its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// What is published from now on. Where events come from other processes, what is on its way at this moment may come, too.
    #[default]
    Latest,
    /// Everything that is still kept, then live.
    Earliest,
    /// From this position (an `index` of the history), then live.
    Offset(u64),
}

/// How to subscribe.
///
/// ```
/// use bowline_events::{StartFrom, SubscribeOptions};
/// let options = SubscribeOptions::new().group("workers").start(StartFrom::Earliest);
/// assert_eq!(options.group.as_deref(), Some("workers"));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// Members of one group share the events: each goes to one of them. The empty string is a group of its own.
    pub group: Option<Text>,
    /// Where to begin.
    pub start: StartFrom,
    /// Gather events before they are handed over. Ignored by backends without [`Capabilities::batching`].
    pub batch: Option<BatchPolicy>,
    /// For a group: how long a member may hold a delivery before it is taken for hung and the event goes to another member.
    /// `None`: as long as it holds it.
    pub lease: Option<Duration>,
    /// This ungrouped reader fills gaps by itself: no publisher is ever slowed for it, and it may get a
    /// [`Truncated`](crate::ErrorKind::Truncated) notice whenever it falls behind.
    pub skippable: bool,
}

impl SubscribeOptions {
    /// Ungrouped, live only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins `group`.
    #[must_use]
    pub fn group(mut self, group: impl Into<Text>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Begins at `start`.
    #[must_use]
    pub fn start(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Gathers events by `policy`.
    #[must_use]
    pub fn batch(mut self, policy: BatchPolicy) -> Self {
        self.batch = Some(policy);
        self
    }

    /// Never slows a publisher for this reader; see [`SubscribeOptions::skippable`].
    #[must_use]
    pub fn skippable(mut self) -> Self {
        self.skippable = true;
        self
    }

    /// Limits how long a member may hold a delivery.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }
}

/// A topic as [`PubSub::topics`] lists it. Fields that the backend cannot know are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The topic.
    pub topic: Topic,
    /// Events kept.
    pub events: Option<u64>,
    /// Bytes kept.
    pub bytes: Option<u64>,
    /// Attached ungrouped subscribers that this process can see.
    pub subscribers: Option<u64>,
    /// Groups that this process can see.
    pub groups: Vec<Text>,
}

impl TopicInfo {
    /// A topic of which only the name is known.
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            events: None,
            bytes: None,
            subscribers: None,
            groups: Vec::new(),
        }
    }
}

/// An event bus.
///
/// # Contract
///
/// - **Order.** A subscriber sees the events of a topic in one order ([`Capabilities::ordering`] says which). There is no
///   promise of order across a redelivery.
/// - **Subscribe, then publish.** An event published after `subscribe` resolved is delivered to that subscription.
/// - **Unsubscribe.** After [`Subscription::unsubscribe`] resolved nothing is delivered. Dropping a subscription
///   unsubscribes too, without waiting.
/// - **Groups.** Each event goes to one member. A grouped [`Delivery`](crate::Delivery) is acked, nacked, or dropped, and
///   dropping it unsettled is a nack. Ungrouped deliveries need no ack.
/// - **Never silent.** A reader whose next event was trimmed gets an error item of kind
///   [`Truncated`](crate::ErrorKind::Truncated), one whose topic was cleared gets [`Cleared`](crate::ErrorKind::Cleared),
///   and both go on. The stream of a closed bus ends.
/// - **Cancellation.** Dropping the future of `publish` before it resolved leaves open whether the event was published.
///   Dropping the future of any other method has no effect beyond that of having called it.
///
/// # Wrappers
///
/// A wrapper forwards every method. The defaults below exist for backends without the capability, not for wrappers.
///
/// # Clones
///
/// Backends are shared as `Arc<dyn PubSub>`; [`PubSubExt`](crate::PubSubExt) adds what is pleasant to call.
pub trait PubSub: Any + fmt::Debug + Send + Sync {
    /// Appends `event` to `topic`. What a resolved future promises is [`Capabilities::publish_safety`].
    ///
    /// # Errors
    /// `TooLarge`, `InvalidPayload` and `Closed` before anything was sent; `Full`, `Unavailable` and `Timeout` may be retried.
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published>;

    /// Appends `events` to `topic` in their order, as one call of [`publish_with`](Self::publish_with) after the other does, but
    /// in as few round trips as the backend can. Others may publish in between.
    ///
    /// # Errors
    /// As `publish_with`. Some of the events may have been published then: mostly the first ones, though an event behind one that
    /// failed may be among them.
    fn publish_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<NewEvent>,
        options: PublishOptions,
    ) -> OpFuture<'a, Vec<Published>> {
        OpFuture::new(async move {
            let mut published = Vec::with_capacity(events.len());
            for event in events {
                published.push(self.publish_with(topic, event, options).await?);
            }
            Ok(published)
        })
    }

    /// Whether `publish_with` would refuse `event` whatever the state of the bus: a layer asks before it acts on an event.
    ///
    /// # Errors
    /// `TooLarge` and `InvalidPayload`, as `publish_with`.
    fn check(&self, _topic: &Topic, _event: &NewEvent) -> crate::Result<()> {
        Ok(())
    }

    /// Attaches a subscriber. Resolves when the subscription is live.
    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription>;

    /// Up to `limit` kept events of `topic` from position `offset` on; empty where the backend keeps none.
    fn history<'a>(
        &'a self,
        _topic: &'a Topic,
        _offset: u64,
        _limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        OpFuture::ready(Ok(Vec::new()))
    }

    /// Removes everything kept for `topic`. Attached readers get a `Cleared` notice; the topic starts a new generation.
    fn clear_topic<'a>(&'a self, _topic: &'a Topic) -> OpFuture<'a, ()> {
        OpFuture::ready(Ok(()))
    }

    /// Removes the events of `topic` before position `before`.
    fn trim_topic<'a>(&'a self, _topic: &'a Topic, _before: u64) -> OpFuture<'a, ()> {
        OpFuture::ready(Ok(()))
    }

    /// The topics that this bus knows.
    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::ready(Ok(Vec::new()))
    }

    /// Waits until everything published before has left this process as far as the backend can tell.
    fn flush(&self) -> OpFuture<'_, ()>;

    /// Ends all subscriptions of this handle and releases what it holds. Later calls fail with `Closed`, except `flush` and
    /// `topics`, which have nothing to do. Idempotent.
    fn close(&self) -> OpFuture<'_, ()>;

    /// What this bus can do.
    fn capabilities(&self) -> Capabilities;

    /// Leases, where the backend has them.
    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        None
    }
}
