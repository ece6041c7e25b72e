//! Defects in what a bus is asked to do.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{
    Acquired, BatchPolicy, Capabilities, Error, ErrorKind, Event, InProcessPubSub, LeaseProvider,
    NewEvent, OpFuture, Overflow, PubSub, PublishOptions, Published, StartFrom, SubscribeOptions,
    Subscription, Text, Topic, TopicInfo,
};

use super::Sabotage;
use super::stream::Spoiled;

/// An in-process bus with one defect. Clones are further participants.
#[derive(Clone)]
pub(crate) struct Broken {
    inner: InProcessPubSub,
    sabotage: Sabotage,
    closed: Arc<AtomicBool>,
    refused: Arc<AtomicBool>,
    published: Arc<AtomicUsize>,
    cleared: Arc<AtomicBool>,
    members: Arc<Mutex<HashSet<(Topic, String)>>>,
    leak: Arc<Mutex<Vec<Subscription>>>,
}

impl Broken {
    pub(crate) fn new(sabotage: Sabotage) -> Self {
        let redelivers = matches!(
            sabotage,
            Sabotage::RedeliversUnasked | Sabotage::DropIsNackForAll | Sabotage::FanoutCapTooLow
        );
        Self {
            inner: InProcessPubSub::builder()
                .fanout_redelivery(redelivers)
                .build(),
            sabotage,
            closed: Arc::default(),
            refused: Arc::default(),
            published: Arc::default(),
            cleared: Arc::default(),
            members: Arc::default(),
            leak: Arc::default(),
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn topic(&self, topic: &Topic) -> Topic {
        match self.sabotage {
            Sabotage::TrimsTopicNames => Topic::from(topic.trim()),
            Sabotage::CutsTopicsAtNul => Topic::from(topic.split('\0').next().unwrap_or_default()),
            Sabotage::OneTopicForAll => Topic::from("all"),
            _ => topic.clone(),
        }
    }

    /// The options that the bus really gets; `None` for a subscription that will stay silent.
    fn options(&self, topic: &Topic, mut options: SubscribeOptions) -> Option<SubscribeOptions> {
        match self.sabotage {
            Sabotage::IgnoresGroups => options.group = None,
            Sabotage::OneGroupForAll if options.group.is_some() => {
                options.group = Some("all".into());
            }
            Sabotage::StartsLatest => options.start = StartFrom::Latest,
            Sabotage::StartsEarliest => options.start = StartFrom::Earliest,
            Sabotage::OffsetOffByOne => {
                if let StartFrom::Offset(offset) = options.start {
                    options.start = StartFrom::Offset(offset.saturating_sub(1));
                }
            }
            Sabotage::OffsetAheadIsEarliest
                if matches!(options.start, StartFrom::Offset(1000..)) =>
            {
                options.start = StartFrom::Earliest;
            }
            Sabotage::IgnoresLeaseTime => options.lease = None,
            Sabotage::IgnoresBatch => options.batch = None,
            Sabotage::IgnoresMaxWait | Sabotage::AlwaysDropsOldest | Sabotage::ForgetsImmediate => {
                if let Some(policy) = &mut options.batch {
                    self.blunt(policy);
                }
            }
            Sabotage::PolicyPanicCloses => {
                let policy = options.batch.as_ref();
                if let Some(test) = policy.and_then(|policy| policy.is_immediate.clone()) {
                    let probe = NewEvent::new("probe", "r").stamp();
                    if catch_unwind(AssertUnwindSafe(|| test(&probe))).is_err() {
                        drop(self.inner.close());
                    }
                }
            }
            Sabotage::OnlyFirstMemberWorks => {
                if let Some(group) = &options.group {
                    let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
                    if !members.insert((topic.clone(), group.to_string())) {
                        return None;
                    }
                }
            }
            Sabotage::ResetsGroups => {
                if let Some(group) = &options.group {
                    let member = self
                        .members
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .len();
                    let name = format!("{group}-{member}");
                    self.members
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert((topic.clone(), name.clone()));
                    options.group = Some(name.into());
                }
            }
            _ => {}
        }
        Some(options)
    }

    fn blunt(&self, policy: &mut BatchPolicy) {
        match self.sabotage {
            Sabotage::IgnoresMaxWait => policy.max_wait = None,
            Sabotage::AlwaysDropsOldest => policy.overflow = Overflow::DropOldest,
            _ => policy.is_immediate = None,
        }
    }

    async fn append(
        &self,
        topic: Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> Result<Published, Error> {
        match self.sabotage {
            Sabotage::PublishesTwice => {
                self.inner
                    .publish_with(&topic, event.clone(), options)
                    .await?;
            }
            Sabotage::PublishesInParallel
                if self.published.fetch_add(1, Relaxed).is_multiple_of(3) =>
            {
                let inner = self.inner.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    inner.publish_with(&topic, event, options).await
                });
                return Ok(Published::new(None, None));
            }
            Sabotage::LosesAfterRefusal => {
                if event.data.weight() > LIMIT {
                    self.refused.store(true, Relaxed);
                } else if self.refused.swap(false, Relaxed) {
                    return Ok(Published::new(None, None));
                }
            }
            Sabotage::PublishWaitsForReaders if self.published.fetch_add(1, Relaxed) > 500 => {
                std::future::pending::<()>().await;
            }
            Sabotage::BadDataCloses if event.data.to_json().is_err() => {
                self.inner.close().await?;
            }
            Sabotage::ClearSilences if self.cleared.load(Relaxed) => {
                return Ok(Published::new(None, None));
            }
            Sabotage::HangsEndingRuntimes | Sabotage::EndsWithAnyRuntime => {
                let last = LastAct(self.clone());
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(last);
                });
            }
            Sabotage::RefusesUnheard if self.inner.subscriber_count(&topic) == 0 => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "publish",
                    "nobody listens",
                ));
            }
            _ => {}
        }
        let refuses = self.is(Sabotage::None) || self.is(Sabotage::LosesAfterRefusal);
        if refuses && event.data.weight() > LIMIT {
            return Err(Error::new(ErrorKind::TooLarge, "publish", "over the limit"));
        }
        let published = self.inner.publish_with(&topic, event, options).await;
        match published {
            Err(error)
                if self.is(Sabotage::ClosedBusPublishes) && error.kind() == ErrorKind::Closed =>
            {
                Ok(Published::new(None, None))
            }
            published => published,
        }
    }
}

