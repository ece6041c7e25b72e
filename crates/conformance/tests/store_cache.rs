//! The caching layer with its histories in a store: in memory, in SQLite, on a PostgreSQL server, and in one SQLite file that
//! two participants of a Unix socket have opened on their own.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{
    CachingPubSub, Error, ErrorKind, InProcessPubSub, OpFuture, PubSub, PubSubExt, Result,
    SubscribeOptions,
};
use bowline_store::{MemoryStore, PostgresStore, SqliteStore, Store, StoreCache};
use bowline_testkit::{PostgresServer, skips_postgres};
use bowline_unix::UnixSocketPubSub;

fn cached(bus: impl PubSub, store: impl Store) -> Arc<dyn PubSub> {
    let cache = StoreCache::new(Arc::new(store));
    Arc::new(CachingPubSub::new(Arc::new(bus), Arc::new(cache)))
}

struct InProcess {
    sqlite: bool,
}

impl Fixture for InProcess {
    fn name(&self) -> &str {
        match self.sqlite {
            true => "store-cache-sqlite",
            false => "store-cache-memory",
        }
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let bus = InProcessPubSub::builder().no_replay().build();
            Ok(Participants::one(match self.sqlite {
                true => cached(bus, SqliteStore::in_memory().await?),
                false => cached(bus, MemoryStore::new()),
            }))
        })
    }
}

/// Broker and client on one socket, each with its own handle on one file.
struct OverUnix;

impl Fixture for OverUnix {
    fn name(&self) -> &str {
        "store-cache-over-unix"
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let folder = tempfile::tempdir().map_err(|error| {
                Error::new(ErrorKind::Unavailable, "connect", "no temporary folder")
                    .with_source(error)
            })?;
            let mut handles = Vec::new();
            for _ in 0..2 {
                let store = SqliteStore::open(folder.path().join("store.db")).await?;
                let bus = joined(folder.path().join("bus.sock")).await?;
                handles.push(cached(bus, store));
            }
            let [broker, client] = [handles.remove(0), handles.remove(0)];
            Ok(Participants::two(client, broker).keeping(folder))
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// One server for all clauses, with a schema for each.
struct OnPostgres {
    server: PostgresServer,
    clauses: AtomicU64,
}

impl Fixture for OnPostgres {
    fn name(&self) -> &str {
        "store-cache-postgres"
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let schema = format!("clause_{}", self.clauses.fetch_add(1, Relaxed));
            let store = PostgresStore::builder(&self.server.url())
                .schema(schema)
                .max_connections(3);
            let bus = InProcessPubSub::builder().no_replay().build();
            Ok(Participants::one(cached(bus, store.open().await?)))
        })
    }
}

fn start_server() -> PostgresServer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(PostgresServer::start())) {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => panic!("{error}"),
        Err(error) => panic!("no runtime: {error}"),
    }
}

/// A participant that has found its role: the first one is the broker.
async fn joined(path: std::path::PathBuf) -> Result<UnixSocketPubSub> {
    let bus = UnixSocketPubSub::new(path)?;
    let role = bus.subscribe("role", SubscribeOptions::new()).await?;
    role.unsubscribe().await?;
    Ok(bus)
}

fn main() -> ExitCode {
    let mut fixtures: Vec<Box<dyn Fixture>> = vec![
        Box::new(InProcess { sqlite: false }),
        Box::new(InProcess { sqlite: true }),
        Box::new(OverUnix),
    ];
    if !skips_postgres() {
        fixtures.push(Box::new(OnPostgres {
            server: start_server(),
            clauses: AtomicU64::new(0),
        }));
    }
    bowline_conformance::main(fixtures)
}
