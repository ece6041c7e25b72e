//! The Redis Streams bus: one handle, two handles of two processes, and refused events that come again in their group only.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{OpFuture, PubSub, Result};
use bowline_redis::{Redelivery, RedisStreamsPubSub};
use bowline_testkit::RedisServer;

/// Who takes part, and how refused events come again.
struct OnRedis {
    name: String,
    two: bool,
    redelivery: Redelivery,
    server: Arc<Shared>,
}

/// One server for all clauses; each has a key prefix of its own.
struct Shared {
    server: RedisServer,
    clauses: AtomicU64,
}

impl OnRedis {
    fn open(&self, url: &str, prefix: &str) -> Result<Arc<dyn PubSub>> {
        let bus = RedisStreamsPubSub::builder(url)
            .key_prefix(prefix)
            .redelivery(self.redelivery)
            .reclaim_interval(Some(Duration::from_millis(300)))
            .reclaim_idle(Duration::from_millis(900))
            .max_event_bytes(8 * 1024 * 1024)
            .build()?;
        Ok(Arc::new(bus))
    }
}

impl Fixture for OnRedis {
    fn name(&self) -> &str {
        &self.name
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let url = self.server.server.url();
            let number = self.server.clauses.fetch_add(1, Relaxed);
            let prefix = format!("clause-{number}");
            let one = self.open(&url, &prefix)?;
            Ok(match self.two {
                true => Participants::two(one, self.open(&url, &prefix)?),
                false => Participants::one(one),
            })
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(60)
    }
}

fn fixtures(name: &str, server: RedisServer) -> Vec<Box<dyn Fixture>> {
    let shared = Arc::new(Shared {
        server,
        clauses: AtomicU64::new(0),
    });
    let delay = Duration::from_millis(20);
    let kinds = [
        ("alone", false, Redelivery::Republish),
        ("two-processes", true, Redelivery::Republish),
        ("group-local", true, Redelivery::GroupLocal { delay }),
    ];
    let fixtures = kinds.map(|(kind, two, redelivery)| {
        Box::new(OnRedis {
            name: format!("{name}-{kind}"),
            two,
            redelivery,
            server: Arc::clone(&shared),
        }) as Box<dyn Fixture>
    });
    fixtures.into()
}

#[tokio::main]
async fn servers() -> Result<Vec<Box<dyn Fixture>>, Box<dyn std::error::Error>> {
    let mut all = fixtures("redis", RedisServer::start().await?);
    if let Some(program) = bowline_testkit::valkey() {
        let server = RedisServer::builder().program(program).start().await?;
        all.extend(fixtures("valkey", server));
    }
    Ok(all)
}

fn main() -> ExitCode {
    if bowline_testkit::skips_redis() {
        return ExitCode::SUCCESS;
    }
    match servers() {
        Ok(fixtures) => bowline_conformance::main(fixtures),
        Err(error) => {
            eprintln!("no server could be started: {error}");
            ExitCode::FAILURE
        }
    }
}
