//! Engines that are closed while they work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_workflow::{Engine, RunStatus, Start, StepContext, StepError, Workflow, step};

use crate::house::{House, count};
use crate::line::Line;
use crate::scenes::{Effects, Hands};

/// Nobody takes over from a silent process within a test.
const LONG_LEASE: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(30);

async fn engine(house: &House, workflow: Workflow, drain: Duration) -> Engine {
    let engine = house.far(&Arc::new(Line::new(1)));
    let engine = engine.lease(LONG_LEASE).drain(drain);
    engine.workflow(workflow).start().await.unwrap()
}

/// Many short steps, a retry and two sleeps.
fn chain(effects: &Effects) -> Workflow {
    let hands = Hands::new(effects, &Arc::new(Line::new(1)));
    let link = |name: &str| {
        let hands = hands.clone();
        step(name.to_owned(), move |ctx: StepContext, n: u64| {
            let hands = hands.clone();
            async move {
                hands.acts(&ctx).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
                Ok::<_, StepError>(n + 1)
            }
        })
    };
    Workflow::builder("chain")
        .input::<u64>()
        .step(link("a"))
        .step(link("b"))
        .sleep(Duration::from_millis(10))
        .step(link("c"))
        .step(link("d"))
        .step(link("e"))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_engine_goes_on_with_the_runs_and_doubles_nothing() {
    const RUNS: usize = 30;
    for wait in [0, 4, 9, 15] {
        let house = House::new();
        let effects = Effects::default();
        let first = engine(&house, chain(&effects), SOON).await;
        for n in 0..RUNS {
            let start = Start::with(&0_u64).unwrap().run_id(format!("r{n}"));
            first.start("chain", start).await.unwrap();
        }
        let second = engine(&house, chain(&effects), SOON).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        first.close().await;
        assert_eq!(first.active_runs(), 0);
        for n in 0..RUNS {
            let id = format!("r{n}");
            let run = second.run(&id).await.unwrap();
            let result = tokio::time::timeout(SOON, run.result()).await;
            let result = result.expect("nobody goes on with the run").unwrap();
            assert_eq!(result.output::<u64>().unwrap(), 5);
            let facts = house.journal(&id).await;
            assert_eq!(count(&facts, "ended"), 5);
            assert_eq!(count(&facts, "recovered"), 0);
        }
        assert_eq!(effects.total() as usize, 5 * RUNS, "{:?}", effects.all());
        second.close().await;
    }
}

/// What happened, in order.
type Diary = Arc<Mutex<Vec<String>>>;

struct Ends(Diary, &'static str);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(format!("{} ends", self.1));
    }
}

/// A step that does not end while it runs in the process called `first`, beside one that does.
fn stubborn(process: &'static str, diary: &Diary) -> Workflow {
    let diary = Arc::clone(diary);
    let long = move |n: u64| {
        let diary = Arc::clone(&diary);
        async move {
            diary.lock().unwrap().push(format!("{process} begins"));
            let _ends = Ends(diary, process);
            if process == "first" {
                std::future::pending::<()>().await;
            }
            Ok::<_, StepError>(n)
        }
    };
    let short = |n: u64| async move { Ok::<_, StepError>(n) };
    Workflow::builder("stubborn")
        .input::<u64>()
        .parallel([step("long", long), step("short", short)])
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_does_not_end_in_time_is_cancelled_and_runs_elsewhere() {
    let house = House::new();
    let diary = Diary::default();
    let drain = Duration::from_millis(50);
    let first = engine(&house, stubborn("first", &diary), drain).await;
    let start = Start::with(&7_u64).unwrap().run_id("r");
    first.start("stubborn", start).await.unwrap();
    while count(&house.journal("r").await, "ended") == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let second = engine(&house, stubborn("second", &diary), drain).await;
    let ((), result) = tokio::join!(first.close(), async {
        let run = second.run("r").await.unwrap();
        tokio::time::timeout(SOON, run.result()).await
    });
    let result = result.expect("nobody goes on with the run").unwrap();
    assert_eq!(result.status(), RunStatus::Success);
    // It does not run in both at a time.
    let wanted = ["first begins", "first ends", "second begins", "second ends"];
    assert_eq!(*diary.lock().unwrap(), wanted);
    let facts = house.journal("r").await;
    assert_eq!((count(&facts, "ended"), count(&facts, "recovered")), (2, 0));
    second.close().await;
}

#[tokio::test]
async fn an_engine_that_is_closed_twice_or_has_nothing_to_do_is_closed() {
    let house = House::new();
    let effects = Effects::default();
    let engine = engine(&house, chain(&effects), SOON).await;
    tokio::join!(engine.close(), engine.close());
    engine.close().await;
    let left = house.store.stats().await.unwrap();
    // The graph of the workflow stays, for programs that do not have it.
    let tables: Vec<&str> = left
        .tables
        .iter()
        .map(|table| table.table.as_str())
        .collect();
    assert_eq!(tables, ["graphs"], "{left:?}");
}
