//! Histories that somebody else clears under an observer.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use crate::{
    CachingPubSub, ErrorKind, Event, EventCache, InProcessPubSub, MemoryCache, NewEvent, PubSub,
    PubSubExt, StartFrom, SubscribeOptions, Subscription, Topic,
};

/// A test that waits longer fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bus and a cache whose publishers are elsewhere: each copy goes out when the test says so.
struct Stage {
    bus: Arc<dyn PubSub>,
    cache: Arc<dyn EventCache>,
    topic: Topic,
    /// Live copies carry the name of their history.
    named: bool,
}

impl Stage {
    fn set(named: bool) -> Self {
        Self {
            bus: Arc::new(InProcessPubSub::builder().no_replay().build()),
            cache: Arc::new(MemoryCache::new()),
            topic: Topic::agent_stream("r"),
            named,
        }
    }

    async fn observe(&self) -> Subscription {
        let caching = CachingPubSub::new(Arc::clone(&self.bus), Arc::clone(&self.cache));
        let options = SubscribeOptions::new().start(StartFrom::Offset(0));
        let observer = caching.subscribe(&self.topic, options).await;
        observer.expect("subscribed")
    }

    /// Keeps an event; what its live copy will be.
    async fn keep(&self, label: &'static str) -> NewEvent {
        let event = NewEvent::new(label, "r");
        let kept: Event = event.clone().stamp();
        let position = self.cache.append(&self.topic, kept).await.expect("kept");
        NewEvent {
            index: Some(position.index),
            generation: position.generation.filter(|_| self.named),
            ..event
        }
    }

    async fn keep_all<const N: usize>(&self, labels: [&'static str; N]) -> Vec<NewEvent> {
        let mut copies = Vec::new();
        for label in labels {
            copies.push(self.keep(label).await);
        }
        copies
    }

    async fn send(&self, copies: Vec<NewEvent>) {
        for copy in copies {
            let sent = self.bus.publish(&self.topic, copy).await;
            sent.expect("published");
        }
    }

    async fn clear_cache(&self) {
        self.cache.clear(&self.topic).await.expect("cleared");
    }
}

/// Bus and cache answer at once here, so that an observer that waits has nothing more.
async fn is_quiet(observer: &mut Subscription) {
    let mut next = Box::pin(observer.next());
    let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "{polled:?}");
}

/// The labels of the next `count` things that the observer gets; a notice of a clear is `"cleared"`.
async fn take(observer: &mut Subscription, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = timeout(PATIENCE, observer.next()).await;
        taken.push(match next.expect("in time").expect("open") {
            Ok(delivery) => delivery.event().event_type.to_string(),
            Err(notice) if notice.kind() == ErrorKind::Cleared => "cleared".to_owned(),
            Err(notice) => panic!("{notice}"),
        });
    }
    taken
}

#[tokio::test]
async fn copies_that_come_after_the_clear_are_not_shown_again() {
    for named in [false, true] {
        let stage = Stage::set(named);
        let copies = stage.keep_all(["a", "b", "c"]).await;
        let mut observer = stage.observe().await;
        assert_eq!(take(&mut observer, 3).await, ["a", "b", "c"]);
        stage.clear_cache().await;
        stage.send(copies).await;
        if !named {
            // A name gives a copy away before the cache is asked.
            assert_eq!(take(&mut observer, 1).await, ["cleared"]);
        }
        is_quiet(&mut observer).await;
        let copies = stage.keep_all(["d", "e"]).await;
        stage.send(copies).await;
        if named {
            assert_eq!(take(&mut observer, 1).await, ["cleared"]);
        }
        assert_eq!(take(&mut observer, 2).await, ["d", "e"]);
        is_quiet(&mut observer).await;
    }
}

#[tokio::test]
async fn copies_of_an_old_history_do_not_stand_for_events_of_the_new_one() {
    for named in [false, true] {
        let stage = Stage::set(named);
        let copies = stage.keep_all(["a", "b", "c"]).await;
        let mut observer = stage.observe().await;
        assert_eq!(take(&mut observer, 3).await, ["a", "b", "c"]);
        stage.clear_cache().await;
        let newer = stage.keep_all(["d", "e"]).await;
        // The third copy has the index that the observer needs next.
        stage.send(copies).await;
        stage.send(newer).await;
        assert_eq!(take(&mut observer, 3).await, ["cleared", "d", "e"]);
        is_quiet(&mut observer).await;
        let last = stage.keep_all(["f"]).await;
        stage.send(last).await;
        assert_eq!(take(&mut observer, 1).await, ["f"], "{named}");
        is_quiet(&mut observer).await;
    }
}

#[tokio::test]
async fn an_emptied_history_is_told_once() {
    for named in [false, true] {
        let stage = Stage::set(named);
        stage.keep_all(["a", "b"]).await;
        let mut observer = stage.observe().await;
        let copies = stage.keep_all(["c"]).await;
        stage.send(copies).await;
        stage.clear_cache().await;
        assert_eq!(take(&mut observer, 1).await, ["cleared"]);
        let copies = stage.keep_all(["d"]).await;
        stage.send(copies).await;
        assert_eq!(take(&mut observer, 1).await, ["d"], "{named}");
    }
}
