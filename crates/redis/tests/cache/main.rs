//! The caches on real servers.
// The helpers are no tests, and have nobody to report to.
#![allow(clippy::unwrap_used)]

mod layout;
mod reading;
mod support;
