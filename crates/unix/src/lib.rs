//! The event bus of one host over a Unix socket; wire-compatible with the `UnixSocketPubSub` of Mastra 1.71.

mod broker;
mod client;
mod connection;
mod election;
mod event;
mod frame;
mod hazard;
mod hub;
mod line;
mod local;
mod options;
mod participant;
mod pending;
mod pubsub;
mod race;
mod serve;
mod stamp;
mod stats;
mod subscribe;
mod supervise;
mod url;

pub use options::UnixSocketBuilder;
pub use pubsub::UnixSocketPubSub;
pub use stats::Stats;
