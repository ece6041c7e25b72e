//! A cache from its configuration.

use std::sync::Arc;

use bowline_events::{Error, ErrorKind, EventCache, MemoryCache, Result};

use crate::{CacheConfig, MemoryCacheConfig};

/// Makes the cache that `config` describes. Touches no network; a shared cache connects when it is first used.
///
/// # Errors
/// `InvalidInput` for a limit that the cache does not accept and for a missing token; `Unsupported` for a kind of cache whose
/// feature is off.
pub fn open_cache(config: &CacheConfig) -> Result<Arc<dyn EventCache>> {
    match config {
        CacheConfig::Memory(config) => Ok(Arc::new(memory(config))),
        CacheConfig::Redis(_) | CacheConfig::Upstash(_) => Err(without_redis()),
    }
}

fn memory(config: &MemoryCacheConfig) -> MemoryCache {
    match config.max_bytes {
        Some(bytes) => MemoryCache::with_max_bytes(bytes),
        None => MemoryCache::new(),
    }
}

pub(crate) fn without_redis() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "open",
        "this program was built without Redis; build it with the feature redis of bowline-runtime",
    )
}
