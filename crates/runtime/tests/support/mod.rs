//! What the tests of stores share.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests: what fails here is a failed test"
)]

use std::sync::Arc;

use bowline_events::{EventCache, NewEvent, PubSubExt, Result, StartFrom, SubscribeOptions, Topic};
use bowline_runtime::{BusConfig, CacheConfig, OpenBus, StoreConfig, Stores};
use bowline_store::Store;

/// The store that `url` names.
pub async fn open(stores: &Stores, url: &str) -> Result<Arc<dyn Store>> {
    stores.open(&StoreConfig::from_url(url)?).await
}

/// Appends `events` events to `topic`.
pub async fn append(cache: &dyn EventCache, topic: &str, events: usize) {
    for _ in 0..events {
        let event = NewEvent::new("chunk", "run-1").stamp();
        cache.append(&Topic::new(topic), event).await.unwrap();
    }
}

/// Publishes two events with a cache of its own, as a process would that began just now, and reads all of `expected`.
pub async fn publish_and_read(cache: &CacheConfig, expected: u64) {
    let bus = BusConfig::from_url("memory:").unwrap();
    let bus = OpenBus::open_cached(&bus, cache).await.unwrap();
    for _ in 0..2 {
        let event = NewEvent::new("chunk", "run-1");
        bus.pubsub().publish("stream", event).await.unwrap();
    }
    let options = SubscribeOptions::new().start(StartFrom::Earliest);
    let mut stream = bus.pubsub().subscribe("stream", options).await.unwrap();
    for index in 0..expected {
        let delivery = stream.next().await.unwrap().unwrap();
        assert_eq!(delivery.index, Some(index));
    }
}
