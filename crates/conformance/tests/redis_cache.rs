//! The caching layer with its histories on a Redis server: over the in-process bus, and over two participants of a Unix socket
//! with a cache of their own each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{
    CachingPubSub, Error, ErrorKind, EventCache, InProcessPubSub, OpFuture, PubSub, PubSubExt,
    Result, SubscribeOptions,
};
use bowline_redis::RedisCache;
use bowline_testkit::RedisServer;
use bowline_unix::UnixSocketPubSub;

/// Makes a cache whose keys begin with a prefix.
type MakeCache = dyn Fn(&str) -> Result<Arc<dyn EventCache>> + Send + Sync;

struct Cached {
    name: &'static str,
    two: bool,
    make: Arc<MakeCache>,
    clauses: Arc<AtomicU64>,
}

impl Fixture for Cached {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        // One server serves all clauses; each has a key prefix of its own.
        let prefix = format!("clause-{}:", self.clauses.fetch_add(1, Relaxed));
        match self.two {
            false => OpFuture::ready(self.over_memory(&prefix)),
            true => OpFuture::new(self.over_unix(prefix)),
        }
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }
}

impl Cached {
    fn over_memory(&self, prefix: &str) -> Result<Participants> {
        let bus = Arc::new(InProcessPubSub::builder().no_replay().build());
        let bus = CachingPubSub::new(bus, (self.make)(prefix)?);
        Ok(Participants::one(Arc::new(bus)))
    }

    async fn over_unix(&self, prefix: String) -> Result<Participants> {
        let folder = tempfile::tempdir().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "connect", "no temporary folder").with_source(error)
        })?;
        let path = folder.path().join("bus.sock");
        let mut handles: Vec<Arc<dyn PubSub>> = Vec::new();
        for _ in 0..2 {
            let bus = UnixSocketPubSub::new(&path)?;
            // The first one is the broker.
            let role = bus.subscribe("role", SubscribeOptions::new()).await?;
            role.unsubscribe().await?;
            let cache = (self.make)(&prefix)?;
            handles.push(Arc::new(CachingPubSub::new(Arc::new(bus), cache)));
        }
        let [broker, client] = [handles.remove(0), handles.remove(0)];
        Ok(Participants::two(client, broker).keeping(folder))
    }
}

fn fixtures(names: [&'static str; 2], make: Arc<MakeCache>) -> [Box<dyn Fixture>; 2] {
    let clauses = Arc::new(AtomicU64::new(0));
    [(names[0], false), (names[1], true)].map(|(name, two)| {
        Box::new(Cached {
            name,
            two,
            make: Arc::clone(&make),
            clauses: Arc::clone(&clauses),
        }) as Box<dyn Fixture>
    })
}

fn on_redis(server: &RedisServer) -> [Box<dyn Fixture>; 2] {
    let url = server.url();
    let make = move |prefix: &str| -> Result<Arc<dyn EventCache>> {
        let cache = RedisCache::builder(&url).key_prefix(prefix).build()?;
        Ok(Arc::new(cache))
    };
    fixtures(
        ["caching-in-redis", "caching-in-redis-over-unix"],
        Arc::new(make),
    )
}

fn main() -> ExitCode {
    if bowline_testkit::skips_redis() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let server = runtime.block_on(RedisServer::start());
    let server = server.unwrap_or_else(|error| panic!("no server could be started: {error}"));
    bowline_conformance::main(on_redis(&server))
}
