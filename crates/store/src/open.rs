//! A store from a URL.

use std::sync::Arc;

use crate::{Error, ErrorKind, MemoryStore, Result, Store};

/// The kinds of URL, for messages.
const KINDS: &str =
    "memory:, sqlite:path, sqlite::memory: or postgres://user:password@host:port/database";

/// Opens the store that `url` names:
///
/// - `memory:` is a [`MemoryStore`];
/// - `sqlite:path` and `sqlite::memory:` are a `SqliteStore`, with the options `?synchronous=normal|full`,
///   `&busy_timeout=seconds` and `&max_bytes=bytes`;
/// - `postgres://user:password@host:port/database` is a `PostgresStore`, with the options of libpq that
///   `tokio-postgres` knows, `schema=name` and `sslrootcert=file`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_store::Result<()> {
/// let store = bowline_store::open("memory:").await?;
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` for a URL that is none of these, `Unsupported` for a store whose feature is off, and what opening it says.
/// The URL is never a part of the message, as it may have a password.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryStore::new()));
    }
    if let Some(rest) = url.strip_prefix("sqlite:") {
        return sqlite(rest).await;
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return postgres(url).await;
    }
    let message = format!("a store is named by {KINDS}");
    Err(Error::new(ErrorKind::InvalidInput, "open", message))
}

#[cfg(feature = "sqlite")]
async fn sqlite(rest: &str) -> Result<Arc<dyn Store>> {
    use std::time::Duration;

    use crate::{Durability, SqliteStore};

    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let wrong = |name: &str, message: &str| {
        Error::new(ErrorKind::InvalidInput, "open", message.to_owned())
            .with_subject(name.to_owned())
    };
    if path == ":memory:" && options.is_empty() {
        return Ok(Arc::new(SqliteStore::in_memory().await?));
    }
    if path.is_empty() || path == ":memory:" {
        let message = "a path belongs behind sqlite:, or :memory: without options";
        return Err(wrong("sqlite:", message));
    }
    let mut builder = SqliteStore::builder(path);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        builder = match (name, value) {
            ("synchronous", "normal") => builder.durability(Durability::Process),
            ("synchronous", "full") => builder.durability(Durability::PowerLoss),
            ("synchronous", _) => return Err(wrong(name, "it is normal or full")),
            ("busy_timeout", seconds) => match seconds.parse().map(Duration::try_from_secs_f64) {
                Ok(Ok(timeout)) => builder.busy_timeout(timeout),
                _ => return Err(wrong(name, "it is a number of seconds, such as 2.5")),
            },
            ("max_bytes", bytes) => match bytes.parse() {
                Ok(bytes) => builder.max_bytes(bytes),
                Err(_) => return Err(wrong(name, "it is a number of bytes")),
            },
            _ => {
                return Err(wrong(
                    name,
                    "the options are synchronous, busy_timeout and max_bytes",
                ));
            }
        };
    }
    Ok(Arc::new(builder.open().await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_rest: &str) -> Result<Arc<dyn Store>> {
    Err(missing("sqlite"))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::PostgresStore::open(url).await?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<Arc<dyn Store>> {
    Err(missing("postgres"))
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn missing(feature: &str) -> Error {
    let message = format!(
        "this program was built without it; build it with the feature {feature} of bowline-store"
    );
    Error::new(ErrorKind::Unsupported, "open", message).with_subject(feature.to_owned())
}
