//! Readers of the caching layer notice when a history on a server ends and another one begins, whoever writes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::{
    CachingPubSub, ErrorKind, EventCache, InProcessPubSub, NewEvent, PubSub, PubSubExt, StartFrom,
    SubscribeOptions, Subscription, Topic,
};
use bowline_testkit::{PATIENCE, RedisServer, skips_redis};

use crate::support::{builder, list, node_append, node_record};

struct Stage {
    server: RedisServer,
    bus: Arc<dyn PubSub>,
    caching: CachingPubSub,
    topic: Topic,
}

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Writer {
    Ours,
    /// Live events have an index and no name.
    Node,
}

impl Stage {
    async fn set() -> Self {
        let server = RedisServer::start().await.unwrap();
        let cache: Arc<dyn EventCache> = Arc::new(builder(&server).build().unwrap());
        let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::builder().no_replay().build());
        let caching = CachingPubSub::new(Arc::clone(&bus), cache);
        let topic = Topic::agent_stream("r1");
        Self {
            server,
            bus,
            caching,
            topic,
        }
    }

    async fn publish(&self, writer: Writer, label: &'static str) -> u64 {
        if writer == Writer::Ours {
            let published = self
                .caching
                .publish(&self.topic, NewEvent::new(label, "r1"))
                .await;
            return published.unwrap().seq.unwrap();
        }
        let record = node_record(label, &bowline_events::EventId::random().to_string());
        let index = node_append(&self.server, &self.topic, &record, 300).await as u64;
        let mut live = NewEvent::new(label, "r1");
        live.index = Some(index);
        self.bus.publish(&self.topic, live).await.unwrap();
        index
    }

    /// Lets the history expire now.
    async fn expire(&self) {
        let deadline = Instant::now() + PATIENCE;
        let list = list(&self.topic);
        let counter = format!("{list}:counter");
        for key in [&counter, &list] {
            self.server.command(&["PEXPIRE", key, "1"]).await.unwrap();
        }
        while self
            .server
            .command(&["EXISTS", &list, &counter])
            .await
            .unwrap()
            .int()
            != Some(0)
        {
            assert!(Instant::now() < deadline, "the keys stay");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn observe(&self, start: StartFrom) -> Subscription {
        let options = SubscribeOptions::new().start(start);
        self.caching.subscribe(&self.topic, options).await.unwrap()
    }
}

/// The next thing that a reader gets: a label and index, or the kind of a notice.
async fn next(reader: &mut Subscription) -> Result<(String, u64), ErrorKind> {
    let item = tokio::time::timeout(PATIENCE, reader.next())
        .await
        .expect("in time");
    match item.expect("open") {
        Ok(delivery) => {
            let event = delivery.event();
            Ok((event.event_type.to_string(), event.index.unwrap()))
        }
        Err(notice) => Err(notice.kind()),
    }
}

#[tokio::test]
async fn a_reader_of_an_expired_history_is_told_and_gets_the_whole_new_one() {
    if skips_redis() {
        return;
    }
    use Writer::{Node, Ours};
    for (first, second) in [(Ours, Ours), (Ours, Node), (Node, Ours), (Node, Node)] {
        let stage = Stage::set().await;
        let mut from_nothing = stage.observe(StartFrom::Latest).await;
        for n in 0..3 {
            assert_eq!(stage.publish(first, "old").await, n);
        }
        let mut from_start = stage.observe(StartFrom::Earliest).await;
        let mut from_now = stage.observe(StartFrom::Latest).await;
        for n in 0..3 {
            for reader in [&mut from_nothing, &mut from_start] {
                assert_eq!(next(reader).await, Ok(("old".to_owned(), n)));
            }
        }
        assert_eq!(stage.publish(first, "old").await, 3);
        for reader in [&mut from_nothing, &mut from_start, &mut from_now] {
            assert_eq!(next(reader).await, Ok(("old".to_owned(), 3)), "{first:?}");
        }
        stage.expire().await;
        // Longer than the old history, so that its end does not give it away.
        for n in 0..6 {
            assert_eq!(stage.publish(second, "new").await, n);
        }
        for reader in [&mut from_nothing, &mut from_start, &mut from_now] {
            let told = next(reader).await;
            assert_eq!(told, Err(ErrorKind::Cleared), "{first:?} {second:?}");
            for n in 0..6 {
                assert_eq!(next(reader).await, Ok(("new".to_owned(), n)));
            }
        }
    }
}

#[tokio::test]
async fn writers_of_both_languages_make_one_stream() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let mut live = stage.observe(StartFrom::Latest).await;
    let writers = [Writer::Node, Writer::Ours, Writer::Ours, Writer::Node];
    for n in 0..40_u64 {
        assert_eq!(stage.publish(writers[n as usize % 4], "one").await, n);
    }
    for from in [0, 17, 40] {
        let mut replay = stage.observe(StartFrom::Offset(from)).await;
        for n in from..40 {
            assert_eq!(next(&mut replay).await, Ok(("one".to_owned(), n)));
        }
    }
    for n in 0..40 {
        assert_eq!(next(&mut live).await, Ok(("one".to_owned(), n)));
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_kept_stops_nothing() {
    if skips_redis() {
        return;
    }
    let stage = Stage::set().await;
    let mut live = stage.observe(StartFrom::Latest).await;
    stage.publish(Writer::Ours, "before").await;
    assert_eq!(next(&mut live).await, Ok(("before".to_owned(), 0)));
    stage
        .server
        .command(&["DEL", &list(&stage.topic)])
        .await
        .unwrap();
    stage
        .server
        .command(&["SET", &list(&stage.topic), "taken"])
        .await
        .unwrap();
    let published = stage
        .caching
        .publish(&stage.topic, NewEvent::new("during", "r1"))
        .await;
    assert_eq!(published.unwrap().seq, None);
    let delivery = live.next().await.unwrap().unwrap();
    assert_eq!(delivery.event().event_type, "during");
    assert_eq!(delivery.event().index, None);
    stage.caching.clear_topic(&stage.topic).await.unwrap();
    assert_eq!(stage.publish(Writer::Ours, "after").await, 0);
    assert_eq!(next(&mut live).await, Err(ErrorKind::Cleared));
    assert_eq!(next(&mut live).await, Ok(("after".to_owned(), 0)));
}
