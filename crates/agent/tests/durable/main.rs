//! Agents that run on a real store and a real bus, with a scripted model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aborting;
mod answering;
mod bytes;
mod conversing;
mod crowd;
mod deaths;
mod failing;
mod house;
mod line;
mod observing;
mod scene;
mod seen;
mod vectors;
mod wires;
