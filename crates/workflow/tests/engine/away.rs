//! A store and a bus that are away, or do not say what they did.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_workflow::{Engine, ErrorKind, RunStatus, Start, Workflow};

use crate::house::{House, count};
use crate::line::Line;
use crate::scenes::{Effects, Hands, SCENES, linear};
use crate::wires::Hints;

/// Nobody takes over from a silent process within a test.
const LONG_LEASE: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);

async fn engine(house: &House, line: &Arc<Line>, workflows: Vec<Workflow>, reach: Reach) -> Engine {
    let engine = house.far_with(line, Hints::Times(1), reach);
    let engine = workflows
        .into_iter()
        .fold(engine.lease(LONG_LEASE), |engine, workflow| {
            engine.workflow(workflow)
        });
    engine.start().await.unwrap()
}

/// Every tenth, then every third operation of a store fails, half of them after they took effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_end_on_a_store_that_fails_at_random_and_double_nothing() {
    const RUNS: usize = 4;
    for (seed, faults) in [(1, 100), (2, 300), (3, 300)] {
        let house = House::new();
        let effects = Effects::default();
        let line = Arc::new(Line::new(seed));
        let hands = Hands::new(&effects, &line);
        let scenes: Vec<_> = SCENES
            .into_iter()
            .filter(|scene| scene.name != "suspend")
            .collect();
        let make = || scenes.iter().map(|scene| (scene.make)(&hands)).collect();
        let works = engine(&house, &line, make(), Reach::Process).await;
        let looks = house.engine().workers(false);
        let looks = make()
            .into_iter()
            .fold(looks, |looks, workflow: Workflow| looks.workflow(workflow));
        let looks = looks.start().await.unwrap();
        line.store_faults(faults);
        let mut ids = Vec::new();
        for n in 0..RUNS {
            for scene in &scenes {
                let id = format!("{}-{n}", scene.name);
                let start = Start::with(&2_u64).unwrap().run_id(id.clone());
                // Whoever gets an error looks whether it began nevertheless.
                let begun = works.start(scene.name, start).await.is_ok();
                if begun || looks.run(&id).await.is_ok() {
                    ids.push(id);
                }
            }
        }
        assert!(ids.len() > RUNS, "nearly nothing was started");
        let mut attempts = 0;
        for id in &ids {
            let run = looks.run(id).await.unwrap();
            let result = tokio::time::timeout(SOON, run.result()).await;
            let Ok(result) = result else {
                panic!(
                    "seed {seed}: {id} does not end: {:?}",
                    house.journal(id).await
                );
            };
            let result = result.unwrap();
            assert_eq!(result.status(), RunStatus::Success, "seed {seed}: {id}");
            let facts = house.journal(id).await;
            attempts += count(&facts, "ended");
        }
        assert_eq!(
            effects.total() as usize,
            attempts,
            "seed {seed}: {:?}",
            effects.all()
        );
        line.store_faults(0);
        works.close().await;
        looks.close().await;
    }
}

async fn all_told(house: &House, run: &str) -> Vec<String> {
    let told = tokio::time::timeout(SOON, house.told_to_the_end(run)).await;
    told.unwrap_or_else(|_| panic!("the end of {run} is not told"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_end_while_the_bus_is_away_and_are_told_in_order_afterwards() {
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(&Effects::default(), &line);
    let works = engine(&house, &line, vec![linear(&hands)], Reach::Host).await;
    line.cut_bus(true);
    for n in 0..20 {
        let start = Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
        let run = works.start("linear", start).await.unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
        assert!(house.told(run.id()).await.is_empty());
    }
    line.cut_bus(false);
    for n in 0..20 {
        let told = all_told(&house, &format!("r{n}")).await;
        let kind = |event: &String| {
            let event: serde_json::Value = serde_json::from_str(event).unwrap();
            event["type"].as_str().unwrap().to_owned()
        };
        let of_step = [
            "workflow-step-start",
            "workflow-step-result",
            "workflow-step-finish",
        ];
        let mut wanted = vec!["workflow-start"];
        wanted.extend(of_step.repeat(3));
        wanted.push("workflow-finish");
        assert_eq!(told.iter().map(kind).collect::<Vec<_>>(), wanted);
    }
    works.close().await;
    let left = house.store.stats().await.unwrap();
    assert!(
        left.tables
            .iter()
            .all(|table| table.table.as_str() != "outbox"),
        "{left:?}"
    );
}

/// A bus that does not say whether it took an event gets it once more: two copies side by side, and no other order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bus_may_have_lost_is_told_again_at_its_place() {
    let house = House::new();
    let line = Arc::new(Line::new(7));
    let hands = Hands::new(&Effects::default(), &line);
    let works = engine(&house, &line, vec![linear(&hands)], Reach::Host).await;
    line.bus_faults(300);
    let mut again = 0;
    for n in 0..20 {
        let start = Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
        works.start("linear", start).await.unwrap();
    }
    for n in 0..20 {
        let mut told = all_told(&house, &format!("r{n}")).await;
        let all = told.len();
        told.dedup();
        again += all - told.len();
        assert_eq!(told.len(), 11, "{told:?}");
    }
    assert!(again > 0, "no answer was lost");
    line.bus_faults(0);
    works.close().await;
}

/// Who polls once an hour is told of work, also when its subscriptions have ended meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_listens_again_when_a_subscription_has_ended() {
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(&Effects::default(), &line);
    line.deafen(true);
    let works = house.far(&line).lease(LONG_LEASE).poll(LONG_LEASE);
    let works = works.workflow(linear(&hands)).start().await.unwrap();
    line.deafen(false);
    let asks = house.engine().workers(false).workflow(linear(&hands));
    let asks = asks.start().await.unwrap();
    let told = async {
        loop {
            let run = asks.start("linear", Start::with(&1_u64).unwrap()).await;
            let result = run.unwrap();
            let result = tokio::time::timeout(Duration::from_millis(100), result.result()).await;
            if let Ok(result) = result {
                return result.unwrap().status();
            }
        }
    };
    let status = tokio::time::timeout(SOON, told).await;
    assert_eq!(status.expect("it never listens again"), RunStatus::Success);
    works.close().await;
    asks.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_result_waits_until_the_store_is_back() {
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(&Effects::default(), &line);
    let looks = house.far(&line).workers(false).workflow(linear(&hands));
    let looks = looks.start().await.unwrap();
    let start = Start::with(&1_u64).unwrap();
    let run = looks.start("linear", start).await.unwrap();
    line.store_faults(1000);
    let works = house.engine().workflow(linear(&hands));
    let works = works.start().await.unwrap();
    let there = works.run(run.id()).await.unwrap().result().await.unwrap();
    assert_eq!(there.status(), RunStatus::Success);
    assert_eq!(run.status().await.unwrap_err().kind(), ErrorKind::Store);
    let back = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        line.store_faults(0);
    };
    let (result, ()) = tokio::join!(run.result(), back);
    assert_eq!(result.unwrap().status(), RunStatus::Success);
    works.close().await;
    looks.close().await;
}
