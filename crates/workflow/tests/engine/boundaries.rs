//! A process dies at every operation that it does, before and after the operation took effect; another one ends the run.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_workflow::{Engine, ErrorKind, Resume, Run, RunStatus, Start};
use futures_util::StreamExt;
use serde_json::Value;

use crate::house::{House, count};
use crate::line::{Death, Line};
use crate::scenes::{Effects, Hands, SCENES, Scene};
use crate::wires::Hints;

const RUN: &str = "run-1";
/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(20);

/// What has come out of a run.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: RunStatus,
    result: Option<String>,
    state: String,
    steps: Vec<(String, String)>,
    told: Vec<String>,
}

/// A process that has the workflow of a scene.
async fn process(
    house: &House,
    scene: &Scene,
    effects: &Effects,
    line: &Arc<Line>,
    reach: Reach,
) -> Engine {
    let hands = Hands {
        effects: effects.clone(),
        line: Arc::clone(line),
    };
    let engine = house.far_with(line, Hints::Times(1), reach);
    let engine = engine.workflow((scene.make)(&hands));
    engine.start().await.unwrap()
}

/// Starts the run if it is not there, resumes it as often as it halts, and waits for its end.
async fn see_to_it(engine: &Engine, scene: &Scene) -> Run {
    let start = Start::with(&2_u64).unwrap().run_id(RUN);
    match engine.start(scene.name, start).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
    }
    let run = engine.run(RUN).await.unwrap();
    loop {
        let result = run.result().await.unwrap();
        if result.status().is_final() {
            return run;
        }
        match engine.resume(RUN, Resume::with(&7_u64).unwrap()).await {
            Ok(()) => {}
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::WrongState | ErrorKind::AlreadyResumed
                ),
                "{error}"
            ),
        }
    }
}

/// An event without what differs between one execution and the next.
fn normal(event: &bowline_events::Event, in_order: bool) -> String {
    fn strip(value: &mut Value, in_order: bool) {
        match value {
            Value::Object(members) => {
                members.retain(|name, value| {
                    let time = name.ends_with("At") && value.is_number();
                    !time && (in_order || name != "completedCount")
                });
                members
                    .values_mut()
                    .for_each(|value| strip(value, in_order));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| strip(value, in_order)),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_slice(&event.data.to_json().unwrap()).unwrap();
    strip(&mut value, in_order);
    value.to_string()
}

async fn outcome(house: &House, run: &Run, scene: &Scene) -> Outcome {
    let result = run.result().await.unwrap();
    let mut told = Vec::new();
    loop {
        let events = house.told(RUN).await;
        let ended = events.last().is_some_and(|last| {
            let last = normal(last, true);
            last.contains("workflow-finish") && !last.contains("suspended")
        });
        if ended {
            told.extend(events.iter().map(|event| normal(event, scene.in_order)));
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if !scene.in_order {
        told.sort();
    }
    let steps = result.steps().into_iter();
    let steps = steps.map(|(id, step)| {
        let output = step.output.map(|output| output.to_string());
        (id, format!("{:?} {output:?}", step.status))
    });
    Outcome {
        status: result.status(),
        result: result.result().map(ToString::to_string),
        state: result.state().to_string(),
        steps: steps.collect(),
        told,
    }
}

/// A process that dies, until it is dead or has nothing to do any more. Its operations are counted.
async fn live(
    house: &House,
    scene: &Scene,
    effects: &Effects,
    death: Option<Death>,
    reach: Reach,
) -> u64 {
    let line = Arc::new(Line::with_death(death));
    let whole = async {
        let engine = process(house, scene, effects, &line, reach).await;
        see_to_it(&engine, scene).await;
        engine.close().await;
    };
    tokio::select! {
        () = whole => {}
        () = line.died() => {}
    }
    line.die();
    line.passed()
}

/// What a run is like when nobody dies, how many executions it takes and how many operations.
async fn undisturbed(house: &House, scene: &Scene, reach: Reach) -> (Outcome, u32, u64) {
    let effects = Effects::default();
    let line = Arc::new(Line::new(1));
    let engine = process(house, scene, &effects, &line, reach).await;
    let run = see_to_it(&engine, scene).await;
    let outcome = outcome(house, &run, scene).await;
    engine.close().await;
    (outcome, effects.total(), line.passed())
}

/// What a run must be like whose processes die as `deaths` say, one after the other.
async fn survives(
    house: House,
    scene: &Scene,
    deaths: &[Death],
    reach: Reach,
    wanted: &(Outcome, u32, u64),
) {
    let what = format!("{} with {deaths:?} on a bus of {reach:?}", scene.name);
    let survived = tokio::time::timeout(FOREVER, async {
        let effects = Effects::default();
        for death in deaths {
            live(&house, scene, &effects, Some(*death), reach).await;
        }
        let (before, committed) = (effects.total(), count(&house.journal(RUN).await, "ended"));
        let line = Arc::new(Line::new(1));
        let engine = process(&house, scene, &effects, &line, reach).await;
        let run = see_to_it(&engine, scene).await;
        let outcome = outcome(&house, &run, scene).await;
        assert_eq!(outcome, wanted.0, "{what}");
        let after = effects.total() - before;
        assert_eq!(
            after as usize + committed,
            wanted.1 as usize,
            "executions after the death: {what}; {:?}",
            effects.all()
        );
        engine.close().await;
        let told = house.told(RUN).await.len();
        assert_eq!(
            told,
            wanted.0.told.len(),
            "events told after the end: {what}"
        );
    });
    assert!(survived.await.is_ok(), "it hangs: {what}");
}

/// Every death of one process, for every scene, on houses of a kind.
async fn at_every_boundary<F: Future<Output = House>>(
    scenes: &[Scene],
    reach: Reach,
    wide: usize,
    house: impl Fn() -> F,
) {
    for scene in scenes {
        let wanted = undisturbed(&house().await, scene, reach).await;
        let (wanted, house) = (&wanted, &house);
        // An engine looks into the store while it waits, too, so there are a few more than counted.
        let deaths = (0..wanted.2 + 5).flat_map(|n| [Death::Before(n), Death::After(n)]);
        futures_util::stream::iter(deaths)
            .for_each_concurrent(wide, |death| async move {
                survives(house().await, scene, &[death], reach, wanted).await;
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_boundary_costs_nothing_but_the_step_that_ran() {
    at_every_boundary(&SCENES, Reach::Process, 48, || async { House::new() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_where_events_go_to_the_bus_in_the_background() {
    at_every_boundary(&SCENES, Reach::Host, 48, || async { House::new() }).await;
}
