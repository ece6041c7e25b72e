//! Agents that run on a real store and a real bus, with a scripted model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deaths;
mod house;
mod line;
mod scene;
mod seen;
mod vectors;
mod wires;