/// What happens when the runtime ends in which something was published.
struct LastAct(Broken);

impl Drop for LastAct {
    fn drop(&mut self) {
        if self.0.is(Sabotage::EndsWithAnyRuntime) {
            drop(self.0.inner.close());
            return;
        }
        loop {
            std::thread::park();
        }
    }
}

/// The size limit that the workshop declares.
const LIMIT: usize = 8 * 1024 * 1024;

impl PubSub for Broken {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        OpFuture::new(self.append(self.topic(topic), event, options))
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        let mut target = self.topic(topic);
        if self.is(Sabotage::GroupsSpanTopics) && options.group.is_some() {
            target = Topic::from("groups-1");
        }
        let options = self.options(&target, options);
        OpFuture::new(async move {
            let extreme = |options: &SubscribeOptions| options.start == StartFrom::Offset(u64::MAX);
            if self.is(Sabotage::HangsAtExtremes) && options.as_ref().is_some_and(extreme) {
                std::future::pending::<()>().await;
            }
            let Some(options) = options else {
                return self
                    .inner
                    .subscribe_with(&Topic::from("silence"), SubscribeOptions::new())
                    .await;
            };
            if self.is(Sabotage::SubscribesLate) {
                return Ok(Subscription::new(Box::new(Late::new(
                    self.inner.clone(),
                    target,
                    options,
                ))));
            }
            let subscription = self.inner.subscribe_with(&target, options).await?;
            Ok(Subscription::new(Box::new(Spoiled::new(
                subscription,
                self.sabotage,
                Arc::clone(&self.leak),
            ))))
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        let topic = self.topic(topic);
        OpFuture::new(async move {
            match self.sabotage {
                Sabotage::HistoryIgnoresLimit => {
                    self.inner.history(&topic, offset, usize::MAX).await
                }
                Sabotage::HangsAtExtremes if offset == u64::MAX => std::future::pending().await,
                Sabotage::HistoryIgnoresOffset => self.inner.history(&topic, 0, limit).await,
                Sabotage::HistoryForAnyTopic => Ok(vec![Arc::new(NewEvent::new("x", "r").stamp())]),
                _ => self.inner.history(&topic, offset, limit).await,
            }
        })
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        let topic = self.topic(topic);
        OpFuture::new(async move {
            match self.sabotage {
                Sabotage::ClearDoesNothing => Ok(()),
                Sabotage::ClearClearsAll => {
                    for info in self.inner.topics().await? {
                        self.inner.clear_topic(&info.topic).await?;
                    }
                    Ok(())
                }
                _ => {
                    self.cleared.store(true, Relaxed);
                    self.inner.clear_topic(&topic).await
                }
            }
        })
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        let topic = self.topic(topic);
        OpFuture::new(async move {
            match self.sabotage {
                Sabotage::TrimDoesNothing => Ok(()),
                Sabotage::TrimsOneTooMany => self.inner.trim_topic(&topic, before + 1).await,
                _ => self.inner.trim_topic(&topic, before).await,
            }
        })
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::new(async {
            let mut topics = self.inner.topics().await?;
            match self.sabotage {
                Sabotage::ListsNothing => topics.clear(),
                Sabotage::ListsTwice => topics.extend(topics.clone()),
                Sabotage::ListsWithoutGroups => {
                    topics.iter_mut().for_each(|info| info.groups.clear());
                }
                _ => {}
            }
            Ok(topics)
        })
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        match self.sabotage {
            Sabotage::FlushHangs => OpFuture::new(std::future::pending()),
            Sabotage::FlushFails => {
                OpFuture::ready(Err(Error::new(ErrorKind::Io, "flush", "broken")))
            }
            _ => self.inner.flush(),
        }
    }

    fn close(&self) -> OpFuture<'_, ()> {
        let again = self.closed.swap(true, Relaxed);
        match self.sabotage {
            Sabotage::CloseDoesNothing => OpFuture::ready(Ok(())),
            Sabotage::CloseTwiceFails if again => OpFuture::ready(Err(Error::new(
                ErrorKind::Closed,
                "close",
                "closed already",
            ))),
            _ => self.inner.close(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut said = self.inner.capabilities();
        match self.sabotage {
            Sabotage::None | Sabotage::TakesAnySize | Sabotage::LosesAfterRefusal => {
                said.max_event_bytes = Some(LIMIT);
            }
            Sabotage::FanoutNackIgnored => said.fanout_redelivery = true,
            Sabotage::RedeliversUnasked => said.fanout_redelivery = false,
            Sabotage::FanoutCapTooLow => said.max_deliveries = Some(2),
            Sabotage::ContradictsItself => said.groups = false,
            Sabotage::CapTooLow => said.max_deliveries = Some(2),
            Sabotage::NoCapDeclared => said.max_deliveries = None,
            Sabotage::DeniesReplay => said.replay = false,
            Sabotage::RedeliversInPrivate => said.private_redelivery = false,
            _ => {}
        }
        said
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        if self.is(Sabotage::HidesLeases) {
            return None;
        }
        let inner = self.inner.lease_provider()?;
        Some(Arc::new(BrokenLeases {
            inner,
            sabotage: self.sabotage,
        }))
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sabotage {
            Sabotage::DebugNovel => f.write_str(&"once upon a time ".repeat(100)),
            sabotage => write!(f, "Broken({sabotage:?})"),
        }
    }
}

/// A subscription that attaches with its first read.
struct Late {
    bus: InProcessPubSub,
    topic: Topic,
    options: SubscribeOptions,
    inner: Option<Subscription>,
}

impl Late {
    fn new(bus: InProcessPubSub, topic: Topic, options: SubscribeOptions) -> Self {
        Self {
            bus,
            topic,
            options,
            inner: None,
        }
    }
}

impl bowline_events::SubscriptionSource for Late {
    fn poll_fill(
        &mut self,
        cx: &mut std::task::Context<'_>,
        into: &mut std::collections::VecDeque<bowline_events::Delivery>,
        _max: usize,
    ) -> std::task::Poll<bowline_events::Fill> {
        use bowline_events::Fill;
        use std::task::Poll;
        if self.inner.is_none() {
            let subscribed = self
                .bus
                .subscribe_with(&self.topic, self.options.clone())
                .now_or_self();
            self.inner = subscribed.ok().and_then(Result::ok);
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Fill::End);
        };
        match futures_core::Stream::poll_next(std::pin::Pin::new(inner), cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(delivery))) => {
                into.push_back(delivery);
                Poll::Ready(Fill::Some)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Fill::Notice(error)),
            Poll::Ready(None) => Poll::Ready(Fill::End),
        }
    }
}

