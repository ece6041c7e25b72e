//! The backends under test.

use std::sync::Arc;

use bowline_store::conformance::{Fixture, Stores};
use bowline_store::{Error, ErrorKind, MemoryStore, PostgresStore, SqliteStore, StoreFuture};
use bowline_testkit::PostgresServer;

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

/// Two handles on one database in memory.
pub(crate) struct SqliteMemory;

impl Fixture for SqliteMemory {
    fn name(&self) -> &str {
        "sqlite::memory:"
    }

    fn open(&self) -> StoreFuture<'_, Stores> {
        StoreFuture::new(async {
            let store = SqliteStore::in_memory().await?;
            Ok(Stores::two(Arc::new(store.clone()), Arc::new(store)))
        })
    }
}

/// One handle on a file, or two that know nothing of each other, as two processes.
pub(crate) struct SqliteFile {
    pub(crate) handles: usize,
}

impl Fixture for SqliteFile {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn open(&self) -> StoreFuture<'_, Stores> {
        StoreFuture::new(async {
            let folder = tempfile::tempdir().map_err(|error| {
                Error::new(ErrorKind::Io, "open", "no temporary folder").with_source(error)
            })?;
            let path = folder.path().join("store.db");
            let store = SqliteStore::open(&path).await?;
            let other = match self.handles {
                1 => store.clone(),
                _ => SqliteStore::open(&path).await?,
            };
            Ok(Stores::two(Arc::new(store), Arc::new(other)).keeping(folder))
        })
    }
}

/// The server of this test program.
pub(crate) fn server() -> &'static PostgresServer {
    PostgresServer::shared().unwrap()
}

/// Two handles with connections of their own on one schema, as two processes.
pub(crate) struct Postgres;

impl Fixture for Postgres {
    fn name(&self) -> &str {
        "postgres"
    }

    fn open(&self) -> StoreFuture<'_, Stores> {
        StoreFuture::new(async {
            let builder = PostgresStore::builder(&server().url())
                .schema(PostgresServer::fresh_schema())
                .max_connections(5);
            let (store, other) = (builder.clone().open().await?, builder.open().await?);
            Ok(Stores::two(Arc::new(store), Arc::new(other)))
        })
    }
}
