//! Agents that run on a real store and a real bus, with a scripted model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aborting;
mod answering;
mod bytes;
mod conversing;
mod crowd;
mod deaf;
mod deaths;
mod failing;
mod house;
mod line;
mod observing;
mod outcome;
#[allow(dead_code, reason = "what is written by other programs is not here")]
mod scene;
#[allow(dead_code, reason = "some readers are for other programs")]
mod seen;
mod strategies;
mod vectors;
mod wires;
