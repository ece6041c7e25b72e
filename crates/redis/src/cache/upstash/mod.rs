//! The cache on a Redis server that is reached over HTTPS, as Upstash offers it.

mod address;
mod body;
mod cache;
mod http;
mod queue;
mod store;

pub use cache::{UpstashCache, UpstashCacheBuilder};
