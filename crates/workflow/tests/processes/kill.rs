//! `kill -9` at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use bowline_store::Table;
use bowline_testkit::{PostgresServer, RedisServer, skips_postgres, skips_redis};
use bowline_workflow::{Engine, RunStatus, Start};

use crate::child::{ITEMS, Place, WORKFLOW, command, effects, engine};

const RUNS: u64 = 120;
/// Times that a process is killed.
const KILLS: u64 = 8;
/// Executions of one run when nobody is killed: three steps and one that is tried twice, and the elements.
const EXECUTIONS: u64 = 4 + ITEMS;
/// Steps of a run that execute at a time at most.
const AT_ONCE: u64 = 3;
const JOURNAL: Table = Table::new("journal");

/// A process that is killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path) -> Self {
        Self(command(folder).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Moments that differ, and that are the same in every execution of the test.
fn moments() -> impl Iterator<Item = Duration> {
    let millis = [60, 5, 130, 35, 300, 80, 20, 220];
    millis.into_iter().cycle().map(Duration::from_millis)
}

fn run_id(n: u64) -> String {
    format!("run-{n}")
}

/// How often every step was executed.
fn executions(folder: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(effects(folder)).unwrap();
    let mut executions = BTreeMap::new();
    for line in text.lines() {
        *executions.entry(line.to_owned()).or_default() += 1;
    }
    executions
}

/// The runs have ended as they should, and nothing was executed more often than processes were killed.
async fn check(folder: &Path, engine: &Engine, store: &dyn bowline_store::Store, kills: u64) {
    let mut recoveries = 0;
    for n in 0..RUNS {
        let run = engine.run(&run_id(n)).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await;
        let result = result
            .unwrap_or_else(|_| panic!("{} does not end", run.id()))
            .unwrap();
        assert_eq!(result.status(), RunStatus::Success, "{:?}", result.error());
        assert_eq!(result.output::<u64>().unwrap(), (n + 3) * ITEMS + 1);
        let log = JOURNAL.log(run.id().clone());
        let page = store.read_log(&log, 0, 1000).await.unwrap();
        let entries = page
            .entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.body));
        let entries: Vec<String> = entries.map(std::borrow::Cow::into_owned).collect();
        let of_kind =
            |kind: &str| entries.iter().filter(|entry| entry.contains(kind)).count() as u64;
        // Both maps end, too.
        assert_eq!(of_kind("\"ended\""), EXECUTIONS + 2, "{entries:#?}");
        recoveries += of_kind("\"recovered\"");
    }
    let executions = executions(folder);
    let total: u64 = executions.values().sum();
    assert!(total >= RUNS * EXECUTIONS, "{executions:#?}");
    // Whatever is executed again was executing when a process died, which its run knows.
    assert!(
        total <= RUNS * EXECUTIONS + recoveries * AT_ONCE,
        "{total} executions, {recoveries} recoveries: {executions:#?}"
    );
    for (step, times) in &executions {
        let attempts = if step.ends_with("flaky") { 2 } else { 1 };
        assert!(
            *times <= attempts + kills,
            "{step} was executed {times} times"
        );
    }
    assert!(recoveries > 0, "no process died while it worked");
}

async fn begin(engine: &Engine) {
    for n in 0..RUNS {
        let start = Start::with(&n).unwrap().run_id(run_id(n));
        engine.start(WORKFLOW, start).await.unwrap();
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

/// One process works, is killed, and another one takes its place.
pub(crate) fn one_after_the_other() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        Place::file(folder.path()).tell(folder.path());
        let (asks, store) = engine(folder.path(), false).await;
        begin(&asks).await;
        for moment in moments().take(usize::try_from(KILLS).unwrap()) {
            let worker = Worker::start(folder.path());
            has_worked(folder.path()).await;
            tokio::time::sleep(moment).await;
            drop(worker);
        }
        let _worker = Worker::start(folder.path());
        check(folder.path(), &asks, &*store, KILLS).await;
        asks.close().await;
    });
}

/// Two processes work, one of which is killed now and then, and then the other.
pub(crate) fn two_at_a_time() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        Place::file(folder.path()).tell(folder.path());
        two_in(folder.path()).await;
    });
}

/// The same, as if they were on several hosts: the store is a PostgreSQL server, the bus a Redis server.
pub(crate) fn two_on_servers() {
    if skips_postgres() || skips_redis() {
        return;
    }
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (postgres, redis) = (PostgresServer::start(), RedisServer::start());
        let (postgres, redis) = (postgres.await.unwrap(), redis.await.unwrap());
        let place = Place {
            store: postgres.url(),
            bus: redis.url(),
        };
        place.tell(folder.path());
        two_in(folder.path()).await;
    });
}

async fn two_in(folder: &Path) {
    let (asks, store) = engine(folder, false).await;
    begin(&asks).await;
    let mut workers = [Worker::start(folder), Worker::start(folder)];
    has_worked(folder).await;
    for (n, moment) in moments().take(usize::try_from(KILLS).unwrap()).enumerate() {
        tokio::time::sleep(moment).await;
        workers[n % 2] = Worker::start(folder);
    }
    check(folder, &asks, &*store, KILLS).await;
    asks.close().await;
}

/// Waits until a step is executed, or nothing is left to do.
async fn has_worked(folder: &Path) {
    const LOOKS: u32 = 200;
    let bytes = || std::fs::metadata(effects(folder)).map_or(0, |metadata| metadata.len());
    let before = bytes();
    for _ in 0..LOOKS {
        if bytes() > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
