//! The stores that tests run on, new and empty.

use std::sync::Arc;

use bowline_store::{MemoryStore, PostgresStore, SqliteStore, Store};
use bowline_testkit::{PostgresServer, skips_postgres};
use tempfile::TempDir;

/// One store as two processes hold it.
pub(crate) struct Handles {
    pub(crate) name: &'static str,
    pub(crate) one: Arc<dyn Store>,
    pub(crate) other: Arc<dyn Store>,
    /// What has to live as long as they do.
    pub(crate) folder: Option<TempDir>,
}

impl Handles {
    fn new(name: &'static str, one: impl Store, other: impl Store) -> Self {
        Self {
            name,
            one: Arc::new(one),
            other: Arc::new(other),
            folder: None,
        }
    }
}

/// One of each kind.
pub(crate) async fn every_store() -> Vec<Handles> {
    let memory = MemoryStore::new();
    let sqlite = SqliteStore::in_memory().await.unwrap();
    let mut stores = vec![
        Handles::new("memory", memory.clone(), memory),
        Handles::new("sqlite", sqlite.clone(), sqlite),
        file().await,
    ];
    if !skips_postgres() {
        stores.push(postgres().await);
    }
    stores
}

async fn file() -> Handles {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (one, other) = (
        SqliteStore::open(&path).await,
        SqliteStore::open(&path).await,
    );
    Handles {
        folder: Some(folder),
        ..Handles::new("file", one.unwrap(), other.unwrap())
    }
}

async fn postgres() -> Handles {
    let builder = PostgresStore::builder(&PostgresServer::shared().unwrap().url())
        .schema(PostgresServer::fresh_schema())
        .max_connections(5);
    let (one, other) = (builder.clone().open().await, builder.open().await);
    Handles::new("postgres", one.unwrap(), other.unwrap())
}
