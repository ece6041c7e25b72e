//! The bus of one process: a map of topics, each a [`TopicLog`](crate::log::TopicLog) behind a lock.
//!
//! A subscription owns no queue: it is a cursor, woken at most once between two reads. No lock is held across an await.

mod append;
mod builder;
mod pressure;
mod settle;
mod source;
mod topic;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::batch::batched;
use crate::{
    CachePage, CachePosition, Capabilities, DeliveryModes, Error, ErrorKind, Event, EventId,
    InProcessLeases, LeaseProvider, NewEvent, OpFuture, Ordering, PubSub, PublishOptions,
    PublishSafety, Published, Reach, Result, SubscribeOptions, Subscription, SubscriptionSource,
    Text, Timestamp, Topic, TopicInfo, TopicMap,
};
use append::{Appendable, Appended};
pub use builder::InProcessPubSubBuilder;
use builder::Settings;
use source::{MemberSource, ReaderSource};
use topic::TopicState;

/// The bus of one process, on one log per topic.
///
/// # Guarantees
/// - Events of a topic have one total order, the order in which `publish` was called; every subscriber sees it.
/// - An event is delivered to every ungrouped subscriber that is attached, and to one member of every group.
/// - Late readers get what the [retention](crate::TopicFamily::retention) of the topic still keeps.
/// - Nothing survives the process.
///
/// # Limits
/// What is kept is bounded per topic by its retention and by [`Backlog`](crate::log::Backlog), and for the whole bus by
/// [`InProcessPubSubBuilder::max_bytes`]. A publisher whose readers are behind waits for them, by default at most 25 ms per
/// event and never for a reader that stands still. A reader that lost events is told.
///
/// Handles are cheap to clone and share one bus. The bus needs a Tokio runtime with time enabled.
///
/// ```
/// use bowline_events::{InProcessPubSub, NewEvent, PubSubExt, StartFrom, SubscribeOptions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// let bus = InProcessPubSub::new();
/// for n in 0..3 {
///     bus.publish("numbers", NewEvent::new("number", "run-1").with_json(n.to_string())?).await?;
/// }
/// let mut late = bus.subscribe("numbers", SubscribeOptions::new().start(StartFrom::Offset(1))).await?;
/// let delivery = late.next().await.expect("open")?;
/// assert_eq!((delivery.seq(), delivery.data.parse::<u32>()?), (Some(1), 1));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "EventEmitterPubSub")]
#[derive(Clone)]
pub struct InProcessPubSub {
    shared: Arc<Shared>,
}

/// How often retention is applied to topics where nothing is published.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

struct Shared {
    settings: Settings,
    topics: RwLock<TopicMap<Arc<TopicState>>>,
    /// Bytes kept in all topics.
    bytes: Arc<AtomicUsize>,
    closed: AtomicBool,
    sweeping: AtomicBool,
    leases: Arc<InProcessLeases>,
    /// Where timers run, for deliveries that are dropped outside of a runtime.
    runtime: OnceLock<Handle>,
}

impl InProcessPubSub {
    /// A bus with the default limits.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets limits before the bus is made.
    pub fn builder() -> InProcessPubSubBuilder {
        InProcessPubSubBuilder::default()
    }

    fn from_settings(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                topics: RwLock::new(TopicMap::default()),
                bytes: Arc::new(AtomicUsize::new(0)),
                closed: AtomicBool::new(false),
                sweeping: AtomicBool::new(false),
                leases: Arc::new(InProcessLeases::new()),
                runtime: OnceLock::new(),
            }),
        }
    }

    /// Publishes an event that another transport has stamped already.
    ///
    /// The event is appended when this is called; the future only waits while attached readers are too far behind.
    ///
    /// # Errors
    /// `Closed`; `Full` when a work topic has reached its retention.
    pub fn deliver(&self, topic: &Topic, event: Event) -> OpFuture<'static, Published> {
        let id = Some(event.id.clone());
        match self
            .shared
            .append(topic, Appendable::Ready(Arc::new(event)))
        {
            Ok(Some(Appended {
                seq,
                pressure: Some(pressure),
                ..
            })) => OpFuture::new(async move {
                pressure.wait().await;
                Ok(Published::new(id, Some(seq)))
            }),
            Ok(appended) => OpFuture::ready(Ok(Published::new(
                id,
                appended.map(|appended| appended.seq),
            ))),
            Err(error) => OpFuture::ready(Err(error)),
        }
    }

    /// Appends `event` with its position as `index`, and its `generation`.
    pub(crate) fn append_indexed(&self, topic: &Topic, event: Event) -> Result<CachePosition> {
        let limit = self.shared.settings.retention(topic.family()).bytes;
        if event.weight() > limit {
            let message = format!(
                "the event has {} bytes, the history of this topic keeps {limit}; raise its retention",
                event.weight()
            );
            return Err(Error::new(ErrorKind::TooLarge, "cache", message).with_subject(topic));
        }
        match self.shared.append(topic, Appendable::Indexed(event))? {
            Some(appended) => Ok(CachePosition {
                index: appended.seq,
                generation: appended.generation,
            }),
            None => {
                let message = "the retention of this topic keeps nothing; raise it";
                Err(Error::new(ErrorKind::Full, "cache", message).with_subject(topic))
            }
        }
    }

    /// A part of what is kept of `topic`.
    pub(crate) fn page(&self, topic: &Topic, from: u64, limit: usize) -> CachePage {
        self.shared
            .with_topic(topic, |state| state.page(from, limit))
            .unwrap_or_default()
    }

    /// Ungrouped subscribers of `topic`.
    pub fn subscriber_count(&self, topic: &Topic) -> usize {
        self.shared
            .with_topic(topic, |state| state.stats().readers)
            .unwrap_or(0)
    }

    /// Members of `group` on `topic`.
    pub fn group_members(&self, topic: &Topic, group: &Text) -> usize {
        self.shared
            .with_topic(topic, |state| state.group_members(group))
            .unwrap_or(0)
    }

    /// Ends `topic`: readers get what is kept and then the end of their stream, publishing fails with `Closed`.
    pub fn close_topic(&self, topic: &Topic) {
        self.shared.topic(topic).close();
    }

    /// Bytes of all events that the bus holds.
    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Relaxed)
    }

    fn check_open(&self, operation: &'static str, topic: &Topic) -> Result<()> {
        if self.shared.closed.load(Relaxed) {
            Err(Error::closed(operation, topic))
        } else {
            Ok(())
        }
    }
}

