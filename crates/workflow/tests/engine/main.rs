//! Workflows that run on a real store and a real bus.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod boundaries;
mod clocks;
mod closing;
mod competition;
mod dispatch;
mod duplicates;
mod endings;
mod fence;
mod history;
mod house;
mod life;
mod line;
mod orphans;
mod outlets;
mod poison;
mod retention;
mod scenes;
mod scheduled;
mod simulation;
mod skew;
mod stale;
mod steering;
mod streams;
mod wires;
