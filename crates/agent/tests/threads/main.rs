//! Threads: signals into them, and their streams.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod entering;
mod failures;
mod frail;
mod peers;
mod records;
mod signals;
mod world;
