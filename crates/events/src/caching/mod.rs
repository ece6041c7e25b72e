//! Resumable streams over any bus.

mod cache;
#[cfg(test)]
mod clears;
mod glance;
mod joint;
mod memory;
#[cfg(test)]
mod model;
mod source;
mod splice;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

pub use cache::{CachePage, CachePosition, EventCache};
pub use joint::{Joint, JointPublish};
pub use memory::MemoryCache;
use source::CachingSource;

use crate::batch::batched;
use crate::pipeline::pipeline;
use crate::{
    Capabilities, Error, ErrorKind, Event, InProcessPubSub, LeaseProvider, NewEvent, OpFuture,
    PubSub, PublishOptions, Published, Result, StartFrom, SubscribeOptions, Subscription, Topic,
    TopicInfo,
};

/// Keeps the history of topics in an [`EventCache`], so that a subscriber can begin at any offset and go on live.
///
/// # Guarantees
/// - Every event of a cached topic has an `index`, 0 for the first. A subscriber that begins at an offset gets every event from
///   there on exactly once, in the order of the index, whatever is published meanwhile.
/// - A failure of the cache never stops live delivery: the event goes out without an index, and a reader that needed the
///   history gets a notice of kind [`Cache`](crate::ErrorKind::Cache).
/// - Where the cache is shared with processes that the bus does not reach (one SQLite file, and each process with a bus of its own),
///   what they publish is found in the cache, [at most a second](Self::poll) after nothing else comes.
/// - `clear_topic` begins a new generation: attached readers get a [`Cleared`](crate::ErrorKind::Cleared) notice and then the
///   new events, although their indices begin at 0 again (the reference drops those silently). So it is when somebody else clears
///   the cache, or the history expires. No event is delivered a second time across a clear, unless it was refused: a live copy
///   that the cache does not know any more counts as one of the old history. Of that one, what was not delivered may be lost.
///
/// Live events from publishers in Node do not name their history. An observer whose history was cleared or has expired asks the
/// cache about each of them, and cannot tell those of two histories apart if they overtake each other and the bus says nothing of
/// the clear, or if they come from a history that was gone when it attached.
///
/// Run-local topics ([`Topic::is_run_local`]) are cached only with [`cache_run_local`](CachingPubSub::cache_run_local), local publishes never, nor are topics that
/// [`should_cache`](Self::should_cache) rejects. Grouped subscriptions go straight to the wrapped bus.
///
/// A delivery that was read from the history has nobody to hand it back to: refusing it does nothing, whatever
/// [`Capabilities::fanout_redelivery`] says of the bus.
///
/// The events that the cache keeps and those on the bus have different ids; correlate them by `index`. If the bus fails
/// (`Full`, `Unavailable`) after the cache took the event, `publish` fails and the event is in the history all the same.
///
/// ```
/// use bowline_events::{CachingPubSub, NewEvent, PubSubExt, StartFrom, SubscribeOptions, Topic};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// let bus = CachingPubSub::in_process();
/// let stream = Topic::agent_stream("run-1");
/// for word in ["knots", "hold"] {
///     bus.publish(&stream, NewEvent::new("chunk", "run-1").with_json(format!("{word:?}"))?).await?;
/// }
/// let mut observer = bus.subscribe(&stream, SubscribeOptions::new().start(StartFrom::Offset(1))).await?;
/// bus.publish(&stream, NewEvent::new("finish", "run-1")).await?;
/// assert_eq!(observer.next().await.expect("open")?.index, Some(1));
/// assert_eq!(observer.next().await.expect("open")?.event_type, "finish");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CachingPubSub {
    inner: Arc<dyn PubSub>,
    cache: Arc<dyn EventCache>,
    /// Both in one step, where they can.
    joint: Option<Arc<dyn JointPublish>>,
    should_cache: Option<ShouldCache>,
    run_local: bool,
    /// How often subscribers look into a cache that reaches farther than the bus.
    poll: Option<Duration>,
    closed: Arc<AtomicBool>,
}

/// How often subscribers look into the cache, unless it is said.
const POLL: Duration = Duration::from_secs(1);

type ShouldCache = Arc<dyn Fn(&Topic) -> bool + Send + Sync>;

impl CachingPubSub {
    /// Caches what is published on `inner` through this handle in `cache`.
    pub fn new(inner: Arc<dyn PubSub>, cache: Arc<dyn EventCache>) -> Self {
        Self {
            joint: cache.joint(&inner),
            inner,
            cache,
            should_cache: None,
            run_local: false,
            poll: Some(POLL),
            closed: Arc::default(),
        }
    }

