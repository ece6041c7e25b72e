//! A cache laid over the bus.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{CachingPubSub, EventCache, PubSub};
use bowline_redis::RedisCache;
use serde_json::{Map, Value};

/// Lays the cache that `options` describes over `bus`. Options keep the names they have in Node peers.
pub(crate) fn over(bus: Arc<dyn PubSub>, options: &Value) -> Result<CachingPubSub, String> {
    let options = options
        .as_object()
        .ok_or("the cache is not a JSON object")?;
    let cache: Arc<dyn EventCache> = match options.get("kind").and_then(Value::as_str) {
        Some("redis") => Arc::new(redis(options)?),
        other => return Err(format!("unknown cache {other:?}; known: redis")),
    };
    Ok(CachingPubSub::new(bus, cache))
}

fn text<'a>(options: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match options.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(format!("option {name:?} of the cache is not a text")),
        },
    }
}

/// The time to live, if there is an option for it; 0 is for ever.
fn lifetime(options: &Map<String, Value>) -> Result<Option<Option<Duration>>, String> {
    match options.get("ttlSeconds").map(|value| value.as_u64()) {
        None => Ok(None),
        Some(Some(seconds)) => Ok(Some(
            Some(Duration::from_secs(seconds)).filter(|ttl| !ttl.is_zero()),
        )),
        Some(None) => Err("option \"ttlSeconds\" of the cache is not a number".into()),
    }
}

fn redis(options: &Map<String, Value>) -> Result<RedisCache, String> {
    let url = text(options, "url")?.ok_or("a cache needs a \"url\"")?;
    let mut builder = RedisCache::builder(url);
    if let Some(prefix) = text(options, "keyPrefix")? {
        builder = builder.key_prefix(prefix);
    }
    if let Some(prefix) = text(options, "topicPrefix")? {
        builder = builder.topic_prefix(prefix);
    }
    if let Some(ttl) = lifetime(options)? {
        builder = builder.ttl(ttl);
    }
    builder.build().map_err(|error| error.to_string())
}
