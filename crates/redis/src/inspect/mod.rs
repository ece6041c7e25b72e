//! What a server tells about itself: the facts behind `bowline doctor` and `bowline topics`.
//!
//! Looking changes nothing, and needs no permission to succeed: what the server does not tell is an [`Unknown`] with the reason,
//! and everything else is told all the same.

mod info;
mod needs;
mod permissions;
mod probe;
mod report;
mod server;
mod streams;

use std::time::Duration;

use bowline_events::Result;

pub use needs::Role;
pub use permissions::{Permission, Permissions, Verdict};
pub use probe::{Fact, Unknown};
pub use report::{Limits, Memory, Persistence, Replication, Report, Software, SoftwareKind};
pub use streams::{GroupReport, StreamReport, streams};

use crate::Server;
use probe::Probe;

/// What the keys of a bus begin with where nothing else is said.
pub const BUS_PREFIX: &str = "mastra:topic";

/// What the keys of a cache begin with where nothing else is said.
pub const CACHE_PREFIX: &str = "mastra:cache:";

/// What follows before the topic where nothing else is said.
pub const TOPIC_PREFIX: &str = "pubsub:";

/// Round trips that are measured.
const ROUND_TRIPS: usize = 5;

/// Asks `server` for everything that decides what it can promise in this `role`.
///
/// ```no_run
/// use bowline_redis::{Server, inspect};
/// # async fn example() -> bowline_events::Result<()> {
/// let server: Server = "redis://localhost:6379".parse()?;
/// let report = inspect::inspect(&server, inspect::Role::Bus { key_prefix: "mastra:topic" }).await?;
/// match &report.memory.policy {
///     Ok(policy) => println!("when memory is full: {policy}"),
///     Err(unknown) => println!("not known: {unknown}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Unavailable` when the server cannot be reached, `PermissionDenied` when it refuses the login.
pub async fn inspect(server: &Server, role: Role<'_>) -> Result<Report> {
    let probe = Probe::connect(server).await?;
    let round_trip = round_trip(&probe).await;
    let clock = server::clock(&probe).await;
    let info = server::info(&probe).await;
    let config = server::config(&probe).await;
    let user = server::user(&probe).await;
    let software = server::software(&probe, &info).await;
    let permissions = permissions::check(probe, user.as_deref().ok(), role).await;
    Ok(Report {
        software,
        round_trip,
        clock_ahead: clock,
        is_loopback: server::is_loopback(server).await,
        user,
        memory: server::memory(&info, &config),
        persistence: server::persistence(&info, &config),
        replication: server::replication(&info, &config),
        limits: server::limits(&info, &config),
        is_cluster: server::is_cluster(&info),
        permissions,
    })
}

/// The median of a few round trips.
async fn round_trip(probe: &Probe) -> Duration {
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        times.push(probe.round_trip().await);
    }
    times.sort_unstable();
    times[ROUND_TRIPS / 2]
}
