//! # Durable agents
//!
//! An agent is a model with instructions, tools and memory. A run of a durable agent survives `kill -9`: what the model said and
//! what a tool returned is committed to a [store](bowline_store::Store) before anything follows from it, any process with the
//! same agent goes on from there, and whoever reads the stream of the run can come back at any position of it.

pub mod agent;
pub mod chunk;
mod durable;
mod error;
mod handle;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod memory;
pub mod message;
pub mod model;
pub mod processor;
pub mod scripted;
pub mod stream;
pub mod structured;
pub mod threads;
pub mod tool;

pub use agent::{Agent, AgentBuilder, RunOptions};
pub use chunk::Chunk;
pub use error::{Error, ErrorKind, Result};
pub use handle::{
    AgentHandle, AgentRun, AgentRuns, Callbacks, DurableAgent, DurableAgentBuilder, ObserveRun,
    Strategy, SuspendedCall,
};
pub use memory::Memory;
pub use message::{IntoMessages, Message};
pub use model::ChatModel;
pub use processor::Processor;
pub use scripted::ScriptedModel;
pub use stream::{AgentStream, RunOutput, StreamEvent, StreamItem};
pub use tool::{IntoTool, Tool, tool};

fn random_id() -> bowline_events::Text {
    uuid::Uuid::new_v4().to_string().into()
}

/// A future on the heap, as the object-safe traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// JSON schemas of types, for the arguments of tools: derive `schemars::JsonSchema`.
pub use schemars;

/// Any JSON, kept as text until somebody asks for a type.
pub use bowline_workflow::Data;
