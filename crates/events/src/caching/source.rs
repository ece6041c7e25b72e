//! The subscription of the caching layer.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::glance::Glance;
use super::splice::{Outcome, Splice, Step};
use crate::{
    CachePage, Delivery, ErrorKind, EventCache, Fill, OpFuture, StartFrom, Subscription,
    SubscriptionSource, Text, Topic,
};

/// Events that are read from the cache in one go.
const PAGE: usize = 256;

pub(super) struct CachingSource {
    topic: Topic,
    cache: Arc<dyn EventCache>,
    live: Subscription,
    splice: Splice,
    taken: VecDeque<Delivery>,
    page: Option<OpFuture<'static, CachePage>>,
    /// When to look for what others have appended, if the bus does not tell of that.
    glance: Option<Glance>,
    /// The pages that are read now were not missed by anybody.
    glancing: bool,
}

impl CachingSource {
    pub(super) fn new(
        topic: &Topic,
        cache: Arc<dyn EventCache>,
        live: Subscription,
        start: StartFrom,
        head: Option<&CachePage>,
    ) -> Self {
        let splice = Splice::new(Text::from(Arc::clone(topic.name())), start, head);
        Self {
            topic: topic.clone(),
            cache,
            live,
            splice,
            taken: VecDeque::new(),
            page: None,
            glance: None,
            glancing: false,
        }
    }

    /// Looks into the cache whenever nothing has come for so long.
    pub(super) fn poll_cache(mut self, every: Option<Duration>) -> Self {
        self.glance = every.map(Glance::new);
        self
    }

    fn poll_page(
        &mut self,
        cx: &mut Context<'_>,
        from: u64,
        into: &mut VecDeque<Delivery>,
    ) -> Poll<Outcome> {
        let page = self
            .page
            .get_or_insert_with(|| self.cache.read(&self.topic, from, PAGE));
        let result = ready!(Pin::new(page).poll(cx));
        self.page = None;
        Poll::Ready(match result {
            Ok(page) => self.splice.page(page, into),
            Err(error) if self.glancing && !self.splice.is_holding() => {
                tracing::debug!(topic = %self.topic, %error, "the cache was not looked at; trying again");
                self.splice.page_skipped()
            }
            Err(error) => self.splice.page_failed(error, into),
        })
    }

