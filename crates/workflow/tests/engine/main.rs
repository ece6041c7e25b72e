//! Workflows that run on a real store and a real bus.
#![allow(clippy::unwrap_used, reason = "tests, with functions of their own")]

mod house;
mod life;
mod scheduled;
mod steering;
