//! Suspending, resuming, cancelling, retrying.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bowline_workflow::{
    ErrorKind, Resume, RunStatus, Start, StepContext, StepError, TimeTravel, Workflow, step,
};
use serde_json::{Value, json};

use crate::house::House;

fn approval() -> Workflow {
    Workflow::builder("approval")
        .input::<u32>()
        .step(step("ask", |ctx: StepContext, n: u32| async move {
            match ctx.resumed::<bool>()? {
                Some(yes) => Ok(json!({ "n": n, "yes": yes })),
                None => Err(ctx.suspend_with(&json!({ "question": n }), ["boss"])),
            }
        }))
        .step(step(
            "done",
            |v: Value| async move { Ok::<_, StepError>(v) },
        ))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_suspended_run_is_resumed_once() {
    let house = House::new();
    let engine = house.with(&approval()).await;
    let run = engine
        .start("approval", Start::with(&5).unwrap())
        .await
        .unwrap();
    let halted = run.result().await.unwrap();
    assert_eq!(halted.status(), RunStatus::Suspended);
    assert_eq!(halted.suspended()[0].id(), "ask");
    assert_eq!(halted.suspended()[0].payload.as_str(), r#"{"question":5}"#);
    let resume = || Resume::with(&true).unwrap().label("boss");
    let (one, other) = tokio::join!(
        engine.resume(run.id(), resume()),
        engine.resume(run.id(), resume())
    );
    let errors: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1);
    assert!(matches!(
        errors[0].kind(),
        ErrorKind::AlreadyResumed | ErrorKind::WrongState
    ));
    let result = engine.run(run.id()).await.unwrap().result().await.unwrap();
    assert_eq!(
        result.output::<Value>().unwrap(),
        json!({ "n": 5, "yes": true })
    );
    engine.close().await;
}

#[tokio::test]
async fn another_engine_resumes_what_one_has_started() {
    let house = House::new();
    let first = house.with(&approval()).await;
    let run = first
        .start("approval", Start::with(&5).unwrap())
        .await
        .unwrap();
    run.result().await.unwrap();
    first.close().await;
    let second = house.with(&approval()).await;
    let run = second.run(run.id()).await.unwrap();
    let result = run.resume(Resume::with(&false).unwrap()).await.unwrap();
    assert_eq!(
        result.output::<Value>().unwrap(),
        json!({ "n": 5, "yes": false })
    );
    second.close().await;
}

#[tokio::test]
async fn cancelling_reaches_a_step_that_another_engine_runs() {
    let house = House::new();
    let told = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&told);
    let slow = Workflow::builder("slow")
        .input::<u32>()
        .step(step("wait", move |ctx: StepContext, n: u32| {
            let seen = Arc::clone(&seen);
            async move {
                let guard = Dropped(seen);
                ctx.cancelled().await;
                drop(guard);
                Ok::<_, StepError>(n)
            }
        }))
        .build()
        .unwrap();
    let works = house.with(&slow).await;
    let run = works.start("slow", Start::with(&1).unwrap()).await.unwrap();
    let asks = house
        .engine()
        .workers(false)
        .workflow(slow)
        .start()
        .await
        .unwrap();
    asks.cancel(run.id()).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Canceled);
    while !told.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        asks.cancel(run.id()).await.unwrap_err().kind(),
        ErrorKind::WrongState
    );
    works.close().await;
    asks.close().await;
}

struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_failed_run_tries_again_what_failed_and_nothing_else() {
    let house = House::new();
    let (first, second) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (one, two) = (Arc::clone(&first), Arc::clone(&second));
    let workflow = Workflow::builder("twice")
        .input::<u32>()
        .step(step("one", move |n: u32| {
            one.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, StepError>(n) }
        }))
        .step(step("two", move |n: u32| {
            let times = two.fetch_add(1, Ordering::SeqCst);
            async move {
                if times == 0 {
                    Err(StepError::fail("E", "first"))
                } else {
                    Ok(n)
                }
            }
        }))
        .build()
        .unwrap();
    let engine = house.with(&workflow).await;
    let run = engine
        .start("twice", Start::with(&1).unwrap())
        .await
        .unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Failed);
    engine.retry(run.id()).await.unwrap();
    let run = engine.run(run.id()).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    assert_eq!(
        (first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)),
        (1, 2)
    );
    engine
        .travel(run.id(), TimeTravel::to("two"))
        .await
        .unwrap();
    let run = engine.run(run.id()).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    assert_eq!(
        (first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)),
        (1, 3)
    );
    engine.close().await;
}

#[tokio::test]
async fn an_answer_that_the_step_does_not_take_is_refused_and_the_run_waits_on() {
    async fn ask(ctx: StepContext) -> Result<u32, StepError> {
        match ctx.resumed::<u32>()? {
            Some(n) => Ok(n),
            None => Err(ctx.suspend("how many?")),
        }
    }
    let workflow = Workflow::builder("asking")
        .step(step("ask", ask).resumes::<u32>())
        .build()
        .unwrap();
    let house = House::new();
    let engine = house.with(&workflow).await;
    let run = engine.start("asking", Start::default()).await.unwrap();
    run.result().await.unwrap();
    let refused = run.resume(Resume::with("many").unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(refused.subject(), Some("ask"));
    assert_eq!(run.status().await.unwrap(), RunStatus::Suspended);
    let result = run.resume(Resume::with(&3).unwrap()).await.unwrap();
    assert_eq!(result.output::<u32>().unwrap(), 3);
    engine.close().await;
}
