//! The bus and the caches of `bowline-redis` from their configuration.

use std::sync::Arc;

use bowline_events::{Error, ErrorKind, EventCache, Result};

use crate::{OpenBus, RedisCacheConfig, RedisConfig, UpstashCacheConfig};

#[cfg(feature = "redis")]
pub(crate) use with::{bus, cache};

#[cfg(not(feature = "redis"))]
pub(crate) fn bus(_config: &RedisConfig) -> Result<OpenBus> {
    Err(without())
}

#[cfg(not(feature = "redis"))]
pub(crate) fn cache(_config: &RedisCacheConfig) -> Result<Arc<dyn EventCache>> {
    Err(without())
}

pub(crate) fn upstash(_config: &UpstashCacheConfig) -> Result<Arc<dyn EventCache>> {
    Err(without())
}

fn without() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "open",
        "this program was built without Redis; build it with the feature redis of bowline-runtime",
    )
}

#[cfg(feature = "redis")]
mod with {
    use std::path::Path;
    use std::time::Duration;

    use bowline_redis::{
        Redelivery, RedisCache, RedisStreamsPubSub, RedisStreamsPubSubBuilder, Server,
    };

    use super::*;
    use crate::{RedisRedelivery, RedisServer};

    /// How long a refused event waits where the configuration does not say.
    const REDELIVERY_DELAY: Duration = Duration::from_secs(1);

    impl RedisConfig {
        /// The server as `bowline-redis` wants it, with its certificates.
        ///
        /// # Errors
        /// `InvalidInput` for fields that make no URL, and for a file of certificates that cannot be read.
        pub fn client_server(&self) -> Result<Server> {
            client_server(&self.server, self.tls_ca.as_deref())
        }
    }

    impl RedisCacheConfig {
        /// The server as `bowline-redis` wants it, with its certificates.
        ///
        /// # Errors
        /// `InvalidInput` for fields that make no URL, and for a file of certificates that cannot be read.
        pub fn client_server(&self) -> Result<Server> {
            client_server(&self.server, self.tls_ca.as_deref())
        }
    }

    fn client_server(server: &RedisServer, authority: Option<&Path>) -> Result<Server> {
        let server = Server::from_url(&server.url())?;
        match authority {
            Some(path) => server.tls_ca_file(path),
            None => Ok(server),
        }
    }

    pub(crate) fn bus(config: &RedisConfig) -> Result<OpenBus> {
        config.check()?;
        let builder = RedisStreamsPubSub::builder_on(config.client_server()?);
        let builder = limits(builder, config);
        times(builder, config).build().map(OpenBus::Redis)
    }

    fn limits(
        mut builder: RedisStreamsPubSubBuilder,
        config: &RedisConfig,
    ) -> RedisStreamsPubSubBuilder {
        if let Some(prefix) = &config.key_prefix {
            builder = builder.key_prefix(prefix);
        }
        if let Some(topic) = &config.dead_letters {
            builder = builder.dead_letters(topic.as_str());
        }
        if let Some(length) = config.max_stream_length {
            builder = builder.max_stream_length(Some(length).filter(|length| *length > 0));
        }
        if let Some(deliveries) = config.max_deliveries {
            builder = builder.max_deliveries(Some(deliveries).filter(|most| *most > 0));
        }
        macro_rules! set {
            ($($option:ident),*) => {
                $(if let Some(value) = config.$option {
                    builder = builder.$option(value);
                })*
            };
        }
        set!(max_event_bytes, max_in_flight, read_batch, cluster);
        builder
    }

    fn times(
        mut builder: RedisStreamsPubSubBuilder,
        config: &RedisConfig,
    ) -> RedisStreamsPubSubBuilder {
        macro_rules! set {
            ($($option:ident),*) => {
                $(if let Some(time) = config.$option {
                    builder = builder.$option(time);
                })*
            };
        }
        macro_rules! set_unless_zero {
            ($($option:ident),*) => {
                $(if let Some(time) = config.$option {
                    builder = builder.$option(Some(time).filter(|time| !time.is_zero()));
                })*
            };
        }
        set!(block, reclaim_idle, publish_timeout);
        set_unless_zero!(
            stream_idle_ttl,
            reclaim_interval,
            in_flight_timeout,
            sweep_idle
        );
        match config.redelivery {
            Some(RedisRedelivery::Republish) => builder.redelivery(Redelivery::Republish),
            Some(RedisRedelivery::GroupLocal) => builder.redelivery(Redelivery::GroupLocal {
                delay: config.redelivery_delay.unwrap_or(REDELIVERY_DELAY),
            }),
            None => builder,
        }
    }

    pub(crate) fn cache(config: &RedisCacheConfig) -> Result<Arc<dyn EventCache>> {
        config.check()?;
        let mut builder = RedisCache::builder_on(config.client_server()?);
        macro_rules! set {
            ($($option:ident),*) => {
                $(if let Some(value) = config.$option.clone() {
                    builder = builder.$option(value);
                })*
            };
        }
        set!(key_prefix, topic_prefix, timeout, cluster);
        if let Some(ttl) = config.ttl {
            builder = builder.ttl(Some(ttl).filter(|ttl| !ttl.is_zero()));
        }
        if let Some(events) = config.max_events {
            builder = builder.max_events(Some(events).filter(|events| *events > 0));
        }
        Ok(Arc::new(builder.build()?))
    }
}
