//! # The event bus of many hosts, on Redis Streams
//!
//! Processes that use the same server and key prefix share one bus. Keys, entries, groups and leases are those of the Redis
//! Streams backend of Mastra, so Node and Rust processes mix freely. [`RedisCache`] and `UpstashCache` (feature `upstash`) keep
//! histories in the layout of Mastra's server cache, so both languages replay one stream. Redis 7.0 or newer, or Valkey.
//!
//! ```no_run
//! use bowline_events::{NewEvent, PubSub, PubSubExt, SubscribeOptions};
//! use bowline_redis::RedisStreamsPubSub;
//!
//! # async fn example() -> bowline_events::Result<()> {
//! let bus = RedisStreamsPubSub::new("redis://localhost:6379")?;
//! let mut orders = bus.subscribe("orders", SubscribeOptions::new().group("workers")).await?;
//! bus.publish("orders", NewEvent::new("order.created", "run-1").with_json(r#"{"n":1}"#)?).await?;
//! while let Some(delivery) = orders.next().await {
//!     let delivery = delivery?;
//!     println!("{} attempt {}", delivery.event_type, delivery.delivery_attempt);
//!     delivery.ack().await?;
//! }
//! bus.close().await
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! - **Published.** A resolved publish is in the stream on the server. How safe it is there is a matter of the server: without
//!   `appendonly` a restart loses it, and an asynchronous fail-over loses what the replica had not yet got. `bowline doctor`
//!   says which holds. When a connection breaks on the way, the end of the stream is searched for the event and it is sent again
//!   only if it is not there.
//! - **Order.** One per topic, that of the server. Events of one publisher that awaits each publish are in its order.
//! - **Ungrouped subscribers** get every event of the topic after `subscribe` resolved, or are told what they missed. All of
//!   them in a process share one connection, one private group and one read.
//! - **Groups** get every event at least once, at one member. An event is delivered again when it was refused, when its member
//!   vanished (after [`reclaim_idle`](RedisStreamsPubSubBuilder::reclaim_idle)), and when the acknowledgement was lost with the
//!   connection. What a member of this process holds is renewed and never reclaimed by another one that keeps the rules.
//! - **Refused events** come again as [`Redelivery`] says: by default as in the reference, by a copy in the stream that every
//!   group and subscriber of the topic sees, with the next attempt and the same id.
//! - **Positions** (`seq`, `Offset`, `history`) count the entries ever appended to the stream. Entries that were deleted from
//!   the middle count as deleted from the front.
//! - **Cleared.** Readers of a stream that is deleted, or expires, are told `Cleared` and get what is published afterwards.
//! - **Poisoned entries** (not JSON, not an object) are acknowledged, counted, logged, and dead-lettered where
//!   [`dead_letters`](RedisStreamsPubSubBuilder::dead_letters) is set. They block nothing.
//!
//! # Limits
//!
//! Each is an option of [`RedisStreamsPubSubBuilder`] of the same name.
//!
//! | What | Default | At the limit |
//! |---|---|---|
//! | `max_stream_length` | about 10,000 entries | the oldest are dropped, read or not; readers that had not read them are told |
//! | `stream_idle_ttl` | none | the stream goes with its groups; a week is a good value |
//! | `max_event_bytes` | 64 MiB | `TooLarge`, nothing is sent |
//! | `max_in_flight` | 1,024 per topic and group | reading waits until some are settled |
//! | `max_deliveries` | 5, crashes included | dead-lettered, or logged and dropped |
//! | `publish_timeout` | 30 s without a server | `Unavailable` |
//! | `block` | 1 s | one command per read loop and period when nothing happens |
//!
//! A stream that is trimmed by hand to fewer than 64 entries may lose unread ones without a notice.
//!
//! # Connections
//!
//! One for commands, one for all ungrouped subscribers, and one per topic and group that this process takes part in. In a
//! cluster ([`cluster`](RedisStreamsPubSubBuilder::cluster)) ungrouped subscribers have one per topic. Connections come back by
//! themselves, after 50 ms, 100 ms, ... 2 s and a random part.
//!
//! # Permissions
//!
//! For keys `~<prefix>:*`: `xadd`, `xgroup`, `xreadgroup`, `xack`, `xpending`, `xclaim`, `xinfo`, `xrange`, `xrevrange`, `xtrim`,
//! `pexpire`, `del`, `set`, `get`, `eval`, `evalsha`, `multi`, `exec`, `client|id` and `client|unblock` (without the last two a
//! member that leaves waits until its read ends), and `scan`, `type`, `xlen`, `memory` for listing topics. `bowline doctor` names
//! what is missing and what it costs.

mod bus;
mod cache;
mod dead_letter;
mod fan_out;
mod group;
mod history;
pub mod inspect;
mod leases;
mod publish;
mod pubsub;
mod reader;
mod settings;
mod stream;
mod tickets;
mod wire;

pub use bus::RedisStats;
pub use cache::{RedisCache, RedisCacheBuilder};
#[cfg(feature = "upstash")]
pub use cache::{UpstashCache, UpstashCacheBuilder};
pub use pubsub::RedisStreamsPubSub;
pub use settings::{Redelivery, RedisStreamsPubSubBuilder};
pub use wire::Server;
