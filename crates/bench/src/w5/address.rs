//! Where a bus on Redis is, and the one option that measurements vary.

use std::fmt;
use std::sync::Arc;

use bowline_events::{EventCache, PubSub};
use bowline_redis::{RedisCache, RedisStreamsPubSub};

use crate::Result;

const CAP: &str = "max_stream_length";

/// The URL of a server, and the cap of the streams that are written there; 0 for none.
///
/// Written as `redis://host:port?max_stream_length=0`. Without the option the bus has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) cap: Option<u64>,
}

impl Address {
    /// The address of a bus with default options.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            cap: None,
        }
    }

    pub(crate) fn with_cap(mut self, cap: u64) -> Self {
        self.cap = Some(cap);
        self
    }

    /// Whether `text` is the address of a bus on Redis.
    pub(crate) fn names(text: &str) -> bool {
        ["redis://", "rediss://", "valkey://", "valkeys://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((url, options)) = text.split_once('?') else {
            return Ok(Self::new(text));
        };
        let cap = options
            .strip_prefix(CAP)
            .and_then(|rest| rest.strip_prefix('='))
            .and_then(|cap| cap.parse().ok())
            .ok_or_else(|| format!("{options:?} in {text:?}; the only option is {CAP}=<number>"))?;
        Ok(Self::new(url).with_cap(cap))
    }

    /// A bus there.
    pub(crate) fn bus(&self) -> Result<Arc<dyn PubSub>> {
        let builder = RedisStreamsPubSub::builder(&self.url);
        let builder = match self.cap {
            Some(cap) => builder.max_stream_length((cap > 0).then_some(cap)),
            None => builder,
        };
        Ok(Arc::new(builder.build()?))
    }

    /// A cache there.
    pub(crate) fn cache(&self) -> Result<Arc<dyn EventCache>> {
        Ok(Arc::new(RedisCache::new(&self.url)?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cap {
            Some(cap) => write!(f, "{}?{CAP}={cap}", self.url),
            None => f.write_str(&self.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for address in [
            Address::new("redis://127.0.0.1:7000"),
            Address::new("rediss://u:p@h/3").with_cap(0),
        ] {
            let text = address.to_string();
            assert!(Address::names(&text));
            assert_eq!(Address::parse(&text).expect("our own form"), address);
        }
        assert!(!Address::names("/tmp/redis/bus.sock"));
    }

    #[test]
    fn an_option_that_is_not_known_is_refused_by_name() {
        for options in ["max_stream_length=many", "maxlen=1", ""] {
            let error = Address::parse(&format!("redis://h?{options}")).expect_err(options);
            assert!(error.to_string().contains(CAP), "{error}");
        }
    }
}
