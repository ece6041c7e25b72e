//! Processes that die, and what it costs to notice.

use std::sync::Arc;
use std::time::Duration;

use bowline_store::{Commit, Expect, Table};
use bowline_workflow::{Engine, RunStatus, Start, StepContext, StepError, Workflow, step};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::house::{House, count};
use crate::line::Line;
use crate::wires::Hints;

const LEASE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_secs(1);
const HOUR: i64 = 3_600_000;

/// A workflow whose step ends where it is let.
fn waits(begun: &Arc<watch::Sender<u32>>, lets_end: bool) -> Workflow {
    let begun = Arc::clone(begun);
    let wait = move |_: StepContext, n: u64| {
        let begun = Arc::clone(&begun);
        async move {
            begun.send_modify(|begun| *begun += 1);
            if !lets_end {
                std::future::pending::<()>().await;
            }
            Ok::<_, StepError>(n)
        }
    };
    let workflow = Workflow::builder("waits").input::<u64>();
    workflow.step(step("wait", wait)).build().unwrap()
}

struct Process {
    engine: Engine,
    line: Arc<Line>,
    begun: watch::Receiver<u32>,
}

impl Process {
    async fn new(house: &House, lets_end: bool, max_runs: usize) -> Self {
        let line = Arc::new(Line::new(1));
        let (begun, receiver) = watch::channel(0);
        let engine = house.far_with(&line, Hints::Times(1), bowline_events::Reach::Process);
        let engine = engine.lease(LEASE).poll(POLL).max_runs(max_runs);
        let engine = engine.workflow(waits(&Arc::new(begun), lets_end));
        Self {
            engine: engine.start().await.unwrap(),
            line,
            begun: receiver,
        }
    }

    async fn begins(&mut self) {
        let begun = self.begun.wait_for(|begun| *begun > 0);
        let begun = timeout(20 * LEASE, begun).await;
        assert!(begun.is_ok(), "the step never begins");
    }
}

async fn start(process: &mut Process) {
    let start = Start::with(&1_u64).unwrap().run_id("r");
    process.engine.start("waits", start).await.unwrap();
    process.begins().await;
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_dead_process_are_taken_over_about_a_lease_later() {
    for ahead in [0, -HOUR, HOUR] {
        let house = House::new();
        let mut first = Process::new(&house, false, 16).await;
        let mut second = Process::new(&house, true, 16).await;
        start(&mut first).await;
        sleep(3 * LEASE).await;
        second.line.clock().set_ahead(ahead);
        first.line.die();
        let died = Instant::now();
        second.begins().await;
        let silent = died.elapsed();
        // It was renewed up to a quarter before, and is looked at every quarter.
        assert!(silent >= LEASE * 3 / 4, "{silent:?}, {ahead}");
        assert!(silent <= LEASE * 3 / 2 + POLL, "{silent:?}, {ahead}");
        let run = second.engine.run("r").await.unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
        second.engine.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_just_begun_gives_the_others_their_lease() {
    let house = House::new();
    let mut first = Process::new(&house, false, 16).await;
    start(&mut first).await;
    first.line.hold();
    sleep(100 * LEASE).await;
    let late = Process::new(&house, true, 16).await;
    sleep(LEASE / 2).await;
    first.line.release();
    sleep(10 * LEASE).await;
    assert_eq!(*late.begun.borrow(), 0, "a live run was taken");
    assert_eq!(count(&house.journal("r").await, "recovered"), 0);
    assert_eq!(first.engine.active_runs(), 1);
    late.engine.close().await;
    first.line.die();
}

/// Whoever looks for orphans has read who is there before he reads the runs.
#[tokio::test(start_paused = true)]
async fn a_process_that_comes_while_others_look_keeps_its_runs() {
    for seconds in 0..60 {
        let house = House::new();
        let looks = Process::new(&house, true, 16).await;
        // It reads one thing every three seconds or so.
        looks.line.slow_down(6000, 0);
        sleep(Duration::from_secs(seconds)).await;
        let mut comes = Process::new(&house, false, 16).await;
        start(&mut comes).await;
        sleep(30 * LEASE).await;
        assert_eq!(count(&house.journal("r").await, "recovered"), 0);
        assert_eq!(*looks.begun.borrow(), 0, "a live run was taken");
        comes.line.die();
        looks.line.die();
    }
}

/// Every engine reads the runs that run when somebody died, and otherwise the less often the longer nothing was found.
#[tokio::test(start_paused = true)]
async fn looking_for_orphans_among_ten_thousand_runs_is_rare() {
    const RUNS: u64 = 10_000;
    const RUN: Table = Table::new("runs");
    const JOURNAL: Table = Table::new("journal");
    let house = House::new();
    let mut works = Process::new(&house, false, 1).await;
    start(&mut works).await;
    let record = house.store.get(RUN, "r").await.unwrap().unwrap();
    let journal = JOURNAL.log("r");
    let journal = house.store.read_log(&journal, 0, 10).await.unwrap();
    for n in 1..RUNS {
        let (index, body) = (record.index.clone(), record.body.clone());
        let key = format!("r{n}");
        let begun = journal.entries.iter().map(|entry| entry.body.clone());
        let copy = Commit::new()
            .put(RUN, key.clone(), Expect::Absent, index, body)
            .append(JOURNAL.log(key), begun);
        house.store.commit(copy).await.unwrap();
    }
    let looks = Process::new(&house, false, 16).await;
    sleep(600 * POLL).await;
    // At once, and then after 30 s, and after twice as long each time.
    assert_eq!(looks.line.listed(), 5 * RUNS);
    sleep(1800 * POLL).await;
    // From then on every five minutes.
    assert_eq!(looks.line.listed(), 11 * RUNS);

    // Whoever has no room for more does not read on.
    works.line.die();
    sleep(30 * LEASE).await;
    assert_eq!(looks.engine.active_runs(), 16);
    assert!(looks.line.listed() <= 13 * RUNS, "{}", looks.line.listed());
    looks.line.die();
}