impl Default for InProcessPubSub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcessPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessPubSub")
            .field("topics", &self.shared.read_topics().len())
            .field("bytes", &self.bytes())
            .finish()
    }
}

impl Shared {
    fn read_topics(&self) -> std::sync::RwLockReadGuard<'_, TopicMap<Arc<TopicState>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_topic<R>(&self, topic: &Topic, act: impl FnOnce(&Arc<TopicState>) -> R) -> Option<R> {
        let state = self.read_topics().get(topic).cloned();
        state.map(|state| act(&state))
    }

    /// The state of `topic`, made when it is new.
    fn topic(self: &Arc<Self>, topic: &Topic) -> Arc<TopicState> {
        if let Some(state) = self.read_topics().get(topic) {
            return Arc::clone(state);
        }
        self.start_sweeper();
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let state = topics.entry(topic.clone()).or_insert_with(|| {
            Arc::new(TopicState::new(
                topic.clone(),
                self.settings.log_config(topic.family()),
                self,
            ))
        });
        Arc::clone(state)
    }

    /// Whether an event of `topic` would be dropped at once: the bus is open, nobody reads, and nothing is to be kept.
    fn has_no_use_for(&self, topic: &Topic) -> bool {
        self.settings.keeps_nothing(topic.family())
            && !self.closed.load(Relaxed)
            && !self.read_topics().contains_key(topic)
    }

    /// Appends, and wakes whom it concerns. `None` when nobody reads and nothing is to be kept.
    fn append(self: &Arc<Self>, topic: &Topic, event: Appendable) -> Result<Option<Appended>> {
        if self.closed.load(Relaxed) {
            return Err(Error::closed("publish", topic));
        }
        let topics = self.read_topics();
        let appended = match topics.get(topic) {
            Some(state) => state.append(event),
            None if self.settings.keeps_nothing(topic.family()) => return Ok(None),
            None => Err(event),
        };
        drop(topics);
        let mut appended = match appended {
            Ok(appended) => appended?,
            Err(event) => self.append_to_new(topic, event)?,
        };
        std::mem::take(&mut appended.wakes).fire();
        if self.bytes.load(Relaxed) > self.settings.max_bytes {
            self.evict();
        }
        Ok(Some(appended))
    }

    fn append_to_new(self: &Arc<Self>, topic: &Topic, mut event: Appendable) -> Result<Appended> {
        loop {
            match self.topic(topic).append(event) {
                Ok(appended) => return appended,
                Err(back) => event = back,
            }
        }
    }

    /// Applies retention to topics where nothing is published any more, for as long as the bus lives.
    fn start_sweeper(self: &Arc<Self>) {
        let Some(runtime) = self.runtime() else {
            return;
        };
        if self.sweeping.swap(true, Relaxed) {
            return;
        }
        let bus = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let Some(bus) = bus.upgrade() else { return };
                bus.sweep();
            }
        });
    }

    fn sweep(&self) {
        let now = Timestamp::now();
        let states: Vec<_> = self.read_topics().values().cloned().collect();
        for state in states {
            if state.expire(now) {
                self.remove_if_idle(state.topic());
            }
        }
    }

    /// Makes room when all topics together hold too much: first what is too old, then whole histories that nobody reads, the
    /// longest untouched first.
    fn evict(&self) {
        let goal = self.settings.max_bytes - self.settings.max_bytes / 10;
        self.sweep();
        let mut states: Vec<_> = self.read_topics().values().cloned().collect();
        states.sort_by_cached_key(|state| state.last_touched());
        for state in states {
            if self.bytes.load(Relaxed) <= goal {
                return;
            }
            if state.drop_history() {
                self.remove_if_idle(state.topic());
            }
        }
    }

    /// Forgets a topic that nobody uses.
    fn remove_if_idle(&self, topic: &Topic) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.get(topic).is_some_and(|state| state.is_idle()) {
            topics.remove(topic);
        }
    }

    fn runtime(&self) -> Option<Handle> {
        Handle::try_current()
            .ok()
            .or_else(|| self.runtime.get().cloned())
    }
}

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
