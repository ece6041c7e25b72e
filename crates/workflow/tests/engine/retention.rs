//! What is left of runs that are over: nothing.

use std::sync::Arc;
use std::time::Duration;

use bowline_workflow::{RunStatus, Start};
use futures_util::StreamExt;

use crate::house::House;
use crate::line::Line;
use crate::scenes::{Effects, Hands, SCENES};

/// Runs: few unless `BOWLINE_LONG` is set.
fn scale() -> u64 {
    match std::env::var_os("BOWLINE_LONG") {
        Some(_) => 100_000,
        None => 2_000,
    }
}

/// What is kept of runs: records, logs and topics.
async fn kept(house: &House) -> (u64, usize) {
    let stats = house.store.stats().await.unwrap();
    let tables = stats.tables.iter();
    // Workers and graphs do not grow with the runs.
    let tables = tables.filter(|table| !matches!(table.table.as_str(), "workers" | "graphs"));
    let records = tables.map(|table| table.records + table.logs).sum();
    let topics = house.bus.topics().await.unwrap();
    let of_runs = topics
        .iter()
        .filter(|info| info.topic.as_str().starts_with("workflow.events"));
    (records, of_runs.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_runs_whose_retention_is_over() {
    for retention in [(5, 20), (20, 5)] {
        let house = House::new();
        let line = Arc::new(Line::new(1));
        let hands = Hands::new(&Effects::default(), &line);
        let scenes: Vec<_> = SCENES
            .into_iter()
            .filter(|scene| !["suspend", "sleep"].contains(&scene.name))
            .collect();
        let engine = house
            .far(&line)
            .lease(Duration::from_secs(30))
            .watch_retention(Duration::from_millis(retention.0))
            .run_retention(Duration::from_millis(retention.1));
        let engine = scenes.iter().fold(engine, |engine, scene| {
            engine.workflow((scene.make)(&hands))
        });
        let engine = engine.start().await.unwrap();
        let runs = futures_util::stream::iter(0..scale());
        runs.for_each_concurrent(100, |n| {
            let scene = &scenes[usize::try_from(n).unwrap() % scenes.len()];
            let engine = &engine;
            async move {
                let start = Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
                let run = engine.start(scene.name, start).await.unwrap();
                let result = run.result().await.unwrap();
                assert_eq!(result.status(), RunStatus::Success);
            }
        })
        .await;
        let emptied = async {
            while kept(&house).await != (0, 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let emptied = tokio::time::timeout(Duration::from_secs(60), emptied).await;
        assert!(emptied.is_ok(), "{:?} are left", kept(&house).await);
        assert_eq!(engine.active_runs(), 0);
        engine.close().await;
    }
}

#[tokio::test]
async fn a_run_that_is_tried_again_after_its_events_were_cleared_leaves_nothing_either() {
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let flaky = |n: u64| async move {
        Err::<u64, _>(bowline_workflow::StepError::fail("Never", n.to_string()))
    };
    let workflow = bowline_workflow::Workflow::builder("never")
        .input::<u64>()
        .step(bowline_workflow::step("never", flaky))
        .build()
        .unwrap();
    let engine = house
        .far(&line)
        .lease(Duration::from_secs(30))
        .watch_retention(Duration::from_millis(30))
        .run_retention(Duration::from_millis(2_000))
        .workflow(workflow);
    let engine = engine.start().await.unwrap();
    let start = Start::with(&2_u64).unwrap().run_id("r");
    let run = engine.start("never", start).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Failed);
    while kept(&house).await.1 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.retry("r").await.unwrap();
    let again = engine.run("r").await.unwrap().result().await.unwrap();
    assert_eq!(again.status(), RunStatus::Failed);
    assert_eq!(
        house.told("r").await.len(),
        4,
        "{:?}",
        house.told("r").await
    );
    while kept(&house).await != (0, 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.close().await;
}
