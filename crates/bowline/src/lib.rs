//! # Bowline
//!
//! The event system of agents: one bus between components, processes, hosts and languages. This is the one crate to add; it
//! has no logic of its own and hands out what the crates below it make.
//!
//! ```
//! use bowline::{BusConfig, NewEvent, OpenBus, PubSubExt, SubscribeOptions};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bowline::Result<()> {
//! let bus = OpenBus::open(&BusConfig::from_url("memory:")?)?;
//! let mut orders = bus.pubsub().subscribe("orders", SubscribeOptions::new()).await?;
//! bus.pubsub().publish("orders", NewEvent::new("order.created", "run-1").with_json(r#"{"n":1}"#)?).await?;
//! let delivery = orders.next().await.expect("the bus is open")?;
//! assert_eq!(delivery.event_type, "order.created");
//! # Ok(())
//! # }
//! ```
//!
//! ## Features
//!
//! - `unix` (default): `UnixSocketPubSub`, the bus of one host, which Node processes can share.
//! - `redis`: `RedisStreamsPubSub`, the bus of all hosts that reach one Redis or Valkey server, shared with Node processes too.

#[doc(inline)]
pub use bowline_events::*;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use bowline_redis::{
    Redelivery, RedisCache, RedisCacheBuilder, RedisStats, RedisStreamsPubSub,
    RedisStreamsPubSubBuilder, Server,
};
#[doc(inline)]
pub use bowline_runtime::{
    BUS_VARIABLE, BusConfig, CACHE_VARIABLE, CacheConfig, FILE_NAME, FileConfig, MemoryCacheConfig,
    MemoryConfig, OpenBus, Origin, RedisCacheConfig, RedisConfig, RedisRedelivery, RedisScheme,
    RedisServer, Secret, Settings, Sources, TOKEN_VARIABLE, UnixConfig, UpstashCacheConfig,
    open_cache, redact_url,
};
#[cfg(feature = "unix")]
#[doc(inline)]
pub use bowline_unix::UnixSocketPubSub;

/// The example of the README, compiled and run with the other examples.
#[cfg(all(doctest, feature = "unix"))]
#[doc = include_str!("../../../README.md")]
mod readme {}