    /// An in-process bus with a cache in memory.
    pub fn in_process() -> Self {
        // The cache keeps the history; the bus need not keep it a second time.
        let bus = InProcessPubSub::builder().no_replay().build();
        Self::new(Arc::new(bus), Arc::new(MemoryCache::new()))
    }

    /// Caches only topics for which `test` holds; run-local topics only with [`cache_run_local`](Self::cache_run_local).
    #[must_use]
    pub fn should_cache(mut self, test: impl Fn(&Topic) -> bool + Send + Sync + 'static) -> Self {
        self.should_cache = Some(Arc::new(test));
        self
    }

    /// Caches run-local topics (`workflow.events.v2.<runId>`), too, which the reference does not: the events of a run can then
    /// be watched from any offset, and by other processes. [`should_cache`](Self::should_cache) is asked about them as well.
    #[must_use]
    pub fn cache_run_local(mut self) -> Self {
        self.run_local = true;
        self
    }

    /// How often a subscriber to which nothing comes looks into the cache, where that [reaches](EventCache::reach) farther than the
    /// bus: it is shared with processes whose events the bus does not bring. `None` leaves that be; 1 s unless this is called, and
    /// a millisecond at least.
    #[must_use]
    pub fn poll(mut self, every: Option<Duration>) -> Self {
        self.poll = every.map(|every| every.max(Duration::from_millis(1)));
        self
    }

    /// The wrapped bus.
    pub fn inner(&self) -> &Arc<dyn PubSub> {
        &self.inner
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<dyn EventCache> {
        &self.cache
    }

    fn check_open(&self, operation: &'static str, topic: &Topic) -> Result<()> {
        if self.closed.load(Relaxed) {
            return Err(Error::closed(operation, topic));
        }
        Ok(())
    }

    async fn subscribe_uncached(
        &self,
        topic: &Topic,
        mut options: SubscribeOptions,
    ) -> Result<Subscription> {
        let capabilities = self.inner.capabilities();
        if options.start != StartFrom::Latest && !capabilities.replay {
            let message = "the wrapped bus keeps no history for groups and topics that are not cached; start from latest";
            return Err(
                Error::new(ErrorKind::Unsupported, "subscribe", message).with_subject(topic)
            );
        }
        if capabilities.batching {
            return self.inner.subscribe_with(topic, options).await;
        }
        let batch = options.batch.take();
        let subscription = self.inner.subscribe_with(topic, options).await?;
        Ok(match batch {
            Some(_) => Subscription::new(batched(Box::new(subscription), batch)),
            None => subscription,
        })
    }

    fn caches(&self, topic: &Topic) -> bool {
        (self.run_local || !topic.is_run_local())
            && self.should_cache.as_ref().is_none_or(|test| test(topic))
    }

    /// Calls the cache, then the bus.
    fn append_and_forward<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        // An event that the bus will refuse must not appear in the history.
        if let Err(error) = self.inner.check(topic, &event) {
            return OpFuture::ready(Err(error));
        }
        let stamped: Event = event.clone().stamp();
        match self.cache.append(topic, stamped).now_or_self() {
            Ok(cached) => self.forward(topic, event, cached, options),
            Err(pending) => OpFuture::new(async move {
                let cached = pending.await;
                self.forward(topic, event, cached, options).await
            }),
        }
    }

    /// Publishes on the wrapped bus what the cache has accepted, or failed to accept.
    fn forward<'a>(
        &'a self,
        topic: &'a Topic,
        mut event: NewEvent,
        cached: Result<CachePosition>,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        let index = match cached {
            Ok(position) => {
                event.index = Some(position.index);
                event.generation = position.generation;
                event.index
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "the event is not cached and cannot be replayed");
                None
            }
        };
        match self.inner.publish_with(topic, event, options).now_or_self() {
            Ok(result) => {
                OpFuture::ready(result.map(|published| Published::new(published.id, index)))
            }
            Err(pending) => {
                OpFuture::new(async move { Ok(Published::new(pending.await?.id, index)) })
            }
        }
    }
}

