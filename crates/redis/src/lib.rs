//! The Redis Streams bus of Bowline, its caches and leases, shared with processes written in Node.

mod bus;
mod cache;
mod dead_letter;
mod fan_out;
mod group;
mod history;
mod leases;
mod publish;
mod pubsub;
mod reader;
mod settings;
mod stream;
mod wire;

pub use bus::RedisStats;
pub use cache::{RedisCache, RedisCacheBuilder};
pub use pubsub::RedisStreamsPubSub;
pub use settings::{Redelivery, RedisStreamsPubSubBuilder};
pub use wire::Server;
