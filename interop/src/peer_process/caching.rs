//! A cache laid over the bus.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{CachingPubSub, EventCache, PubSub};
use bowline_redis::{RedisCache, UpstashCache};
use serde_json::{Map, Value};

/// Lays the cache that `options` describes over `bus`. Options keep the names they have in Node peers.
pub(crate) fn over(bus: Arc<dyn PubSub>, options: &Value) -> Result<CachingPubSub, String> {
    let options = Options(options.as_object().ok_or("the cache is no JSON object")?);
    let cache: Arc<dyn EventCache> = match options.text("kind")? {
        Some("redis") => Arc::new(redis(&options)?),
        Some("upstash") => Arc::new(upstash(&options)?),
        other => return Err(format!("unknown cache {other:?}; known: redis, upstash")),
    };
    Ok(CachingPubSub::new(bus, cache))
}

struct Options<'a>(&'a Map<String, Value>);

impl Options<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let text = |value: &Value| value.as_str().is_some();
        match self.0.get(name) {
            Some(value) if !text(value) => Err(format!("option {name:?} of the cache is no text")),
            value => Ok(value.and_then(Value::as_str)),
        }
    }

    fn required(&self, name: &str) -> Result<&str, String> {
        self.text(name)?
            .ok_or_else(|| format!("the cache needs {name:?}"))
    }

    /// The time to live, if there is an option for it; 0 is for ever.
    fn lifetime(&self) -> Result<Option<Option<Duration>>, String> {
        let Some(value) = self.0.get("ttlSeconds") else {
            return Ok(None);
        };
        let seconds = value
            .as_u64()
            .ok_or("option \"ttlSeconds\" of the cache is no number")?;
        Ok(Some(
            Some(Duration::from_secs(seconds)).filter(|ttl| !ttl.is_zero()),
        ))
    }
}

fn redis(options: &Options<'_>) -> Result<RedisCache, String> {
    let mut builder = RedisCache::builder(options.required("url")?);
    if let Some(prefix) = options.text("keyPrefix")? {
        builder = builder.key_prefix(prefix);
    }
    if let Some(prefix) = options.text("topicPrefix")? {
        builder = builder.topic_prefix(prefix);
    }
    if let Some(ttl) = options.lifetime()? {
        builder = builder.ttl(ttl);
    }
    builder.build().map_err(|error| error.to_string())
}

fn upstash(options: &Options<'_>) -> Result<UpstashCache, String> {
    let mut builder = UpstashCache::builder(options.required("url")?, options.required("token")?);
    if let Some(prefix) = options.text("keyPrefix")? {
        builder = builder.key_prefix(prefix);
    }
    if let Some(prefix) = options.text("topicPrefix")? {
        builder = builder.topic_prefix(prefix);
    }
    if let Some(ttl) = options.lifetime()? {
        builder = builder.ttl(ttl);
    }
    builder.build().map_err(|error| error.to_string())
}
