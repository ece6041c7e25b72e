//! The clauses that every [`Store`] must fulfil: one async function each, to run on your own backend.
//!
//! ```
//! use std::sync::Arc;
//! use bowline_store::conformance::{self, Fixture, Stores};
//! use bowline_store::{MemoryStore, StoreFuture};
//!
//! struct Memory;
//! impl Fixture for Memory {
//!     fn name(&self) -> &str { "memory" }
//!     fn open(&self) -> StoreFuture<'_, Stores> {
//!         StoreFuture::ready(Ok(Stores::one(Arc::new(MemoryStore::new()))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::assert_fulfilled(&Memory).await;
//! # }
//! ```
//!
//! No clause asserts how long something takes. What has to happen may take [`DEADLINE`].

mod fixture;
mod registry;

pub mod blobs;
pub mod commits;
pub mod due;
pub mod lifecycle;
pub mod limits;
pub mod lists;
pub mod logs;
pub mod watches;

pub use fixture::{DEADLINE, Fixture, Outcome, Stores, Violation};
pub use registry::{CLAUSES, Clause, assert_fulfilled};

use bowline_events::Timestamp;

use crate::{Commit, Committed, Error, Expect, Index, Result, Store, Table};

/// Fails the clause with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::new(format!($($message)+)));
        }
    };
}

/// Fails the clause unless the two are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => $crate::conformance::ensure!(
                *left == *right,
                "{}: {left:?} is not {right:?}",
                format_args!($($message)+)
            ),
        }
    };
}

pub(crate) use {ensure, ensure_eq};

/// The tables that the clauses use.
const RUNS: Table = Table::new("runs");
const TIMERS: Table = Table::new("timers");

/// An instant of the test's own.
fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A commit that makes the record `key`.
fn make(key: &str, index: Index, body: &str) -> Commit {
    Commit::new().put(RUNS, key.to_owned(), Expect::Absent, index, body.to_owned())
}

/// Makes the record `key`, created at instant 0.
async fn made(store: &dyn Store, key: &str) -> Result<Committed> {
    store.commit(make(key, Index::new(at(0)), "body")).await
}

/// The error of what has to fail.
fn refused<T>(result: Result<T>, what: &str) -> std::result::Result<Error, Violation> {
    match result {
        Ok(_) => Err(Violation::new(format!("{what} was accepted"))),
        Err(error) => Ok(error),
    }
}
