//! # The configuration of Bowline
//!
//! One parser for every place that a configuration may come from: a bus URL on the command line, an environment variable, a
//! file, or a struct. Whatever is not known is an error that names the nearest known name and the list; secrets never print.
//!
//! - [`BusConfig`] says which bus, and how: parse it from a URL, read it with serde, or fill it in.
//! - [`CacheConfig`] says which cache makes its topics resumable, in the same ways.
//! - [`StoreConfig`] says which store keeps what has to survive, again in the same ways.
//! - [`AgentConfig`] says what an agent is: its model, its limits, and the servers of its tools.
//! - [`Sources`] applies the precedence: flag, then environment, then file.
//! - [`OpenBus`] opens what was configured, [`open_cache`] a cache alone, [`Stores`] what shares a database.
//!
//! A cache in a file makes streams survive the process, with nothing to install:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bowline_events::Result<()> {
//! use bowline_events::{NewEvent, PubSubExt, StartFrom, SubscribeOptions};
//! use bowline_runtime::{BusConfig, CacheConfig, OpenBus};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let url = format!("sqlite:{}?synchronous=full", folder.path().join("events.db").display());
//! # let shown = "sqlite:events.db?synchronous=full";
//! # let cache = CacheConfig::from_url(shown)?;
//! # assert_eq!(cache.to_string(), shown);
//! // let url = "sqlite:events.db?synchronous=full";
//! let (bus, cache) = (BusConfig::from_url("memory:")?, CacheConfig::from_url(&url)?);
//! for word in ["knots", "hold"] {
//!     // Each time as if the process began anew.
//!     let bus = OpenBus::open_cached(&bus, &cache).await?;
//!     bus.pubsub().publish("agent.stream.run-1", NewEvent::new(word, "run-1")).await?;
//! }
//! let bus = OpenBus::open_cached(&bus, &cache).await?;
//! let options = SubscribeOptions::new().start(StartFrom::Earliest);
//! let mut stream = bus.pubsub().subscribe("agent.stream.run-1", options).await?;
//! for (index, word) in ["knots", "hold"].into_iter().enumerate() {
//!     let delivery = stream.next().await.expect("the bus is open")?;
//!     assert_eq!((delivery.index, &*delivery.event_type), (Some(index as u64), word));
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```

mod agent_config;
#[cfg(feature = "workflow")]
mod app;
mod bus_config;
mod cache_config;
mod cache_retention;
mod file;
mod host;
mod inspect;
mod open;
mod open_cache;
mod open_redis;
mod open_store;
mod options;
mod postgres_config;
mod postgres_server;
mod redis_config;
mod secret;
mod server;
mod settings;
mod sqlite_config;
mod store_config;
mod stores;
mod suggest;
mod url;
mod value;

pub use agent_config::{
    AgentConfig, AgentConfigs, AgentModelSettings, AgentStrategy, McpConfig, McpPlace, ModelConfig,
};
#[cfg(feature = "workflow")]
pub use app::{Bowline, BowlineBuilder, WorkflowHandle};
pub use bus_config::{BusConfig, MemoryConfig, UnixConfig};
pub use cache_config::{CacheConfig, MemoryCacheConfig, RedisCacheConfig, UpstashCacheConfig};
pub use cache_retention::CacheRetention;
pub use file::FileConfig;
pub use open::OpenBus;
pub use open_cache::open_cache;
pub use postgres_config::{PostgresCacheConfig, PostgresSslMode, PostgresStoreConfig};
pub use postgres_server::PostgresServer;
pub use redis_config::{RedisConfig, RedisRedelivery};
pub use secret::Secret;
pub use server::{RedisScheme, RedisServer};
pub use settings::{
    BUS_VARIABLE, CACHE_VARIABLE, FILE_NAME, Origin, STORE_VARIABLE, Settings, Sources,
    TOKEN_VARIABLE,
};
pub use sqlite_config::{SqliteCacheConfig, SqliteStoreConfig, SqliteSynchronous};
pub use store_config::StoreConfig;
pub use stores::Stores;
pub use url::redact_url;
