//! Commits per second of a step of a run: the run by compare-and-set, a new timer, a log entry. Prints, asserts nothing.
//!
//! `cargo bench -p bowline-store` runs it on memory and SQLite, and on PostgreSQL (which does not wait for the disk
//! here) where it is installed; `-- sqlite` runs it on SQLite alone.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails by panicking and prints what it measured"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::Timestamp;
use bowline_store::{
    Commit, Durability, Expect, Index, MemoryStore, PostgresStore, SqliteStore, Store, Table,
};
use bowline_testkit::PostgresServer;

const RUNS: Table = Table::new("runs");
const TIMERS: Table = Table::new("timers");
const STEPS: Table = Table::new("steps");

/// About how long each figure is measured.
const LONG: Duration = Duration::from_secs(2);
const BODY: [u8; 400] = [b'x'; 400];

/// Commits step after step of one run, and returns how many.
async fn drive(store: Arc<dyn Store>, name: String, end: Instant) -> (u64, Vec<Duration>) {
    let (mut count, mut times) = (0, Vec::new());
    let mut expect = Expect::Absent;
    let created = Timestamp::now();
    while Instant::now() < end {
        let index = Index::new(created).status("running").group("bench");
        let now = Timestamp::now();
        let due = Index::new(now).group("bench").due(now);
        let commit = Commit::new()
            .put(RUNS, name.clone(), expect, index, BODY.to_vec())
            .put(TIMERS, format!("{name}-{count}"), Expect::Absent, due, "{}")
            .append(STEPS.log(name.clone()), [BODY.to_vec()]);
        let begun = Instant::now();
        let committed = store.commit(commit).await.unwrap();
        times.push(begun.elapsed());
        expect = Expect::Version(committed.version);
        count += 1;
    }
    (count, times)
}

/// Whether the command line names this backend, or none.
fn wanted(what: &str) -> bool {
    let mut names = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .peekable();
    names.peek().is_none() || names.any(|name| what.contains(&name))
}

async fn measure(what: &str, store: Arc<dyn Store>) {
    if !wanted(what) {
        return;
    }
    for writers in [1, 50] {
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..writers {
            tasks.spawn(drive(
                Arc::clone(&store),
                format!("{writers}-{writer}"),
                begun + LONG,
            ));
        }
        let (mut count, mut times) = (0, Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (some, more) = done.unwrap();
            count += some;
            times.extend(more);
        }
        let seconds = begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let median = times[times.len() / 2];
        println!(
            "{what:<26} {writers:>3} writers {:>10.0} commits/s, median {median:>10.1?}, 99 % {:>10.1?}",
            f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds,
            times[times.len() * 99 / 100],
        );
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        measure("memory", Arc::new(MemoryStore::new())).await;
        let folder = tempfile::tempdir().unwrap();
        for (what, durability) in [
            ("sqlite synchronous=normal", Durability::Process),
            ("sqlite synchronous=full", Durability::PowerLoss),
        ] {
            let path = folder.path().join(format!("{what}.db"));
            let store = SqliteStore::builder(path)
                .durability(durability)
                .open()
                .await
                .unwrap();
            measure(what, Arc::new(store)).await;
        }
        if wanted("postgres") && PostgresServer::available() {
            let server = PostgresServer::start().await.unwrap();
            let store = PostgresStore::open(&server.url()).await.unwrap();
            measure("postgres", Arc::new(store)).await;
        }
    });
}
