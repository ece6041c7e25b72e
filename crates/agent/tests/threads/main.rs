//! Threads: signals into them, and their streams.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod frail;
mod gone;
mod peers;
mod records;
mod signals;
mod world;
