//! From the start of a run to its end.

use std::time::Duration;

use bowline_workflow::{
    ErrorKind, RetryPolicy, RunStatus, Start, StepContext, StepError, StepStatus, Workflow, step,
    when,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::house::House;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct N {
    n: u64,
}

async fn add(input: N) -> Result<N, StepError> {
    Ok(N { n: input.n + 1 })
}

async fn double(input: N) -> Result<N, StepError> {
    Ok(N { n: input.n * 2 })
}

#[tokio::test]
async fn a_run_returns_what_its_last_step_returned() {
    let house = House::new();
    let workflow = Workflow::builder("sum")
        .input::<N>()
        .output::<N>()
        .step(add)
        .step(double)
        .build()
        .unwrap();
    let engine = house.with(&workflow).await;
    let run = engine
        .start("sum", Start::with(&N { n: 1 }).unwrap().run_id("run-1"))
        .await
        .unwrap();
    let result = run.result().await.unwrap();
    assert_eq!(result.status(), RunStatus::Success);
    assert_eq!(result.output::<N>().unwrap(), N { n: 4 });
    assert_eq!(
        result.step("add").unwrap().output.unwrap().as_str(),
        r#"{"n":2}"#
    );
    let again = engine
        .start("sum", Start::with(&N { n: 1 }).unwrap().run_id("run-1"))
        .await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let unfit = engine.start("sum", Start::with("text").unwrap()).await;
    assert_eq!(unfit.unwrap_err().kind(), ErrorKind::InvalidInput);
    engine.close().await;
    assert_eq!(
        engine
            .start("sum", Start::with(&N { n: 1 }).unwrap())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Closed
    );
}

#[tokio::test]
async fn every_kind_of_entry_does_its_work() {
    let house = House::new();
    let inner = Workflow::builder("inner")
        .input::<N>()
        .step(add)
        .build()
        .unwrap();
    let workflow = Workflow::builder("all")
        .input::<N>()
        .parallel([step("x", add), step("y", double)])
        .map(|ctx: StepContext| async move { ctx.output_of::<N>("y").map(|n| n.unwrap()) })
        .branch([
            when(|n: &N| n.n > 3, step("large", double)),
            when(|n: &N| n.n <= 3, step("small", add)),
        ])
        .map(|ctx: StepContext| async move {
            let large: Option<N> = ctx.output_of("large")?;
            Ok::<_, StepError>(vec![1, 2, large.map_or(3, |n| n.n)])
        })
        .foreach(step(
            "each",
            |n: u64| async move { Ok::<_, StepError>(N { n }) },
        ))
        .concurrency(2)
        .map(|all: Vec<N>| async move {
            Ok::<_, StepError>(N {
                n: all.iter().map(|n| n.n).sum(),
            })
        })
        .do_until(step("grow", double), |n: &N| n.n > 100)
        .sleep(Duration::from_millis(5))
        .step(inner)
        .build()
        .unwrap();
    let engine = house.with(&workflow).await;
    let run = engine
        .start("all", Start::with(&N { n: 2 }).unwrap())
        .await
        .unwrap();
    let result = run.result().await.unwrap();
    assert_eq!(result.status(), RunStatus::Success, "{:?}", result.error());
    // 2 doubled is 4, doubled is 8; 1 + 2 + 8 = 11; 22, 44, 88, 176; and one.
    assert_eq!(result.output::<N>().unwrap(), N { n: 177 });
    assert_eq!(result.step("small").unwrap().status, StepStatus::Skipped);
    assert_eq!(
        result.step("inner.add").unwrap().status,
        StepStatus::Success
    );
    engine.close().await;
}

#[tokio::test]
async fn watchers_see_a_run_from_its_beginning_to_its_end() {
    let house = House::new();
    let workflow = Workflow::builder("told")
        .input::<N>()
        .step(step("say", |ctx: StepContext, n: N| async move {
            ctx.write(&json!({ "hello": n.n })).await?;
            Ok::<_, StepError>(n)
        }))
        .build()
        .unwrap();
    let engine = house.with(&workflow).await;
    let run = engine
        .start("told", Start::with(&N { n: 7 }).unwrap())
        .await
        .unwrap();
    run.result().await.unwrap();
    let mut watch = run.watch().await.unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = watch.next().await {
        kinds.push(event.unwrap().kind);
    }
    let wanted = [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-output",
        "workflow-step-result",
        "workflow-step-finish",
        "workflow-finish",
    ];
    assert_eq!(kinds, wanted);
    engine.close().await;
}

#[tokio::test]
async fn failures_are_tried_again_and_then_seen() {
    let house = House::new();
    let flaky = |ctx: StepContext, n: N| async move {
        if ctx.attempt() < 2 {
            return Err(StepError::fail("Flaky", "not yet"));
        }
        Ok(n)
    };
    let policy = RetryPolicy::times(2).delay(Duration::from_millis(2));
    let workflow = Workflow::builder("flaky")
        .input::<N>()
        .retries(policy)
        .step(step("f", flaky))
        .build()
        .unwrap();
    let broken = |n: N| async move {
        if n.n > 0 {
            Err(StepError::fail("Broken", "never"))
        } else {
            Ok(n)
        }
    };
    let fails = Workflow::builder("fails")
        .input::<N>()
        .step(step("b", broken))
        .build()
        .unwrap();
    let engine = house
        .engine()
        .workflow(workflow)
        .workflow(fails)
        .start()
        .await
        .unwrap();
    let run = engine
        .start("flaky", Start::with(&N { n: 1 }).unwrap())
        .await
        .unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    let run = engine
        .start("fails", Start::with(&N { n: 1 }).unwrap())
        .await
        .unwrap();
    let result = run.result().await.unwrap();
    assert_eq!(result.status(), RunStatus::Failed);
    assert!(result.error().unwrap().as_str().contains("never"));
    assert_eq!(
        result.output::<N>().unwrap_err().kind(),
        ErrorKind::WrongState
    );
    engine.close().await;
}
