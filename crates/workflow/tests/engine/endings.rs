//! How runs end: cancelled from elsewhere, with much to return, in several branches at once.

use std::sync::Arc;
use std::time::Duration;

use bowline_workflow::{
    Engine, Resume, RunStatus, Start, StepContext, StepError, StepStatus, Workflow, step,
};
use serde_json::Value;

use crate::house::{House, count};
use crate::line::{Death, Line};
use crate::scenes::{Effects, Hands, SCENES};

async fn engine(house: &House, line: &Arc<Line>, workflow: Workflow, workers: bool) -> Engine {
    let engine = house.far(line).workers(workers).workflow(workflow);
    engine.start().await.unwrap()
}

/// What watchers were told, when it is over: the type and the status of every event.
async fn told(house: &House, run: &str) -> Vec<(String, String)> {
    let told = house.told_to_the_end(run).await;
    let read = |event: &String| {
        let event: Value = serde_json::from_str(event).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["payload"]["workflowStatus"]),
        )
    };
    told.iter().map(read).collect()
}

fn finishes(told: &[(String, String)]) -> Vec<&str> {
    let finishes = told.iter().filter(|(kind, _)| kind == "workflow-finish");
    finishes.map(|(_, status)| status.as_str()).collect()
}

fn waits() -> Workflow {
    Workflow::builder("waits")
        .input::<u64>()
        .step(step("wait", |ctx: StepContext, n: u64| async move {
            ctx.cancelled().await;
            Ok::<_, StepError>(n)
        }))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_run_was_cancelled_from_elsewhere_is_told_once_and_last() {
    let house = House::new();
    let works = engine(&house, &Arc::new(Line::new(1)), waits(), true).await;
    let asks = engine(&house, &Arc::new(Line::new(2)), waits(), false).await;
    for n in 0..30 {
        let id = format!("r{n}");
        let start = Start::with(&1_u64).unwrap().run_id(id.clone());
        let run = works.start("waits", start).await.unwrap();
        // Also before it was told that it began.
        if n % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        asks.cancel(&id).await.unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Canceled);
        let told = told(&house, &id).await;
        assert_eq!(finishes(&told), ["canceled"], "{told:?}");
        assert_eq!(told[0].0, "workflow-start");
    }
    works.close().await;
    asks.close().await;
}

