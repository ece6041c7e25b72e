//! # The record store of Bowline
//!
//! A small transactional store on which everything durable sits: runs, steps, outbox, timers, schedules, tasks, histories.
//! It keeps three kinds of things, and knows of none what it means:
//!
//! - [`Record`]s: versioned, found by key and [`Index`], written by compare-and-set only;
//! - logs: entries that are appended, read by position, and trimmed from the beginning;
//! - blobs: large values, stored once, found by their hash, gone with their last owner.
//!
//! A [`Commit`] changes any of them together or not at all. [`Store`] is the contract; [`MemoryStore`] keeps it in memory,
//! [`SqliteStore`] in a file, and with the feature `postgres` `PostgresStore` on a server. [`open`] makes one from a URL.
//! [`StoreCache`] keeps the histories of event topics in any of them.
//!
//! ## Guarantees
//!
//! There is no unconditional write: who changes a record names the version that he has read, and of several one wins, the
//! others get a typed [`Conflict`]. The version of a record is the number of the commit that wrote it; it is never used
//! twice, not even when a record is deleted and made anew.
//!
//! ## Limits
//!
//! Sizes and counts are in [`limits`], the same on every backend.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod limits;

mod apply;
mod blob;
mod cache;
mod commit;
mod error;
mod future;
mod layer;
mod log;
mod memory;
mod open;
mod page;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod table;
mod watch;

use bowline_events::Text;

pub use blob::{Blob, BlobHash};
pub use cache::StoreCache;
pub use commit::{Appended, Commit, Committed, Expect, Operation};
pub use error::{Conflict, Error, ErrorKind, Expected, Result};
pub use future::StoreFuture;
pub use layer::StoreLayer;
pub use log::{Keep, LogEntry, LogInfo, LogName, LogPage};
pub use memory::MemoryStore;
pub use open::open;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore};
pub use query::{Cursor, Filter, Order, Page, Query};
pub use record::{Index, Record};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteBuilder, SqliteStore};
pub use store::{Claim, Stats, Store, TableStats};
pub use table::Table;
pub use watch::Watch;

/// A name for new data.
fn new_id() -> Text {
    uuid::Uuid::new_v4().to_string().into()
}