    /// Takes live deliveries until one of them has to wait for the cache.
    fn poll_live(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Option<Fill>> {
        if self.taken.is_empty()
            && let Some(fill) = ready!(self.poll_taken(cx, max))
        {
            return Poll::Ready(Some(fill));
        }
        while !self.splice.is_holding() {
            let Some(delivery) = self.taken.pop_front() else {
                break;
            };
            self.splice.live(delivery, into);
        }
        Poll::Ready(None)
    }

    /// Takes what the live side has; `None` when it was a delivery or something for the splice.
    fn poll_taken(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Option<Fill>> {
        match ready!(self.live.poll_fill(cx, &mut self.taken, max)) {
            Fill::Some => {}
            Fill::Notice(notice) => match notice.kind() {
                ErrorKind::Cleared => self.splice.live_cleared(),
                ErrorKind::Truncated => self.splice.live_lost(),
                _ => return Poll::Ready(Some(Fill::Notice(notice))),
            },
            other => return Poll::Ready(Some(other)),
        }
        Poll::Ready(None)
    }

    /// Looks at the first live event, if one is there, before the first page.
    fn peek_live(&mut self, cx: &mut Context<'_>, max: usize) -> Option<Fill> {
        while self.taken.is_empty() {
            match self.poll_taken(cx, max) {
                Poll::Pending => return None,
                Poll::Ready(None) => {}
                Poll::Ready(fill) => return fill,
            }
        }
        if let Some(first) = self.taken.front() {
            self.splice.peek(first);
        }
        None
    }
}

impl SubscriptionSource for CachingSource {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        loop {
            match self.splice.step() {
                Step::Read(from) => {
                    // A page that is under way may be older than what the live side has by now.
                    if self.page.is_none() && self.splice.wants_live_first() {
                        match self.peek_live(cx, max) {
                            // The history is still to be read after the end of the live side.
                            None | Some(Fill::End) => {}
                            Some(fill) => return Poll::Ready(fill),
                        }
                    }
                    if let Outcome::Notice(notice) = ready!(self.poll_page(cx, from, into)) {
                        return Poll::Ready(Fill::Notice(notice));
                    }
                }
                Step::Live => {
                    self.glancing = false;
                    match self.poll_live(cx, into, max) {
                        Poll::Ready(Some(fill)) => return Poll::Ready(fill),
                        Poll::Ready(None) => {}
                        Poll::Pending => {
                            let Some(glance) = &mut self.glance else {
                                return Poll::Pending;
                            };
                            ready!(glance.poll(cx));
                            self.glancing = true;
                            self.splice.live_lost();
                        }
                    }
                }
            }
            if !into.is_empty() {
                if let Some(glance) = &mut self.glance {
                    glance.heard();
                }
                return Poll::Ready(Fill::Some);
            }
        }
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        self.live.unsubscribe()
    }

    fn take_flush(&mut self) -> bool {
        self.live.take_flush()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    use tokio::sync::Notify;

    use super::super::POLL;
    use super::*;
    use crate::{
        CachePosition, CachingPubSub, Error, Event, InProcessPubSub, MemoryCache, NewEvent, PubSub,
        PubSubExt, Reach, SubscribeOptions,
    };

    /// A cache for others, too, that answers reads when it is let, with what it had when it was asked, or not at all.
    #[derive(Debug, Default)]
    struct Slow {
        cache: MemoryCache,
        reads: AtomicU32,
        shared: bool,
        held: AtomicBool,
        broken: AtomicBool,
        let_go: Arc<Notify>,
    }

    impl EventCache for Slow {
        fn append<'a>(&'a self, topic: &'a Topic, event: Event) -> OpFuture<'a, CachePosition> {
            self.cache.append(topic, event)
        }

        fn reach(&self) -> Reach {
            match self.shared {
                true => Reach::Host,
                false => Reach::Process,
            }
        }

        fn read(&self, topic: &Topic, from: u64, limit: usize) -> OpFuture<'static, CachePage> {
            self.reads.fetch_add(1, Relaxed);
            if self.broken.load(Relaxed) {
                let error = Error::new(ErrorKind::Unavailable, "read", "broken");
                return OpFuture::ready(Err(error));
            }
            let page = self.cache.read(topic, from, limit);
            let let_go = self.held.load(Relaxed).then(|| Arc::clone(&self.let_go));
            OpFuture::new(async move {
                if let Some(let_go) = let_go {
                    let_go.notified().await;
                }
                page.await
            })
        }

        fn clear<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
            self.cache.clear(topic)
        }

        fn trim<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
            self.cache.trim(topic, before)
        }
    }

    #[tokio::test]
    async fn a_page_that_is_older_than_the_first_live_event_is_no_other_history() {
        let cache = Arc::new(Slow::default());
        let bus = InProcessPubSub::builder().no_replay().build();
        let bus = CachingPubSub::new(Arc::new(bus), Arc::clone(&cache) as _);
        let topic = Topic::from("t");
        let options = SubscribeOptions::new().start(StartFrom::Earliest);
        let mut reader = bus.subscribe(&topic, options).await.expect("subscribed");
        cache.held.store(true, Relaxed);
        let mut reading = Box::pin(reader.next());
        let waits = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "the empty page is under way");
        cache.held.store(false, Relaxed);
        bus.publish(&topic, NewEvent::new("n", "r"))
            .await
            .expect("published");
        let waits = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await;
        assert!(waits);
        cache.let_go.notify_one();
        let first = reading.await.expect("open");
        assert_eq!(first.expect("no notice").event().index, Some(0));
    }

    #[tokio::test]
    async fn a_cache_that_breaks_is_told_once_and_live_events_go_on() {
        for cleared_before in [false, true] {
            let cache = Arc::new(Slow::default());
            let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::builder().no_replay().build());
            let caching = CachingPubSub::new(Arc::clone(&bus), Arc::clone(&cache) as _);
            let topic = Topic::from("t");
            let options = SubscribeOptions::new().start(StartFrom::Earliest);
            let mut reader = caching
                .subscribe(&topic, options)
                .await
                .expect("subscribed");
            if cleared_before {
                let published = caching.publish(&topic, NewEvent::new("n", "r")).await;
                published.expect("published");
                let first = reader.next().await.expect("open");
                assert_eq!(first.expect("no notice").event().index, Some(0));
                caching.clear_topic(&topic).await.expect("cleared");
                let notice = reader.next().await.expect("open").expect_err("a notice");
                assert_eq!(notice.kind(), ErrorKind::Cleared);
            }
            cache.broken.store(true, Relaxed);
            for index in 0..3 {
                let mut copy = NewEvent::new("n", "r");
                copy.index = Some(index);
                bus.publish(&topic, copy).await.expect("published");
            }
            let notice = reader.next().await.expect("open").expect_err("a notice");
            assert_eq!(notice.kind(), ErrorKind::Cache);
            for index in 0..3 {
                let next = reader.next().await.expect("open");
                assert_eq!(next.expect("no notice").event().index, Some(index));
            }
        }
    }

    fn on(cache: &Arc<Slow>) -> CachingPubSub {
        let bus = InProcessPubSub::builder().no_replay().build();
        CachingPubSub::new(Arc::new(bus), Arc::clone(cache) as _)
    }

    async fn indices(reader: &mut Subscription, count: usize) -> Vec<Option<u64>> {
        let mut indices = Vec::new();
        while indices.len() < count {
            let next = reader.next().await.expect("open");
            indices.push(next.expect("no notice").event().index);
        }
        indices
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_bus_appends_to_a_shared_cache_is_found_there() {
        for start in [StartFrom::Earliest, StartFrom::Latest, StartFrom::Offset(1)] {
            let cache = Arc::new(Slow {
                shared: true,
                ..Slow::default()
            });
            let (here, elsewhere) = (on(&cache), on(&cache));
            let topic = Topic::from("t");
            let publish = async |bus: &CachingPubSub| {
                let published = bus.publish(&topic, NewEvent::new("n", "r")).await;
                published.expect("published").seq
            };
            let options = SubscribeOptions::new().start(start);
            let mut reader = here.subscribe(&topic, options).await.expect("subscribed");
            for bus in [&elsewhere, &elsewhere, &here, &elsewhere] {
                publish(bus).await;
            }
            let first = u64::from(start == StartFrom::Offset(1));
            let expected: Vec<_> = (first..4).map(Some).collect();
            assert_eq!(indices(&mut reader, expected.len()).await, expected);
            // Also after a look that failed, of which nothing is said.
            cache.broken.store(true, Relaxed);
            let silent = tokio::time::timeout(POLL * 3, reader.next()).await;
            assert!(silent.is_err(), "{start:?}");
            cache.broken.store(false, Relaxed);
            assert_eq!(publish(&elsewhere).await, Some(4));
            assert_eq!(indices(&mut reader, 1).await, [Some(4)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_looked_at_only_where_it_reaches_farther_and_nothing_comes() {
        for (shared, poll, looks) in [
            (false, Some(POLL), 0),
            (true, None, 0),
            (true, Some(POLL), 10),
            (true, Some(POLL * 2), 5),
        ] {
            let cache = Arc::new(Slow {
                shared,
                ..Slow::default()
            });
            let bus = on(&cache).poll(poll);
            let options = SubscribeOptions::new();
            let mut reader = bus.subscribe("t", options).await.expect("subscribed");
            let before = cache.reads.load(Relaxed);
            let silence = POLL * 10 + POLL / 2;
            let silent = tokio::time::timeout(silence, reader.next()).await;
            assert!(silent.is_err());
            assert_eq!(
                cache.reads.load(Relaxed) - before,
                looks,
                "{shared} {poll:?}"
            );
        }
    }
}
