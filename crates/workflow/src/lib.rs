//! # Durable workflows
//!
//! A workflow is a graph of steps. A run of it survives `kill -9`: what a step returned is committed to a
//! [store](bowline_store::Store) together with what follows from it, and any process with the same workflow goes on from there.

mod error;
pub mod schedule;

pub use error::{Error, ErrorKind, Result};
