//! A cache from its configuration.

use std::sync::Arc;

use bowline_events::{EventCache, MemoryCache, Result};

use crate::{CacheConfig, MemoryCacheConfig, open_redis};

/// Makes the cache that `config` describes. Touches no network; a shared cache connects when it is first used.
///
/// # Errors
/// `InvalidInput` for a limit that the cache does not accept and for a missing token; `Unsupported` for a kind of cache whose
/// feature is off.
pub fn open_cache(config: &CacheConfig) -> Result<Arc<dyn EventCache>> {
    match config {
        CacheConfig::Memory(config) => Ok(Arc::new(memory(config))),
        CacheConfig::Redis(config) => open_redis::cache(config),
        CacheConfig::Upstash(config) => open_redis::upstash(config),
    }
}

fn memory(config: &MemoryCacheConfig) -> MemoryCache {
    match config.max_bytes {
        Some(bytes) => MemoryCache::with_max_bytes(bytes),
        None => MemoryCache::new(),
    }
}
