//! Histories in a store: what the clauses for buses do not ask.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachingPubSub, Event, EventCache, InProcessPubSub, NewEvent, PubSub, PubSubExt, Retention,
    StartFrom, SubscribeOptions, Topic, TopicFamily,
};
use bowline_store::{Commit, MemoryStore, SqliteStore, Store, StoreCache, Table};

fn event(number: u64) -> Event {
    let data = format!("{{\"n\":{number}}}");
    NewEvent::new("chunk", "run-1")
        .with_json(data)
        .unwrap()
        .stamp()
}

fn kept(retention: Retention) -> StoreCache {
    let families = TopicFamily::ALL.map(|family| (family, retention));
    StoreCache::with_retention(Arc::new(MemoryStore::new()), families)
}

#[tokio::test]
async fn a_stream_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let topic = Topic::agent_stream("run-1");
    let mut generation = None;
    for start in [0, 3, 6] {
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        let cache = Arc::new(StoreCache::new(Arc::clone(&store) as _));
        let bus = InProcessPubSub::builder().no_replay().build();
        let bus = CachingPubSub::new(Arc::new(bus), cache);
        for number in start..start + 3 {
            bus.publish(&topic, event(number).to_new()).await.unwrap();
        }
        let options = SubscribeOptions::new().start(StartFrom::Offset(1));
        let mut observer = bus.subscribe(&topic, options).await.unwrap();
        for index in 1..start + 3 {
            let seen = observer.next().await.unwrap().unwrap();
            let data: serde_json::Value = seen.event().data.parse().unwrap();
            assert_eq!(
                (seen.event().index, &data["n"]),
                (Some(index), &index.into())
            );
            let seen = seen.event().generation.clone();
            assert!(seen.is_some() && generation.as_ref().is_none_or(|known| *known == seen));
            generation = Some(seen);
        }
        bus.close().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_history_that_begins_anew_has_another_name() {
    let cache = StoreCache::new(Arc::new(MemoryStore::new()));
    let topic = Topic::new("t");
    let first = cache.append(&topic, event(0)).await.unwrap();
    cache.clear(&topic).await.unwrap();
    let second = cache.append(&topic, event(0)).await.unwrap();
    assert_eq!((first.index, second.index), (0, 0));
    assert_ne!(first.generation, second.generation);
    let other = StoreCache::new(Arc::new(MemoryStore::new()));
    let elsewhere = other.append(&topic, event(0)).await.unwrap();
    assert_ne!(
        first.generation, elsewhere.generation,
        "two stores have one history"
    );
}

#[tokio::test]
async fn retention_by_events_and_by_bytes_holds_after_every_append() {
    let hour = Duration::from_secs(3600);
    for retention in [
        Retention::new(usize::MAX, 5, hour),
        Retention::new(1000, usize::MAX, hour),
    ] {
        let cache = kept(retention);
        let topic = Topic::new("t");
        for number in 0..40 {
            assert_eq!(
                cache.append(&topic, event(number)).await.unwrap().index,
                number
            );
            let page = cache.read(&topic, 0, usize::MAX).await.unwrap();
            assert_eq!(page.end, number + 1);
            assert_eq!(
                page.events.len() as u64,
                page.end - page.first,
                "the history has a gap"
            );
            assert!(page.events.len() <= retention.events && !page.events.is_empty());
            let info = cache.topics().await.unwrap().remove(0);
            assert!(info.bytes.unwrap() <= retention.bytes as u64);
        }
        assert!(cache.read(&topic, 0, 1).await.unwrap().first > 30);
    }
}

#[tokio::test]
async fn old_events_are_not_read_and_old_histories_are_swept() {
    let cache = kept(Retention::new(
        usize::MAX,
        usize::MAX,
        Duration::from_millis(20),
    ));
    let topic = Topic::new("t");
    cache.append(&topic, event(0)).await.unwrap();
    // Longer than the age, by the clock that the cache goes by.
    let late = bowline_events::Timestamp::now().as_millis() + 21;
    while bowline_events::Timestamp::now().as_millis() <= late {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let page = cache.read(&topic, 0, usize::MAX).await.unwrap();
    assert_eq!((page.first, page.end, page.events.len()), (1, 1, 0));
    assert_eq!(cache.sweep().await.unwrap(), 1);
    assert!(cache.topics().await.unwrap().is_empty());
    assert_eq!(cache.append(&topic, event(1)).await.unwrap().index, 0);
}

#[tokio::test]
async fn every_name_is_a_topic_of_its_own() {
    let cache = StoreCache::new(Arc::new(MemoryStore::new()));
    let names = [
        "",
        "a",
        "a%00",
        "a\0",
        "a%2500",
        &"long".repeat(1000),
        &"long".repeat(1001),
    ];
    for (number, name) in names.iter().enumerate() {
        cache
            .append(&Topic::new(*name), event(number as u64))
            .await
            .unwrap();
    }
    let mut listed: Vec<_> = cache.topics().await.unwrap();
    listed.sort_by(|a, b| a.topic.cmp(&b.topic));
    let mut expected: Vec<_> = names.map(Topic::new).to_vec();
    expected.sort();
    let listed: Vec<_> = listed.into_iter().map(|info| info.topic).collect();
    assert_eq!(listed, expected);
    for name in names {
        let page = cache.read(&Topic::new(name), 0, 10).await.unwrap();
        assert_eq!(page.events.len(), 1, "{name:?}");
    }
}

#[tokio::test]
async fn an_entry_that_is_no_event_hides_no_other() {
    let store = Arc::new(MemoryStore::new());
    let cache = StoreCache::new(Arc::clone(&store) as _);
    let topic = Topic::new("t");
    cache.append(&topic, event(0)).await.unwrap();
    let damage = Commit::new().append(Table::new("histories").log("t:t"), ["no event"]);
    store.commit(damage).await.unwrap();
    cache.append(&topic, event(2)).await.unwrap();
    let page = cache.read(&topic, 0, 10).await.unwrap();
    let types: Vec<_> = page
        .events
        .iter()
        .map(|it| (it.index, it.event_type.as_str()))
        .collect();
    assert_eq!(
        types,
        [
            (Some(0), "chunk"),
            (Some(1), "bowline.unreadable"),
            (Some(2), "chunk")
        ]
    );
}
