//! # Real servers, and faults on the way to them, for the tests of Bowline
//!
//! - [`RedisServer`] starts a real `redis-server` or `valkey-server` of the test's own: password, users, TLS, append-only
//!   file, memory limit, replica; it can be killed, restarted, paused and promoted. [`RedisCluster`] starts several masters.
//! - [`RedisServer::command`] and [`Monitor`] look at the server without the code under test.
//! - [`PostgresServer`] starts a real PostgreSQL server, which can be killed and restarted.
//! - [`FaultProxy`] stands between a client and a server, and cuts, delays, slices and swallows.
//! - [`UpstashServer`] speaks the REST protocol of Upstash in front of a real server.
//! - `OpenAiServer`, with the feature `openai`, speaks the chat completions of OpenAI, and answers as it is told.
//! - [`History`] records what publishers and readers saw, and tells what a bus must not have done.
//! - [`skips_redis`] and [`valkey`] say which tests cannot run, and never silently.
//!
//! Every wait has the deadline [`PATIENCE`]. Nothing listens anywhere but on loopback.

mod builder;
mod cluster;
mod error;
mod history;
mod monitor;
#[cfg(feature = "openai")]
mod openai;
mod postgres;
mod process;
mod proxy;
mod resp;
mod scratch;
mod server;
mod skip;
mod tls;
mod upstash;
mod url;
mod wait;

pub use builder::RedisServerBuilder;
pub use cluster::RedisCluster;
pub use error::{Error, Result};
pub use history::{Audience, Hand, History, Message, Publishing, Report, Violation};
pub use monitor::{Monitor, MonitorLine};
#[cfg(feature = "openai")]
pub use openai::{OpenAiAnswer, OpenAiRequest, OpenAiServer};
pub use postgres::{PostgresServer, skips_postgres};
pub use proxy::{Direction, FaultProxy, ProxyStats};
pub use resp::{Connection, Reply};
pub use server::RedisServer;
pub use skip::{skips_redis, valkey};
pub use tls::Identity;
pub use upstash::{UpstashRequest, UpstashServer};
pub use wait::PATIENCE;
