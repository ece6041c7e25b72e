//! The stores that a program has open.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_events::{Error, ErrorKind, EventCache, Result};
use bowline_store::{Store, StoreCache};
use tokio::sync::Mutex;

use crate::{CacheConfig, PostgresServer, SqliteStoreConfig, StoreConfig, open_cache, open_redis};

/// The schema of a PostgreSQL store that names none.
const SCHEMA: &str = "bowline";

/// Opens stores so that whoever names the same database shares one: one writer, one pool of connections.
///
/// A SQLite file is the same however its path is written; a PostgreSQL database is where server, user, database and schema
/// are. `memory:` and `sqlite::memory:` are one store each, of these `Stores` alone. Clones are handles on the same stores. One
/// is opened after the other. What was opened stays open until [`close`](Self::close), or until all handles on it are dropped.
///
/// ```
/// use std::sync::Arc;
/// use bowline_runtime::{CacheConfig, StoreConfig, Stores};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("app.db");
/// # let url = format!("sqlite:{}", path.display());
/// let stores = Stores::new();
/// # if cfg!(feature = "sqlite") {
/// let store = stores.open(&StoreConfig::from_url(&url)?).await?;
/// // The histories of topics are in the same database.
/// let cache = stores.open_cache(&CacheConfig::from_url(&format!("{url}?ttl=24h"))?).await?;
/// assert!(Arc::ptr_eq(&store, &stores.open(&StoreConfig::from_url(&url)?).await?));
/// # drop(cache);
/// # }
/// stores.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Stores {
    open: Arc<Mutex<Vec<Opened>>>,
}

struct Opened {
    place: Place,
    config: StoreConfig,
    store: Arc<dyn Store>,
}

/// What makes two stores the same.
#[derive(PartialEq, Eq)]
enum Place {
    Memory,
    MemoryOfSqlite,
    File(PathBuf),
    Database {
        server: PostgresServer,
        schema: String,
    },
}

impl Place {
    fn of(config: &StoreConfig) -> Self {
        match config {
            StoreConfig::Memory => Self::Memory,
            StoreConfig::Sqlite(config) if config.is_in_memory() => Self::MemoryOfSqlite,
            StoreConfig::Sqlite(config) => Self::File(file(config)),
            StoreConfig::Postgres(config) => {
                let mut server = config.server.clone();
                server.port = Some(server.port.unwrap_or(5432));
                let schema = config.schema.clone().unwrap_or_default();
                Self::Database { server, schema }
            }
        }
    }
}

/// The same, with the schema that is meant where none is named.
fn named(config: &StoreConfig) -> StoreConfig {
    let mut config = config.clone();
    if let StoreConfig::Postgres(config) = &mut config {
        config.schema.get_or_insert_with(|| SCHEMA.to_owned());
    }
    config
}

/// The file, through all links, as far as it is there.
fn file(config: &SqliteStoreConfig) -> PathBuf {
    let path = &config.path;
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let beside = || Some(parent.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize()
        .ok()
        .or_else(beside)
        .unwrap_or_else(|| path.clone())
}

impl Stores {
    /// Nothing is open.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store that `config` names; opened, if it is not open yet.
    ///
    /// # Errors
    /// As [`StoreConfig::open`], and `InvalidInput` if the store is open with another value of an option that `config` sets: so
    /// open the one with more options first.
    pub async fn open(&self, config: &StoreConfig) -> Result<Arc<dyn Store>> {
        let config = named(config);
        let mut open = self.open.lock().await;
        let place = Place::of(&config);
        if let Some(opened) = open.iter().find(|opened| opened.place == place) {
            if let Some(option) = config.contradicts(&opened.config) {
                let message = format!(
                    "{} is open already with another value; give the same one wherever the database is named",
                    opened.config
                );
                return Err(
                    Error::new(ErrorKind::InvalidInput, "open", message).with_subject(option)
                );
            }
            return Ok(Arc::clone(&opened.store));
        }
        let store = config.open().await?;
        open.push(Opened {
            // A file that was just made may have another name now, if a link led to it.
            place: Place::of(&config),
            config,
            store: Arc::clone(&store),
        });
        Ok(store)
    }

    /// The cache that `config` describes; where it keeps histories in a store, in the one that is open already, or is opened now.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`open_cache`].
    pub async fn open_cache(&self, config: &CacheConfig) -> Result<Arc<dyn EventCache>> {
        match config {
            CacheConfig::Memory(config) => Ok(Arc::new(open_cache::memory(config))),
            CacheConfig::Redis(config) => open_redis::cache(config),
            CacheConfig::Upstash(config) => open_redis::upstash(config),
            CacheConfig::Sqlite(cache) => {
                let store = StoreConfig::Sqlite(cache.store.clone());
                self.histories(store, &cache.retention).await
            }
            CacheConfig::Postgres(cache) => {
                let store = StoreConfig::Postgres(cache.store.clone());
                self.histories(store, &cache.retention).await
            }
        }
    }

    async fn histories(
        &self,
        store: StoreConfig,
        retention: &crate::CacheRetention,
    ) -> Result<Arc<dyn EventCache>> {
        let store = self.open(&store).await?;
        let cache = StoreCache::with_retention(store, retention.families());
        Ok(Arc::new(cache))
    }

    /// Closes all stores: commits that were accepted are finished, files and connections released. Then nothing is open.
    ///
    /// # Errors
    /// The first error of a store; the others are closed all the same.
    pub async fn close(&self) -> Result<()> {
        let open = std::mem::take(&mut *self.open.lock().await);
        let mut outcome = Ok(());
        for opened in open {
            let closed = opened.store.close().await.map_err(Error::from);
            outcome = outcome.and(closed);
        }
        outcome
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        // Who opens one right now need not be waited for.
        if let Ok(open) = self.open.try_lock() {
            list.entries(open.iter().map(|opened| opened.config.to_string()));
        }
        list.finish()
    }
}
