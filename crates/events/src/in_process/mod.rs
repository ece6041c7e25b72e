//! The bus of one process: a map of topics, each a [`TopicLog`](crate::log::TopicLog) behind a lock.
//!
//! A subscription owns no queue: it is a cursor, woken at most once between two reads. No lock is held across an await.

mod append;
mod builder;
mod pressure;
mod pubsub;
mod settle;
mod shared;
mod source;
mod topic;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, RwLock};

use crate::{
    CachePage, CachePosition, Error, ErrorKind, Event, InProcessLeases, OpFuture, Published,
    Result, Text, Topic, TopicMap,
};
use append::{Appendable, Appended};
pub use builder::InProcessPubSubBuilder;
use builder::Settings;
use shared::Shared;

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
