//! Agents that run on a real store and a real bus, with a scripted model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod house;
mod vectors;
