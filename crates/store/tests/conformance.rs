//! Every backend fulfils every clause.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bowline_store::conformance::assert_fulfilled;
use support::backends::{Memory, Postgres, SqliteFile, SqliteMemory};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    assert_fulfilled(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_in_memory() {
    assert_fulfilled(&SqliteMemory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_in_a_file() {
    assert_fulfilled(&SqliteFile { handles: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_on_one_sqlite_file() {
    assert_fulfilled(&SqliteFile { handles: 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    if !bowline_testkit::skips_postgres() {
        assert_fulfilled(&Postgres).await;
    }
}
