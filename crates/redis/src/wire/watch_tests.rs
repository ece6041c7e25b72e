//! Commands on a connection whose replies are scripted, by a clock that runs when nothing else does.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::pipe::Pipe;
use super::shared::Shared;
use super::{Command, Connection, Failure, Reply};

const LIMIT: Duration = Duration::from_secs(10);

/// What becomes of a command.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered(Duration),
    /// The connection ends, and the library says so.
    Broken(Duration),
    /// The connection ended, and the library has forgotten the command.
    Forgotten,
}
use Fate::{Answered, Broken, Forgotten};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection on which commands have fates by their names; others wait for ever.
#[derive(Clone, Default)]
struct Scripted {
    fates: Arc<Mutex<HashMap<&'static str, Fate>>>,
    probes: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(fates: &[(&'static str, Fate)]) -> Self {
        Self {
            fates: Arc::new(Mutex::new(fates.iter().copied().collect())),
            probes: Arc::default(),
        }
    }

    fn shared(&self) -> Shared<Self> {
        Shared::single(self.clone(), Some(LIMIT)).expect("a runtime")
    }

    async fn meet(&self, name: String) -> RedisResult<Value> {
        if name == "PING" {
            self.probes.fetch_add(1, Relaxed);
        }
        let fate = self.fates.lock().expect("the fates").get(&*name).copied();
        match fate {
            Some(Answered(due)) => {
                sleep(due).await;
                Ok(Value::Okay)
            }
            Some(Broken(due)) => {
                sleep(due).await;
                let ended = std::io::ErrorKind::BrokenPipe;
                Err(std::io::Error::from(ended).into())
            }
            Some(Forgotten) | None => std::future::pending().await,
        }
    }
}

impl Pipe for Scripted {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let name = match command.args_iter().next() {
            Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        };
        self.meet(name).await
    }

    async fn send_all(
        &mut self,
        _commands: &Pipeline,
        _skipped: usize,
        wanted: usize,
    ) -> RedisResult<Vec<Value>> {
        Ok(vec![self.meet("EXEC".to_owned()).await?; wanted])
    }
}

fn is_lost(outcome: &Result<Reply, Failure>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(Failure::Lost(_)) => true,
        Err(other) => panic!("{other:?}"),
    }
}

