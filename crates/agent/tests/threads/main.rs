//! Threads: signals into them, and their streams.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod entering;
mod failures;
mod frail;
mod gone;
mod inbox;
mod inbox_failures;
mod inbox_tool;
mod notifications;
mod owners;
mod peers;
mod presence;
mod queue;
mod records;
mod senders;
mod signals;
mod states;
#[path = "../memory/stores.rs"]
mod stores;
mod world;
