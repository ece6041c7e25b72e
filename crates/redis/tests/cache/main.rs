//! The caches on real servers.
// The helpers are no tests, and have nobody to report to.
#![allow(clippy::unwrap_used)]

mod cluster;
mod disorder;
mod failing;
mod joint;
mod layout;
mod reading;
mod replay;
mod support;
#[cfg(feature = "upstash")]
mod upstash;
