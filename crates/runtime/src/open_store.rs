//! A store from its configuration.

use std::sync::Arc;

use bowline_events::Result;
#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
use bowline_events::{Error, ErrorKind};
use bowline_store::{MemoryStore, Store};

use crate::{PostgresStoreConfig, SqliteStoreConfig, StoreConfig};

impl StoreConfig {
    /// Opens the store, makes it if it is not there, and brings its schema up to date. [`Stores`](crate::Stores) opens it once
    /// for everybody who names it.
    ///
    /// ```
    /// use bowline_runtime::StoreConfig;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = StoreConfig::from_url("memory:")?.open().await?;
    /// assert_eq!(store.stats().await?.tables.len(), 0);
    /// store.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an option that the store does not accept; `Unsupported` for a kind of store whose feature is off, and
    /// for data of a newer version; `PermissionDenied`, `Unavailable` and `Io` when the file cannot be used (`Io` also for one
    /// that is damaged or of another program), or the server cannot be reached or refuses the user.
    pub async fn open(&self) -> Result<Arc<dyn Store>> {
        self.check()?;
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::new())),
            Self::Sqlite(config) => sqlite(config).await,
            Self::Postgres(config) => postgres(config, "").await,
        }
    }
}

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite(config: &SqliteStoreConfig) -> Result<Arc<dyn Store>> {
    use bowline_store::{Durability, SqliteStore};

    use crate::SqliteSynchronous;

    if config.is_in_memory() {
        return Ok(Arc::new(SqliteStore::in_memory().await?));
    }
    let mut builder = SqliteStore::builder(&config.path);
    if let Some(synchronous) = config.synchronous {
        builder = builder.durability(match synchronous {
            SqliteSynchronous::Normal => Durability::Process,
            SqliteSynchronous::Full => Durability::PowerLoss,
        });
    }
    if let Some(timeout) = config.busy_timeout {
        builder = builder.busy_timeout(timeout);
    }
    if let Some(bytes) = config.max_bytes {
        builder = builder.max_bytes(bytes as u64);
    }
    Ok(Arc::new(builder.open().await?))
}

#[cfg(not(feature = "sqlite"))]
pub(crate) async fn sqlite(_config: &SqliteStoreConfig) -> Result<Arc<dyn Store>> {
    Err(without("SQLite", "sqlite"))
}

/// Opens the store, with `members` added to the URL of the database.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres(
    config: &PostgresStoreConfig,
    members: &str,
) -> Result<Arc<dyn Store>> {
    let mut url = format!("{}?{members}", config.server.url());
    if let Some(mode) = config.sslmode {
        url.push_str("&sslmode=");
        url.push_str(mode.as_str());
    }
    let mut builder = bowline_store::PostgresStore::builder(&url);
    if let Some(schema) = &config.schema {
        builder = builder.schema(schema);
    }
    if let Some(connections) = config.max_connections {
        builder = builder.max_connections(connections);
    }
    if let Some(timeout) = config.timeout {
        builder = builder.timeout(timeout);
    }
    if let Some(path) = &config.sslrootcert {
        builder = builder.root_certificate(path);
    }
    Ok(Arc::new(builder.open().await?))
}

#[cfg(not(feature = "postgres"))]
pub(crate) async fn postgres(
    _config: &PostgresStoreConfig,
    _members: &str,
) -> Result<Arc<dyn Store>> {
    Err(without("PostgreSQL", "postgres"))
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn without(what: &str, feature: &str) -> Error {
    let message = format!(
        "this program was built without {what}; build it with the feature {feature} of bowline-runtime"
    );
    Error::new(ErrorKind::Unsupported, "open", message)
}