/// How a suspended run is when the process that cancels it dies so, and what was told.
async fn cancelled_with(death: Option<Death>) -> (RunStatus, Vec<(String, String)>, u64, bool) {
    let house = House::new();
    let suspend = SCENES
        .into_iter()
        .find(|scene| scene.name == "suspend")
        .unwrap();
    let make = |line: &Arc<Line>| (suspend.make)(&Hands::new(&Effects::default(), line));
    let line = Arc::new(Line::new(1));
    let works = engine(&house, &line, make(&line), true).await;
    let start = Start::with(&1_u64).unwrap().run_id("r");
    let run = works.start("suspend", start).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Suspended);
    let line = Arc::new(Line::with_death(death));
    let cancels = async {
        let cancels = engine(&house, &line, make(&line), true).await;
        cancels.cancel("r").await.unwrap();
        cancels.close().await;
    };
    let died = tokio::select! {
        () = cancels => false,
        () = line.died() => true,
    };
    let status = run.status().await.unwrap();
    if status != RunStatus::Canceled {
        let resumed = works.run("r").await.unwrap();
        resumed.resume(Resume::with(&1_u64).unwrap()).await.unwrap();
    }
    let told = told(&house, "r").await;
    works.close().await;
    (status, told, line.passed(), died)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_run_was_cancelled_is_told_also_if_the_process_dies_that_did_it() {
    let (status, wanted, operations, _) = cancelled_with(None).await;
    assert_eq!(status, RunStatus::Canceled);
    let mut both = [0, 0];
    for n in 0..operations {
        for death in [Death::Before(n), Death::After(n)] {
            let (status, told, _, died) = cancelled_with(Some(death)).await;
            if status == RunStatus::Canceled {
                assert_eq!(told, wanted, "with {death:?}");
            }
            if died {
                both[usize::from(status == RunStatus::Canceled)] += 1;
            }
        }
    }
    assert!(both.into_iter().all(|times| times > 0), "{both:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_record_of_a_run_is_found_in_its_journal() {
    const LARGE: usize = 3 * 1024 * 1024;
    let text = |_: u64| async move { Ok::<_, StepError>("x".repeat(LARGE)) };
    let asks = |ctx: StepContext, all: Vec<String>| async move {
        match ctx.resumed::<bool>()? {
            Some(_) => Ok(all),
            None => Err(ctx.suspend(&all[0])),
        }
    };
    let large = || {
        Workflow::builder("large")
            .input::<Vec<u64>>()
            .foreach(step("text", text))
            .concurrency(3)
            .step(step("ask", asks))
            .build()
            .unwrap()
    };
    let house = House::new();
    let works = engine(&house, &Arc::new(Line::new(1)), large(), true).await;
    let looks = engine(&house, &Arc::new(Line::new(2)), large(), false).await;
    let start = Start::with(&[1_u64, 2, 3]).unwrap().run_id("r");
    let run = works.start("large", start).await.unwrap();
    for result in [
        run.result().await,
        looks.run("r").await.unwrap().result().await,
    ] {
        let result = result.unwrap();
        assert_eq!(result.status(), RunStatus::Suspended);
        assert_eq!(result.suspended().len(), 1);
        assert_eq!(result.suspended()[0].payload.as_str().len(), LARGE + 2);
    }
    let resume = Resume::with(&true).unwrap();
    let here = works.run("r").await.unwrap().resume(resume).await.unwrap();
    let there = looks.run("r").await.unwrap().result().await.unwrap();
    for result in [here, there] {
        assert_eq!(result.status(), RunStatus::Success);
        let all: Vec<String> = result.output().unwrap();
        assert_eq!(all.iter().map(String::len).sum::<usize>(), 3 * LARGE);
    }
    works.close().await;
    looks.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_that_fail_at_the_same_time_are_one_failure() {
    let fail = |n: u64| async move { Err::<u64, _>(StepError::fail("Broken", n.to_string())) };
    let names = ["a", "b", "c", "d"];
    let nested = Workflow::builder("inner")
        .input::<u64>()
        .step(step("x", fail))
        .build()
        .unwrap();
    let workflow = Workflow::builder("fails")
        .input::<u64>()
        .parallel(names.map(|name| step(name, fail)))
        .build()
        .unwrap();
    let outer = Workflow::builder("outer")
        .input::<u64>()
        .parallel((nested, workflow.clone()))
        .build()
        .unwrap();
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let engine = house.far(&line).workflow(workflow).workflow(outer);
    let engine = engine.start().await.unwrap();
    for n in 0..20 {
        for name in ["fails", "outer"] {
            let id = format!("{name}-{n}");
            let start = Start::with(&1_u64).unwrap().run_id(id.clone());
            let run = engine.start(name, start).await.unwrap();
            let result = run.result().await.unwrap();
            assert_eq!(result.status(), RunStatus::Failed);
            let error = result.error().unwrap().to_string();
            assert!(error.contains("Broken"), "{error}");
            let told = told(&house, &id).await;
            assert_eq!(finishes(&told), ["failed"], "{told:?}");
            assert!(
                result
                    .steps()
                    .iter()
                    .any(|(_, step)| step.status == StepStatus::Failed)
            );
        }
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_of_a_closed_engine_gets_the_result_that_another_one_brings_about() {
    let house = House::new();
    let scene = SCENES
        .into_iter()
        .find(|scene| scene.name == "sleep")
        .unwrap();
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(&Effects::default(), &line);
    let first = engine(&house, &line, (scene.make)(&hands), true).await;
    let second = engine(&house, &line, (scene.make)(&hands), true).await;
    let start = Start::with(&1_u64).unwrap().run_id("r");
    let run = first.start("sleep", start).await.unwrap();
    let (result, ()) = tokio::join!(run.result(), first.close());
    assert_eq!(result.unwrap().status(), RunStatus::Success);
    assert_eq!(count(&house.journal("r").await, "ended"), 2);
    second.close().await;
}
