//! Several engines on one store and one bus.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_store::SqliteStore;
use bowline_workflow::{Dispatch, RunStatus, Start, StepContext, StepError, Workflow, step};

use crate::house::{House, count};
use crate::line::Line;
use crate::scenes::{Effects, Hands};
use crate::wires::Hints;

const LANES: usize = 8;

/// Eight workflows side by side, each of which does something for every element of an array.
fn wide(hands: &Hands, items: u64) -> Workflow {
    let lanes = (0..LANES).map(|lane| {
        let each = hands.add(1);
        let list =
            move |n: u64| async move { Ok::<_, StepError>((n..n + items).collect::<Vec<u64>>()) };
        let inner = Workflow::builder(format!("lane-{lane}"))
            .input::<u64>()
            .map(list)
            .foreach(step("each", each))
            .concurrency(5)
            .build();
        inner.unwrap()
    });
    let sum = |ctx: StepContext| async move {
        let mut sum = 0;
        for lane in 0..LANES {
            let all: Option<Vec<u64>> = ctx.output_of(&format!("lane-{lane}"))?;
            sum += all.unwrap_or_default().iter().sum::<u64>();
        }
        Ok::<_, StepError>(sum)
    };
    let lanes: Vec<Workflow> = lanes.collect();
    let workflow = Workflow::builder("wide").dispatch(hands.dispatch);
    let workflow = workflow.input::<u64>().parallel(lanes);
    workflow.map(sum).build().unwrap()
}

/// `runs` runs on `engines` engines whose hints arrive as they like.
async fn compete(house: &House, engines: u64, runs: u64, items: u64, dispatch: Dispatch) {
    let effects = Effects::default();
    let mut all = Vec::new();
    for seed in 0..engines {
        let line = Arc::new(Line::new(seed + 1));
        let hands = Hands::new(&effects, &line).dispatched(dispatch);
        let engine = house.far_with(&line, Hints::UpTo(3), Reach::Process);
        let engine = engine.workers(seed > 0).lease(Duration::from_secs(30));
        let engine = engine.max_runs(4).workflow(wide(&hands, items));
        all.push(engine.start().await.unwrap());
    }
    let mut begun = Vec::new();
    for n in 0..runs {
        let start = Start::with(&n).unwrap().run_id(format!("r{n}"));
        begun.push(all[0].start("wide", start).await.unwrap());
    }
    for (n, run) in (0..runs).zip(&begun) {
        let result = run.result().await.unwrap();
        assert_eq!(result.status(), RunStatus::Success, "{:?}", result.error());
        let lane: u64 = (n..n + items).map(|item| item + 1).sum();
        assert_eq!(result.output::<u64>().unwrap(), lane * LANES as u64);
        let facts = house.journal(run.id()).await;
        let steps = LANES * usize::try_from(items).unwrap();
        let maps = LANES + 1;
        assert_eq!(count(&facts, "ended"), steps + maps);
    }
    let effects = effects.all();
    assert_eq!(effects.len() as u64, runs * LANES as u64 * items);
    let doubled: Vec<_> = effects.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    for engine in all {
        assert_eq!(engine.active_runs(), 0);
        engine.close().await;
    }
}

/// Runs and elements: few unless `BOWLINE_LONG` is set.
fn scale() -> (u64, u64) {
    match std::env::var_os("BOWLINE_LONG") {
        Some(_) => (200, 50),
        None => (12, 20),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_share_the_work_and_double_nothing() {
    let (runs, items) = scale();
    compete(&House::new(), 3, runs, items, Dispatch::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_engines_share_the_work_and_double_nothing() {
    let (runs, items) = scale();
    compete(&House::new(), 6, runs, items, Dispatch::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_share_a_database() {
    let store = SqliteStore::in_memory().await.unwrap();
    compete(&House::on(Arc::new(store)), 4, 6, 5, Dispatch::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_share_the_steps_of_runs_and_double_nothing() {
    let (runs, items) = scale();
    compete(&House::new(), 4, runs, items, Dispatch::Step).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_share_the_steps_of_runs_in_a_database() {
    let store = SqliteStore::in_memory().await.unwrap();
    compete(&House::on(Arc::new(store)), 4, 6, 5, Dispatch::Step).await;
}
