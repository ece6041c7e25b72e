//! The scheduler: its decisions, its guarantees under faults, and what users do with schedules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faulty;
mod schedule_api;
mod schedule_core;
mod schedule_cron;
mod schedule_faults;
mod schedule_history;
mod schedule_sync;
mod schedule_year;
mod support;
