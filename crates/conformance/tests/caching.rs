//! The caching layer over the in-process bus, and over two processes' worth of Unix socket bus with one cache.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{
    CachingPubSub, Error, ErrorKind, InProcessPubSub, MemoryCache, OpFuture, PubSub, PubSubExt,
    Result, SubscribeOptions,
};
use bowline_unix::UnixSocketPubSub;

struct InProcess {
    name: &'static str,
    make: fn() -> CachingPubSub,
}

impl Fixture for InProcess {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::ready(Ok(Participants::one(Arc::new((self.make)()))))
    }
}

/// Broker and client on one socket share one cache, as two processes share a cache on a server.
struct OverUnix;

impl Fixture for OverUnix {
    fn name(&self) -> &str {
        "caching-over-unix"
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let folder = tempfile::tempdir().map_err(|error| {
                Error::new(ErrorKind::Unavailable, "connect", "no temporary folder")
                    .with_source(error)
            })?;
            let path = folder.path().join("bus.sock");
            let cache = Arc::new(MemoryCache::new());
            let broker = join(&path, &cache).await?;
            let client = join(&path, &cache).await?;
            Ok(Participants::two(client, broker).keeping(folder))
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// A participant that has found its role: the first one is the broker.
async fn join(path: &Path, cache: &Arc<MemoryCache>) -> Result<Arc<dyn PubSub>> {
    let bus = UnixSocketPubSub::new(path)?;
    let role = bus.subscribe("role", SubscribeOptions::new()).await?;
    role.unsubscribe().await?;
    Ok(Arc::new(CachingPubSub::new(
        Arc::new(bus),
        Arc::clone(cache) as _,
    )))
}

fn over_a_bus_with_history() -> CachingPubSub {
    CachingPubSub::new(
        Arc::new(InProcessPubSub::new()),
        Arc::new(MemoryCache::new()),
    )
}

fn main() -> ExitCode {
    bowline_conformance::main([
        Box::new(InProcess {
            name: "caching",
            make: CachingPubSub::in_process,
        }) as Box<dyn Fixture>,
        Box::new(InProcess {
            name: "caching-over-history",
            make: over_a_bus_with_history,
        }),
        Box::new(OverUnix),
    ])
}
