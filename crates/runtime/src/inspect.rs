//! A look at a store that changes nothing.

use std::path::Path;
use std::sync::Arc;

use bowline_events::{Error, ErrorKind, Result};
use bowline_store::{Stats, Store};

use crate::{PostgresStoreConfig, SqliteStoreConfig, StoreConfig, open_store};

/// What a PostgreSQL session that must not write is told.
const READ_ONLY: &str = "options=-c%20default_transaction_read_only%3Don";

impl StoreConfig {
    /// Looks at the store without making or changing anything: what it holds, or `None` if there is none yet and opening would
    /// make it. A store in memory never is there yet. A pooler before PostgreSQL has to let session options (`options`) pass.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `InvalidInput` for a file whose folder is not there.
    pub async fn inspect(&self) -> Result<Option<Stats>> {
        self.check()?;
        let store = match self {
            Self::Memory => None,
            Self::Sqlite(config) if config.is_in_memory() => None,
            Self::Sqlite(config) => existing_file(config).await?,
            Self::Postgres(config) => existing_schema(config).await?,
        };
        let Some(store) = store else { return Ok(None) };
        let stats = store.stats().await;
        let closed = store.close().await;
        let stats = stats?;
        closed?;
        Ok(Some(stats))
    }
}

async fn existing_file(config: &SqliteStoreConfig) -> Result<Option<Arc<dyn Store>>> {
    let path = &config.path;
    match std::fs::metadata(path) {
        // SQLite makes a database of an empty file.
        Ok(facts) if facts.len() > 0 || !facts.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            check_folder(path)?;
            return Ok(None);
        }
        // SQLite has better words for what is wrong.
        Err(_) => {}
    }
    open_store::sqlite(config).await.map(Some)
}

fn check_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => return Ok(()),
    };
    if folder.is_dir() {
        return Ok(());
    }
    let message = "there is no such folder; make it, or name a file in another one";
    Err(Error::new(ErrorKind::InvalidInput, "open", message)
        .with_subject(&folder.to_string_lossy()))
}

async fn existing_schema(config: &PostgresStoreConfig) -> Result<Option<Arc<dyn Store>>> {
    match open_store::postgres(config, READ_ONLY).await {
        Ok(store) => Ok(Some(store)),
        Err(error) if wanted_to_make_it(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the server kept a session that must not write from making the schema. It names the statement, in every language.
fn wanted_to_make_it(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if error.source().is_none() {
            return text.contains("CREATE SCHEMA") || text.contains("CREATE TABLE");
        }
        cause = error.source();
    }
    false
}
