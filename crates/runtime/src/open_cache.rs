//! A cache from its configuration.

use std::sync::Arc;

use bowline_events::{EventCache, MemoryCache, Result};

use crate::{CacheConfig, MemoryCacheConfig, Stores};

/// Makes the cache that `config` describes, with a store of its own where it needs one; [`Stores::open_cache`] shares it.
///
/// A cache in a store is opened at once, so that what is wrong with the file or the database is told before the first event. A
/// cache on a Redis server connects when it is first used.
///
/// ```
/// use bowline_events::{Event, EventCache, NewEvent, Topic};
/// use bowline_runtime::{CacheConfig, open_cache};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// let cache = open_cache(&CacheConfig::from_url("memory:")?).await?;
/// let position = cache.append(&Topic::agent_stream("run-1"), NewEvent::new("chunk", "run-1").stamp()).await?;
/// assert_eq!(position.index, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` for a limit that the cache does not accept and for a missing token; `Unsupported` for a kind of cache whose
/// feature is off; and what [`StoreConfig::open`](crate::StoreConfig::open) says of the store.
pub async fn open_cache(config: &CacheConfig) -> Result<Arc<dyn EventCache>> {
    Stores::new().open_cache(config).await
}

pub(crate) fn memory(config: &MemoryCacheConfig) -> MemoryCache {
    match config.max_bytes {
        Some(bytes) => MemoryCache::with_max_bytes(bytes),
        None => MemoryCache::new(),
    }
}