impl PubSub for CachingPubSub {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        mut event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        event.index = None;
        event.generation = None;
        if options.local_only || !self.caches(topic) {
            return self.inner.publish_with(topic, event, options);
        }
        if let Err(error) = self.check_open("publish", topic) {
            return OpFuture::ready(Err(error));
        }
        match &self.joint {
            None => self.append_and_forward(topic, event, options),
            Some(joint) => OpFuture::new(async move {
                match joint.append_and_publish(topic, &event).await? {
                    Joint::Done(published) => Ok(published),
                    Joint::Apart => self.append_and_forward(topic, event, options).await,
                }
            }),
        }
    }

    fn publish_all<'a>(
        &'a self,
        topic: &'a Topic,
        mut events: Vec<NewEvent>,
        options: PublishOptions,
    ) -> OpFuture<'a, Vec<Published>> {
        if options.local_only || !self.caches(topic) {
            return self.inner.publish_all(topic, events, options);
        }
        if self.joint.is_some() {
            // Cache and bus are one server, which takes what comes in the order in which it comes.
            let publish = |event| self.publish_with(topic, event, options);
            return pipeline(events.into_iter().map(publish).collect());
        }
        if let Err(error) = self.check_open("publish", topic) {
            return OpFuture::ready(Err(error));
        }
        // What the bus will refuse must not appear in the history.
        let checked = events
            .iter()
            .try_for_each(|event| self.inner.check(topic, event));
        if let Err(error) = checked {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(async move {
            let stamped = events.iter().map(|event| event.clone().stamp()).collect();
            let positions = self.cache.append_all(topic, stamped).await?;
            for (event, position) in events.iter_mut().zip(positions) {
                match position {
                    Ok(position) => {
                        event.index = Some(position.index);
                        event.generation = position.generation;
                    }
                    Err(error) => {
                        tracing::warn!(%topic, %error, "the event is not cached and cannot be replayed");
                    }
                }
            }
            let indices: Vec<Option<u64>> = events.iter().map(|event| event.index).collect();
            let published = self.inner.publish_all(topic, events, options).await?;
            let indexed = published.into_iter().zip(indices);
            Ok(indexed
                .map(|(published, index)| Published::new(published.id, index))
                .collect())
        })
    }

    fn check(&self, topic: &Topic, event: &NewEvent) -> Result<()> {
        self.inner.check(topic, event)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        if let Err(error) = self.check_open("subscribe", topic) {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(async move {
            if options.group.is_some() || !self.caches(topic) {
                return self.subscribe_uncached(topic, options).await;
            }
            // Asked before the live side is attached: what is published in between is in the first page.
            let head = self.cache.read(topic, u64::MAX, 0).await;
            let live = SubscribeOptions::new().skippable();
            let live = self.inner.subscribe_with(topic, live).await?;
            let cache = Arc::clone(&self.cache);
            let poll = (self.cache.reach() > self.inner.capabilities().reach)
                .then_some(self.poll)
                .flatten();
            let source = CachingSource::new(topic, cache, live, options.start, head.ok().as_ref())
                .poll_cache(poll);
            Ok(Subscription::new(batched(Box::new(source), options.batch)))
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        if let Err(error) = self.check_open("history", topic) {
            return OpFuture::ready(Err(error));
        }
        if !self.caches(topic) {
            return self.inner.history(topic, offset, limit);
        }
        match self.cache.read(topic, offset, limit).now_or_self() {
            Ok(page) => OpFuture::ready(page.map(|page| page.events)),
            Err(pending) => OpFuture::new(async move { Ok(pending.await?.events) }),
        }
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        if let Err(error) = self.check_open("clear", topic) {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(async move {
            let cleared = self.cache.clear(topic).await;
            self.inner.clear_topic(topic).await?;
            cleared
        })
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        if let Err(error) = self.check_open("trim", topic) {
            return OpFuture::ready(Err(error));
        }
        if self.caches(topic) {
            self.cache.trim(topic, before)
        } else {
            self.inner.trim_topic(topic, before)
        }
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::new(async move {
            let mut infos = self.inner.topics().await?;
            for cached in self.cache.topics().await? {
                match infos.iter_mut().find(|info| info.topic == cached.topic) {
                    Some(info) => (info.events, info.bytes) = (cached.events, cached.bytes),
                    None => infos.push(cached),
                }
            }
            infos.sort_by(|a, b| a.topic.cmp(&b.topic));
            Ok(infos)
        })
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.inner.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.closed.store(true, Relaxed);
        self.inner.close()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            replay: true,
            clear: true,
            batching: true,
            list_topics: true,
            ..self.inner.capabilities()
        }
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        self.inner.lease_provider()
    }
}

impl fmt::Debug for CachingPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingPubSub")
            .field("inner", &self.inner)
            .field("cache", &self.cache)
            .finish()
    }
}
