//! The backends under test.

use std::sync::Arc;

use bowline_store::conformance::{Fixture, Stores};
use bowline_store::{MemoryStore, StoreFuture};

/// Two handles on one store in memory.
pub(crate) struct Memory;

impl Fixture for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn open(&self) -> StoreFuture<'_, Stores> {
        let store = MemoryStore::new();
        StoreFuture::ready(Ok(Stores::two(Arc::new(store.clone()), Arc::new(store))))
    }
}
