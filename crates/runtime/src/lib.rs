//! # The configuration of Bowline
//!
//! One parser for every place that a configuration may come from: a bus URL on the command line, an environment variable, a
//! file, or a struct. Whatever is not known is an error that names the nearest known name and the list; secrets never print.
//!
//! - [`BusConfig`] says which bus, and how: parse it from a URL, read it with serde, or fill it in.
//! - [`CacheConfig`] says which cache makes its topics resumable, in the same ways.
//! - [`Sources`] applies the precedence: flag, then environment, then file.
//! - [`OpenBus`] opens what was configured, [`open_cache`] a cache alone.

mod bus_config;
mod cache_config;
mod file;
mod open;
mod open_cache;
mod open_redis;
mod options;
mod redis_config;
mod secret;
mod server;
mod settings;
mod suggest;
mod url;
mod value;

pub use bus_config::{BusConfig, MemoryConfig, UnixConfig};
pub use cache_config::{CacheConfig, MemoryCacheConfig, RedisCacheConfig, UpstashCacheConfig};
pub use file::FileConfig;
pub use open::OpenBus;
pub use open_cache::open_cache;
pub use redis_config::{RedisConfig, RedisRedelivery};
pub use secret::Secret;
pub use server::{RedisScheme, RedisServer};
pub use settings::{
    BUS_VARIABLE, CACHE_VARIABLE, FILE_NAME, Origin, Settings, Sources, TOKEN_VARIABLE,
};
pub use url::redact_url;
