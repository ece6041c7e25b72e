//! Runs and schedules: the command on the store of a program that works on them.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod house;
mod refusals;
mod runs;
mod schedules;
#[path = "../support/mod.rs"]
mod support;
mod watch;
