//! `kill -9` at chosen points, and at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{RunOutput, Strategy};
use bowline_testkit::{PostgresServer, RedisServer, skips_postgres, skips_redis};
use tokio::time::{sleep, timeout};

use crate::child::{Place, Process, command, effects, process, stuck};
use crate::line::Line;
use crate::outcome::{Outcome, committed, remembered};
use crate::scene::{Effects, begin, see_to_it};
use crate::seen::{Seen, looking};

/// Points at which a process is killed.
const POINTS: u64 = 40;
/// Runs of the test of any moment, and times that a process is killed while they go on.
const RUNS: usize = 8;
const KILLS: usize = 12;
/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(120);

/// A process that is killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path, death: Option<u64>) -> Self {
        Self(command(folder, death).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// What was committed when a process was killed, and how often it had been done.
struct Account(BTreeMap<String, usize>);

impl Account {
    async fn of(asks: &Process, effects: &Effects, runs: &[String]) -> Self {
        let mut all = BTreeMap::new();
        for run in runs {
            let kept = committed(&asks.store, run).await;
            // Others may work meanwhile, on what is not committed.
            let done = effects.all();
            all.extend(kept.into_iter().map(|what| (what.clone(), done[&what])));
        }
        Self(all)
    }

    /// Nothing of it was done again.
    fn check(&self, effects: &Effects) {
        let now = effects.all();
        for (what, times) in &self.0 {
            assert_eq!(now[what], *times, "{what} was committed, and done again");
        }
    }
}

fn without_id((seen, mut output): (Seen, RunOutput)) -> (Seen, RunOutput) {
    output.run_id = "RUN".into();
    (seen.essence(), output)
}

/// What has come out of a run that has ended.
async fn outcome(asks: &Process, run: &str) -> Outcome {
    let (seen, output) = without_id(looking(&asks.bus, run.to_owned()).await);
    Outcome {
        status: asks.agent.status(run).await.unwrap().to_string(),
        messages: remembered(&asks.store, run).await,
        output,
        seen,
    }
}

/// Everything that a test has.
struct Scene {
    asks: Arc<Process>,
    effects: Effects,
    wanted: Outcome,
    folder: tempfile::TempDir,
}

impl Scene {
    /// In `place`, in which nothing has happened yet: with a run that nobody disturbs.
    async fn new(place: impl FnOnce(&Path) -> Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path()).tell(folder.path());
        let line = Arc::new(Line::new(None));
        let asks = Arc::new(process(folder.path(), &line, false).await);
        let worker = Worker::start(folder.path(), None);
        see_to_it(&asks.agent, "undisturbed").await;
        let wanted = outcome(&asks, "undisturbed").await;
        drop(worker);
        let effects = effects(folder.path());
        assert!(effects.all().values().all(|times| *times == 1));
        Self {
            asks,
            effects,
            wanted,
            folder,
        }
    }

    fn readers(&self, run: &str) -> tokio::task::JoinHandle<(Seen, RunOutput)> {
        let (asks, run) = (Arc::clone(&self.asks), run.to_owned());
        tokio::spawn(async move { looking(&asks.bus, run).await })
    }

    fn controller(&self, run: &str) -> tokio::task::JoinHandle<()> {
        let (asks, run) = (Arc::clone(&self.asks), run.to_owned());
        tokio::spawn(async move { see_to_it(&asks.agent, &run).await })
    }

    /// A process is killed after its `n`-th operation, and another one goes on. Whether it came to that, and whether anything was
    /// committed then.
    async fn killed_at(&self, n: u64) -> (bool, bool) {
        let run = format!("run-{n}");
        let reader = self.readers(&run);
        begin(&self.asks.agent, &run).await;
        let controller = self.controller(&run);
        let stuck = stuck(self.folder.path());
        let worker = Worker::start(self.folder.path(), Some(n));
        while !stuck.exists() && !controller.is_finished() {
            sleep(Duration::from_millis(2)).await;
        }
        drop(worker);
        let killed = stuck.exists();
        if killed {
            std::fs::remove_file(stuck).unwrap();
        }
        let account = Account::of(&self.asks, &self.effects, std::slice::from_ref(&run)).await;
        let late = self.readers(&run);
        let worker = Worker::start(self.folder.path(), None);
        controller.await.unwrap();
        self.check(&run, [reader, late]).await;
        account.check(&self.effects);
        drop(worker);
        (killed, !account.0.is_empty())
    }

    async fn check(
        &self,
        run: &str,
        readers: impl IntoIterator<Item = tokio::task::JoinHandle<(Seen, RunOutput)>>,
    ) {
        let found = outcome(&self.asks, run).await;
        assert_eq!(found, self.wanted, "{run}");
        for reader in readers {
            let read = without_id(reader.await.unwrap());
            assert_eq!(read, (found.seen.clone(), found.output.clone()), "{run}");
        }
        let topic = bowline_events::Topic::agent_stream(run);
        let told = self.asks.bus.history(&topic, 0, 100_000).await.unwrap();
        for (k, event) in told.iter().enumerate() {
            assert_eq!(event.index, Some(k as u64), "{run}: a gap, or twice");
        }
    }

    async fn at_points(self) {
        // A run takes more operations than this.
        const APART: u64 = 3;
        let (mut killed, mut kept) = (0, 0);
        for n in 0..POINTS {
            let point = n * APART;
            let case = timeout(FOREVER, self.killed_at(point)).await;
            let (was, had) = case.unwrap_or_else(|_| panic!("it hangs at {point}"));
            killed += u64::from(was);
            kept += u64::from(had);
        }
        assert_eq!(killed, POINTS, "some were not killed at their point");
        assert!(kept >= POINTS / 2, "only {kept} had committed something");
        self.asks.agent.engine().close().await;
    }

    /// So many processes work, of which one after the other is killed.
    async fn at_any_moment(self, processes: usize) {
        let runs: Vec<String> = (0..RUNS).map(|n| format!("run-{n}")).collect();
        let readers: Vec<_> = runs.iter().map(|run| self.readers(run)).collect();
        for run in &runs {
            begin(&self.asks.agent, run).await;
        }
        let controllers: Vec<_> = runs.iter().map(|run| self.controller(run)).collect();
        let moments = [450, 60, 520, 380, 700, 410, 150, 600, 480, 350, 800, 430];
        let mut accounts = Vec::new();
        let start = |_| Worker::start(self.folder.path(), None);
        let mut workers: Vec<Worker> = (1..processes).map(start).collect();
        for millis in moments.into_iter().cycle().take(KILLS) {
            workers.push(start(0));
            sleep(Duration::from_millis(millis)).await;
            drop(workers.remove(0));
            accounts.push(Account::of(&self.asks, &self.effects, &runs).await);
        }
        workers.push(start(0));
        let ended = async {
            for controller in controllers {
                controller.await.unwrap();
            }
            for (run, reader) in runs.iter().zip(readers) {
                self.check(run, [reader]).await;
            }
        };
        timeout(FOREVER, ended).await.expect("a run does not end");
        let kept = accounts.iter().filter(|account| !account.0.is_empty());
        assert!(
            kept.count() > 0,
            "nothing was committed before the last one"
        );
        for account in accounts {
            account.check(&self.effects);
        }
        self.asks.agent.engine().close().await;
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

/// A test on a PostgreSQL server, and a Redis server with the history of the streams.
fn on_servers<F: Future<Output = ()>>(strategy: Strategy, test: impl FnOnce(Scene) -> F) {
    if skips_postgres() || skips_redis() {
        return;
    }
    block_on(async {
        let (postgres, redis) = (PostgresServer::start(), RedisServer::start());
        let (postgres, redis) = (postgres.await.unwrap(), redis.await.unwrap());
        let place = Place {
            store: postgres.url(),
            bus: redis.url(),
            strategy,
        };
        test(Scene::new(|_| place).await).await;
    });
}

pub(crate) fn at_points_on_a_file() {
    block_on(async { Scene::new(Place::file).await.at_points().await });
}

pub(crate) fn at_points_on_servers() {
    on_servers(Strategy::Durable, Scene::at_points);
}

pub(crate) fn at_any_moment_on_a_file() {
    block_on(async { Scene::new(Place::file).await.at_any_moment(1).await });
}

pub(crate) fn at_any_moment_on_servers() {
    on_servers(Strategy::Durable, |scene| scene.at_any_moment(1));
}

/// Two processes share the steps of runs.
pub(crate) fn one_of_two_on_a_file() {
    let place = |folder: &Path| Place::file(folder).with(Strategy::Evented);
    block_on(async { Scene::new(place).await.at_any_moment(2).await });
}

pub(crate) fn one_of_two_on_servers() {
    on_servers(Strategy::Evented, |scene| scene.at_any_moment(2));
}