#[derive(Debug)]
struct BrokenLeases {
    inner: Arc<dyn LeaseProvider>,
    sabotage: Sabotage,
}

impl LeaseProvider for BrokenLeases {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, Acquired> {
        let granted = || {
            OpFuture::ready(Ok(Acquired {
                acquired: true,
                owner: Some(owner.to_owned().into()),
            }))
        };
        match self.sabotage {
            Sabotage::LeaseForEverybody => granted(),
            Sabotage::LeasesNeverExpire => {
                self.inner.acquire(key, owner, Duration::from_secs(3600))
            }
            Sabotage::ZeroLeases if ttl.is_zero() => granted(),
            _ => self.inner.acquire(key, owner, ttl),
        }
    }

    fn owner<'a>(&'a self, key: &'a str) -> OpFuture<'a, Option<Text>> {
        self.inner.owner(key)
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> OpFuture<'a, ()> {
        if self.sabotage != Sabotage::AnybodyReleases {
            return self.inner.release(key, owner);
        }
        OpFuture::new(async move {
            match self.inner.owner(key).await? {
                Some(holder) => self.inner.release(key, &holder).await,
                None => Ok(()),
            }
        })
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, ttl: Duration) -> OpFuture<'a, bool> {
        match self.sabotage {
            Sabotage::RenewAlwaysTrue => OpFuture::ready(Ok(true)),
            Sabotage::RenewWithoutEffect => OpFuture::new(async move {
                Ok(self
                    .inner
                    .owner(key)
                    .await?
                    .is_some_and(|holder| holder == *owner))
            }),
            _ => self.inner.renew(key, owner, ttl),
        }
    }

    fn transfer<'a>(
        &'a self,
        key: &'a str,
        from: &'a str,
        to: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, bool> {
        match self.sabotage {
            Sabotage::TransferDoesNothing => OpFuture::ready(Ok(true)),
            _ => self.inner.transfer(key, from, to, ttl),
        }
    }
}
