//! The caching layer with its histories on a Redis server, reached directly and over the REST API of Upstash: over the in-process
//! bus, over two participants of a Unix socket, and over two of a Redis bus, with a cache of their own each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{
    CachingPubSub, Error, ErrorKind, EventCache, InProcessPubSub, OpFuture, PubSub, PubSubExt,
    Result, SubscribeOptions,
};
use bowline_redis::{RedisCache, RedisStreamsPubSub, UpstashCache};
use bowline_testkit::{RedisServer, UpstashServer};
use bowline_unix::UnixSocketPubSub;

const TOKEN: &str = "token";

/// The bus below the caching layer.
#[derive(Clone)]
enum Below {
    Memory,
    /// Two participants on one socket.
    Unix,
    /// Two participants on the server that has the histories, too.
    Redis(String),
}

/// Makes a cache whose keys begin with a prefix.
type MakeCache = dyn Fn(&str) -> Result<Arc<dyn EventCache>> + Send + Sync;

struct Cached {
    name: &'static str,
    below: Below,
    make: Arc<MakeCache>,
    clauses: AtomicU64,
}

impl Fixture for Cached {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        // One server serves all clauses; each has a key prefix of its own.
        let prefix = format!("{}-{}:", self.name, self.clauses.fetch_add(1, Relaxed));
        match &self.below {
            Below::Memory => OpFuture::ready(self.over_memory(&prefix)),
            Below::Unix => OpFuture::new(self.over_unix(prefix)),
            Below::Redis(url) => OpFuture::ready(self.over_redis(url, &prefix)),
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

    fn over_redis(&self, url: &str, prefix: &str) -> Result<Participants> {
        let handle = || -> Result<Arc<dyn PubSub>> {
            let bus = RedisStreamsPubSub::builder(url)
                .key_prefix(prefix)
                .reclaim_interval(Some(Duration::from_millis(300)))
                .reclaim_idle(Duration::from_millis(900))
                .max_event_bytes(8 * 1024 * 1024)
                .build()?;
            let bus = CachingPubSub::new(Arc::new(bus), (self.make)(prefix)?);
            Ok(Arc::new(bus))
        };
        Ok(Participants::two(handle()?, handle()?))
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

fn fixtures(
    names: impl IntoIterator<Item = (&'static str, Below)>,
    make: impl Fn(&str) -> Result<Arc<dyn EventCache>> + Send + Sync + 'static,
) -> Vec<Box<dyn Fixture>> {
    let make: Arc<MakeCache> = Arc::new(make);
    let fixture = |(name, below)| {
        Box::new(Cached {
            name,
            below,
            make: Arc::clone(&make),
            clauses: AtomicU64::new(0),
        }) as Box<dyn Fixture>
    };
    names.into_iter().map(fixture).collect()
}

fn on_redis(server: &RedisServer) -> Vec<Box<dyn Fixture>> {
    let url = server.url();
    let names = [
        ("caching-in-redis", Below::Memory),
        ("caching-in-redis-over-unix", Below::Unix),
        ("caching-in-redis-over-redis", Below::Redis(url.clone())),
    ];
    fixtures(names, move |prefix| {
        let cache = RedisCache::builder(&url).key_prefix(prefix).build()?;
        Ok(Arc::new(cache))
    })
}

fn on_upstash(upstash: &UpstashServer) -> Vec<Box<dyn Fixture>> {
    let url = upstash.url();
    let names = [
        ("caching-in-upstash", Below::Memory),
        ("caching-in-upstash-over-unix", Below::Unix),
    ];
    fixtures(names, move |prefix| {
        let cache = UpstashCache::builder(&url, TOKEN)
            .key_prefix(prefix)
            .build()?;
        Ok(Arc::new(cache))
    })
}

async fn servers() -> bowline_testkit::Result<(RedisServer, UpstashServer)> {
    let server = RedisServer::start().await?;
    let upstash = UpstashServer::start(server.address(), TOKEN).await?;
    Ok((server, upstash))
}

fn main() -> ExitCode {
    if bowline_testkit::skips_redis() {
        return ExitCode::SUCCESS;
    }
    // It serves the REST API while the clauses run on runtimes of their own.
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    match runtime.block_on(servers()) {
        Ok((server, upstash)) => {
            let fixtures = on_redis(&server).into_iter().chain(on_upstash(&upstash));
            bowline_conformance::main(fixtures)
        }
        Err(error) => {
            eprintln!("no server could be started: {error}");
            ExitCode::FAILURE
        }
    }
}
