//! # Bowline
//!
//! The event system of agents: agents and workflows that survive `kill -9`, streams that resume anywhere, and the bus below them
//! between components, processes, hosts and languages. This is the one crate to add; it has no logic of its own and hands out what
//! the crates below it make.
//!
//! ```
//! # #[cfg(feature = "agent")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bowline::Bowline;
//! use bowline::agent::{Agent, ScriptedModel};
//!
//! let agent = Agent::builder("analyst")
//!     .instructions("You are a careful analyst.")
//!     // With the feature `genai`: .model(genai("openai/gpt-4o-mini"))
//!     .model(ScriptedModel::says("All is well."))
//!     .build()?;
//! // `.store("sqlite:app.db")` for one that survives.
//! let app = Bowline::builder().store("memory:").agent(agent.durable()).start().await?;
//! let run = app.agent("analyst")?.stream("Analyze this data").await?;
//! assert_eq!(run.collect().await?.text, "All is well.");
//! app.close().await?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "agent"))]
//! # fn main() {}
//! ```
//!
//! The bus alone:
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
//! A cache makes streams resumable from any offset; one in a file also makes them survive every process:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bowline::Result<()> {
//! use bowline::{BusConfig, CacheConfig, NewEvent, OpenBus, PubSubExt, StartFrom, SubscribeOptions, Topic};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("events.db");
//! # let path = path.display();
//! let cache = CacheConfig::from_url(&format!("sqlite:{path}?ttl=24h"))?;
//! let bus = OpenBus::open_cached(&BusConfig::from_url("memory:")?, &cache).await?;
//! let stream = Topic::agent_stream("run-1");
//! bus.pubsub().publish(&stream, NewEvent::new("chunk", "run-1")).await?;
//! // In a later process:
//! let bus = OpenBus::open_cached(&BusConfig::from_url("memory:")?, &cache).await?;
//! let mut observer = bus.pubsub().subscribe(&stream, SubscribeOptions::new().start(StartFrom::Offset(0))).await?;
//! assert_eq!(observer.next().await.expect("the bus is open")?.event_type, "chunk");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! ## Features
//!
//! - `unix` (default): `UnixSocketPubSub`, the bus of one host, which Node processes can share.
//! - `sqlite` (default): caches and stores in a SQLite file. SQLite is built in, for which a C compiler has to be there.
//! - `agent` (default, with `workflow`): durable agents in the application.
//! - `genai`: models of many providers, and of every server that speaks the protocol of OpenAI.
//! - `mcp`: tools of MCP servers.
//! - `workflow`: [`Bowline`], the application, with durable workflows and schedules.
//! - `postgres`: caches and stores in a PostgreSQL database, for processes on several hosts.
//! - `redis`: `RedisStreamsPubSub`, the bus of all hosts that reach one Redis or Valkey server, shared with Node processes too;
//!   `RedisCache` and `UpstashCache`, which make streams resumable for all of them.

/// Durable agents.
#[cfg(feature = "agent")]
#[doc(inline)]
pub use bowline_agent as agent;
#[doc(inline)]
pub use bowline_events::*;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use bowline_redis::{
    Redelivery, RedisCache, RedisCacheBuilder, RedisStats, RedisStreamsPubSub,
    RedisStreamsPubSubBuilder, Server, UpstashCache, UpstashCacheBuilder,
};
#[doc(inline)]
pub use bowline_runtime::{
    AgentConfig, AgentConfigs, AgentModelSettings, AgentStrategy, BUS_VARIABLE, BusConfig,
    CACHE_VARIABLE, CacheConfig, CacheRetention, FILE_NAME, FileConfig, McpConfig, McpPlace,
    MemoryCacheConfig, MemoryConfig, ModelConfig, OpenBus, Origin, PostgresCacheConfig,
    PostgresServer, PostgresSslMode, PostgresStoreConfig, RedisCacheConfig, RedisConfig,
    RedisRedelivery, RedisScheme, RedisServer, STORE_VARIABLE, Secret, Settings, Sources,
    SqliteCacheConfig, SqliteStoreConfig, SqliteSynchronous, StoreConfig, Stores, TOKEN_VARIABLE,
    UnixConfig, UpstashCacheConfig, open_cache, redact_url,
};
#[cfg(feature = "workflow")]
#[doc(inline)]
pub use bowline_runtime::{Bowline, BowlineBuilder, WorkflowHandle};
/// The store of what has to survive.
#[doc(inline)]
pub use bowline_store as store;
#[doc(inline)]
pub use bowline_store::StoreCache;
#[cfg(feature = "unix")]
#[doc(inline)]
pub use bowline_unix::UnixSocketPubSub;
/// Durable workflows.
#[cfg(feature = "workflow")]
#[doc(inline)]
pub use bowline_workflow as workflow;

/// The examples of the README, compiled and run with the other examples.
#[cfg(all(doctest, feature = "unix", feature = "sqlite", feature = "agent"))]
#[doc = include_str!("../../../README.md")]
mod readme {}

/// The examples of the guide, too.
#[cfg(all(doctest, feature = "sqlite", feature = "agent"))]
#[doc = include_str!("../../../docs/agents.md")]
mod guide {}
