//! What runs tell on topics of their own.

use std::time::Duration;

use bowline_events::Event;
use bowline_workflow::outlet::{Announcement, Moment, Outlet, Scene};
use bowline_workflow::{Data, Resume, Start, StepContext, StepError, Topic, Workflow, step};
use serde_json::{Value, json};

use crate::house::House;

/// Tells everything, with the state.
struct Herald;

fn topic(run: &str) -> Topic {
    Topic::new(format!("herald.{run}"))
}

impl Outlet for Herald {
    fn topics(&self, run_id: &str) -> Vec<Topic> {
        vec![topic(run_id)]
    }

    fn tell(&self, scene: &Scene<'_>) -> Vec<Announcement> {
        let (kind, what) = match scene.moment() {
            Moment::Suspended { step, payload } => (
                "suspended",
                json!([step, payload.parse::<Value>().unwrap()]),
            ),
            Moment::Succeeded(result) => ("succeeded", result.parse().unwrap()),
            Moment::Failed { error, .. } => ("failed", error.parse().unwrap()),
            Moment::Canceled => ("canceled", Value::Null),
            _ => return Vec::new(),
        };
        let data = json!({ "what": what, "state": scene.state().parse::<Value>().unwrap() });
        vec![Announcement::new(
            topic(scene.run_id()),
            kind,
            Data::from(data),
        )]
    }
}

async fn ask(ctx: StepContext, n: u32) -> Result<u32, StepError> {
    match ctx.resumed::<u32>()? {
        Some(0) => Err(StepError::fail("Error", "nothing").no_retry()),
        Some(more) => Ok(n + more),
        None => {
            ctx.set_state(&json!({ "asked": n }))?;
            Err(ctx.suspend(&json!({ "have": n })))
        }
    }
}

fn workflow() -> Workflow {
    let inner = Workflow::builder("inner").input::<u32>().step(ask);
    let inner = inner.build_step().unwrap();
    Workflow::builder("outer")
        .input::<u32>()
        .quiet()
        .outlet(Herald)
        .step(step("first", |n: u32| async move { Ok::<_, StepError>(n) }))
        .step(inner)
        .build()
        .unwrap()
}

async fn told(house: &House, run: &str) -> Vec<(String, Value)> {
    let events = house.bus.history(&topic(run), 0, 100).await.unwrap();
    let read = |event: std::sync::Arc<Event>| {
        assert_eq!(event.run_id, run);
        (event.event_type.to_string(), event.data.parse().unwrap())
    };
    events.into_iter().map(read).collect()
}

#[tokio::test]
async fn every_moment_is_told_once_and_nothing_else() {
    let asked = || {
        let what = json!(["ask", { "have": 1 }]);
        let state = json!({ "asked": 1 });
        ("suspended".into(), json!({ "what": what, "state": state }))
    };
    let last = |kind: &str, what: Value| {
        (
            kind.to_owned(),
            json!({ "what": what, "state": { "asked": 1 } }),
        )
    };
    for (resume, wanted) in [
        (Some(2), last("succeeded", json!(3))),
        (
            Some(0),
            last("failed", json!({ "message": "nothing", "name": "Error" })),
        ),
        (None, last("canceled", Value::Null)),
    ] {
        let house = House::new();
        let engine = house.with(&workflow()).await;
        let start = Start::with(&1).unwrap().run_id("r");
        let run = engine.start("outer", start).await.unwrap();
        run.result().await.unwrap();
        assert_eq!(told(&house, "r").await, [asked()]);
        match resume {
            Some(data) => {
                run.resume(Resume::with(&data).unwrap()).await.unwrap();
            }
            None => run.cancel().await.unwrap(),
        }
        assert_eq!(told(&house, "r").await, [asked(), wanted]);
        assert!(house.told("r").await.is_empty(), "it is quiet");
        engine.close().await;
    }
}

#[tokio::test]
async fn what_was_told_goes_with_the_watch_events() {
    let house = House::new();
    let engine = house
        .engine()
        .workflow(workflow())
        .watch_retention(Duration::from_millis(50));
    let engine = engine.start().await.unwrap();
    let start = Start::with(&1).unwrap().run_id("r");
    let run = engine.start("outer", start).await.unwrap();
    run.result().await.unwrap();
    run.cancel().await.unwrap();
    assert_eq!(told(&house, "r").await.len(), 2);
    while !told(&house, "r").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.close().await;
}

#[tokio::test]
async fn who_does_not_know_the_workflow_leaves_a_run_to_those_who_do() {
    let house = House::new();
    let retention = Duration::from_millis(50);
    let brief = || house.engine().watch_retention(retention);
    let engine = brief().workflow(workflow()).start().await.unwrap();
    let start = Start::with(&1).unwrap().run_id("r");
    let run = engine.start("outer", start).await.unwrap();
    run.result().await.unwrap();
    let stranger = brief().run_retention(retention).start().await.unwrap();
    run.cancel().await.unwrap();
    engine.close().await;
    // Many looks of the stranger.
    tokio::time::sleep(retention * 6).await;
    // Had it removed the run, nobody would know any more what there is to clear.
    let engine = brief().workflow(workflow()).start().await.unwrap();
    while !told(&house, "r").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.close().await;
    stranger.close().await;
}