/// Whether a command called `name` is lost, and after how many whole seconds by the clock of the test.
async fn send(shared: &Shared<Scripted>, name: &'static str) -> (bool, u64) {
    let asked = Instant::now();
    let outcome = shared.send(&Command::new(name)).await;
    (is_lost(&outcome), asked.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn every_command_ends() {
    let answered = |due| Answered(seconds(due));
    let broken = |due| Broken(seconds(due));
    let table = [
        (
            "what came later is answered",
            Forgotten,
            answered(0),
            (true, 1),
        ),
        ("the connection ended", Forgotten, broken(0), (true, 1)),
        (
            "a slow server has its time",
            answered(7),
            answered(7),
            (false, 7),
        ),
        (
            "although nothing else is answered",
            answered(7),
            Forgotten,
            (false, 7),
        ),
        ("a silent one has no more", Forgotten, Forgotten, (true, 10)),
        (
            "an answer is the answer",
            answered(0),
            Forgotten,
            (false, 0),
        ),
        ("a break is a break", broken(0), Forgotten, (true, 0)),
        ("late as well", broken(4), Forgotten, (true, 4)),
    ];
    for (why, command, ping, expected) in table {
        let script = Scripted::new(&[("XADD", command), ("PING", ping)]);
        assert_eq!(send(&script.shared(), "XADD").await, expected, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_in_one_piece_are_watched_too() {
    let script = Scripted::new(&[("PING", Answered(seconds(0)))]);
    let outcome = script
        .shared()
        .send_all(&[Command::new("XADD")], true)
        .await;
    assert!(matches!(outcome, Err(Failure::Lost(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn among_many_only_the_forgotten_one_is_lost() {
    let late = Answered(seconds(3));
    let script = Scripted::new(&[("XADD", late), ("XACK", Forgotten), ("PING", late)]);
    let shared = Arc::new(script.shared());
    let mut sent = JoinSet::new();
    for n in 0..300 {
        let name = if n == 100 { "XACK" } else { "XADD" };
        let shared = Arc::clone(&shared);
        sent.spawn(async move { (name, send(&shared, name).await) });
    }
    while let Some(sent) = sent.join_next().await {
        match sent.expect("a task") {
            ("XACK", outcome) => assert_eq!(outcome, (true, 4), "with the answer to the probe"),
            (_, outcome) => assert_eq!(outcome, (false, 3)),
        }
    }
    assert_eq!(script.probes.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_behind_the_probe_is_not_judged_by_it() {
    let script = Scripted::new(&[
        ("XACK", Forgotten),
        ("PING", Answered(seconds(3))),
        ("XADD", Answered(seconds(5))),
    ]);
    let shared = script.shared();
    let later = async {
        sleep(seconds(2)).await;
        send(&shared, "XADD").await
    };
    let (forgotten, later) = tokio::join!(send(&shared, "XACK"), later);
    assert_eq!(forgotten, (true, 4));
    assert_eq!(later, (false, 5));
}

#[tokio::test(start_paused = true)]
async fn the_end_that_one_command_sees_is_the_end_for_all() {
    let script = Scripted::new(&[("XACK", Forgotten), ("XADD", Broken(Duration::ZERO))]);
    let shared = script.shared();
    let (forgotten, broken) = tokio::join!(send(&shared, "XACK"), send(&shared, "XADD"));
    assert_eq!((forgotten, broken), ((true, 0), (true, 0)));
    // Whoever comes later is told, too, unless it is answered all the same.
    assert_eq!(send(&shared, "XACK").await, (true, 0));
    assert_eq!(script.probes.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_is_not_probed() {
    let script = Scripted::new(&[("XADD", Answered(Duration::from_millis(900)))]);
    let shared = script.shared();
    for _ in 0..60 {
        assert!(!send(&shared, "XADD").await.0);
    }
    assert_eq!(script.probes.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_not_waited_for_leaves_nothing_behind() {
    let script = Scripted::default();
    let shared = script.shared();
    let command = Command::new("XADD");
    let before = Arc::strong_count(&script.probes);
    {
        let mut sending = pin!(shared.send(&command));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        assert_eq!(shared.in_flight(), Some(1));
        // Long enough for a probe.
        sleep(seconds(2)).await;
    }
    assert_eq!(shared.in_flight(), Some(0));
    sleep(seconds(2)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(Arc::strong_count(&script.probes), before);
    drop(shared);
    assert_eq!(Arc::strong_count(&script.probes), 1, "it is closed");
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_kept_as_well() {
    let shared = Shared::single(Scripted::default(), Some(Duration::from_millis(200)));
    let shared = shared.expect("a runtime");
    let asked = Instant::now();
    assert!(is_lost(&shared.send(&Command::new("GET")).await));
    let took = asked.elapsed().as_millis();
    assert!(
        (200..=250).contains(&took),
        "{took} ms by the clock of the test"
    );
}

#[tokio::test(start_paused = true)]
async fn in_a_cluster_the_library_says_when_a_command_ends() {
    let script = Scripted::new(&[("XADD", Answered(seconds(60)))]);
    let shared = Shared::routed(script.clone());
    assert_eq!(send(&shared, "XADD").await, (false, 60));
    assert_eq!(script.probes.load(Relaxed), 0);
}

#[test]
fn a_command_does_not_outlive_the_runtime_of_its_connection() {
    let other = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let script = Scripted::default();
    let shared = other.block_on(async { script.shared() });
    let here = Builder::new_current_thread().enable_all().build();
    let outcomes = here.expect("a runtime").block_on(async {
        let command = Command::new("XADD");
        let waiting = shared.send(&command);
        let ending = async { other.shutdown_background() };
        let (waited, ()) = tokio::join!(waiting, ending);
        [waited, shared.send(&command).await]
    });
    assert!(outcomes.iter().all(is_lost));
}
