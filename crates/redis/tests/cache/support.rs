//! What the tests of the caches share.

use std::sync::Arc;

use bowline_events::{CachePage, Event, EventCache, NewEvent, Topic};
use bowline_redis::{RedisCache, RedisCacheBuilder};
use bowline_testkit::{RedisServer, Reply};

/// How a process of the reference appends: one script, its counter beside the list.
const NODE_APPEND: &str = "local n = redis.call('INCR', KEYS[2]) \
    local body = '{\"index\":' .. (n - 1) .. ',' .. string.sub(ARGV[1], 2) \
    redis.call('RPUSH', KEYS[1], body) \
    if tonumber(ARGV[2]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) redis.call('EXPIRE', KEYS[2], ARGV[2]) end \
    return n - 1";

/// The keys that the reference uses for `topic`.
pub(crate) fn keys(topic: &str) -> (String, String) {
    let list = format!("mastra:cache:pubsub:{topic}");
    (format!("{list}:counter"), list)
}

/// The key of the list of `topic`.
pub(crate) fn list(topic: &str) -> String {
    keys(topic).1
}

/// Appends as a process written in Node does.
pub(crate) async fn node_append(server: &RedisServer, topic: &str, record: &str, ttl: u64) -> i64 {
    let (counter, list) = keys(topic);
    let ttl = ttl.to_string();
    let command = ["EVAL", NODE_APPEND, "2", &list, &counter, record, &ttl];
    server.command(&command).await.unwrap().int().unwrap()
}

/// A record as the reference hands it to its script.
pub(crate) fn node_record(event_type: &str, id: &str) -> String {
    format!(
        r#"{{"type":"{event_type}","runId":"r1","data":{{"id":"inner"}},"id":"{id}","createdAt":"2026-11-20T03:14:20.681Z"}}"#
    )
}

/// An event that carries the number `n`.
pub(crate) fn event(n: u64) -> Event {
    let new = NewEvent::new("chunk", "r1").with_json(n.to_string());
    new.unwrap().stamp()
}

/// A cache on `server`, with options to add.
pub(crate) fn builder(server: &RedisServer) -> RedisCacheBuilder {
    RedisCache::builder(server.url())
}

/// A cache on `server` with the default options.
pub(crate) fn cache(server: &RedisServer) -> Arc<dyn EventCache> {
    Arc::new(builder(server).build().unwrap())
}

/// All that is kept of `topic`.
pub(crate) async fn all(cache: &dyn EventCache, topic: &Topic) -> CachePage {
    cache.read(topic, 0, usize::MAX).await.unwrap()
}

/// The indices of a page.
pub(crate) fn indices(page: &CachePage) -> Vec<u64> {
    page.events
        .iter()
        .map(|event| event.index.unwrap())
        .collect()
}

/// The numbers that the events of a page carry.
pub(crate) fn numbers(page: &CachePage) -> Vec<u64> {
    page.events
        .iter()
        .map(|event| event.data.parse().unwrap())
        .collect()
}

/// The elements of the list of `topic`, as they are.
pub(crate) async fn elements(server: &RedisServer, topic: &str) -> Vec<String> {
    server
        .command(&["LRANGE", &list(topic), "0", "-1"])
        .await
        .unwrap()
        .texts()
}

/// Puts `element` at the end of the list of `topic`, index or not.
pub(crate) async fn push(server: &RedisServer, topic: &str, element: &str) -> Reply {
    server
        .command(&["RPUSH", &list(topic), element])
        .await
        .unwrap()
}
