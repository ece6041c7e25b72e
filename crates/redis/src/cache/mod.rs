//! Caches that keep the histories of topics on a server.

mod append;
mod beginning;
mod detached;
mod health;
mod histories;
mod joint;
mod layout;
mod read;
mod record;
mod redis_cache;
mod script;
mod store;
#[cfg(feature = "upstash")]
mod upstash;
mod walk;

pub use redis_cache::{RedisCache, RedisCacheBuilder};
#[cfg(feature = "upstash")]
pub use upstash::{UpstashCache, UpstashCacheBuilder};
