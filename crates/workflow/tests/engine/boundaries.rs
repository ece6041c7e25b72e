//! A process dies at every operation that it does, before and after the operation took effect; another one ends the run.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_store::SqliteStore;
use bowline_workflow::{Dispatch, Engine, ErrorKind, Resume, Run, RunStatus, Start};
use futures_util::StreamExt;
use serde_json::Value;

use crate::house::{House, count};
use crate::line::{Death, Line};
use crate::scenes::{Effects, Hands, SCENES, Scene};
use crate::wires::Hints;

pub(crate) const RUN: &str = "run-1";
/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(20);

/// What processes are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// How far the bus reaches: what is in this process is told at once.
    reach: Reach,
    dispatch: Dispatch,
}

impl Setting {
    pub(crate) const fn new(reach: Reach, dispatch: Dispatch) -> Self {
        Self { reach, dispatch }
    }
}

/// What has come out of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: RunStatus,
    result: Option<String>,
    state: String,
    steps: Vec<(String, String)>,
    pub(crate) told: Vec<String>,
}

/// A process that has the workflow of a scene.
async fn process(
    house: &House,
    scene: &Scene,
    effects: &Effects,
    line: &Arc<Line>,
    setting: Setting,
) -> Engine {
    let hands = Hands::new(effects, line).dispatched(setting.dispatch);
    let engine = house.far_with(line, Hints::Times(1), setting.reach);
    let engine = engine.workflow((scene.make)(&hands));
    engine.start().await.unwrap()
}

/// Starts the run if it is not there, resumes it as often as it halts, and waits for its end.
pub(crate) async fn see_to_it(engine: &Engine, scene: &Scene) -> Run {
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
pub(crate) fn normal(event: &bowline_events::Event, in_order: bool) -> String {
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

pub(crate) async fn outcome(house: &House, run: &Run, scene: &Scene) -> Outcome {
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

/// A process that dies. Whether it did, or had nothing to do any more before.
async fn live(
    house: &House,
    scene: &Scene,
    effects: &Effects,
    death: Death,
    setting: Setting,
) -> bool {
    let line = Arc::new(Line::with_death(Some(death)));
    let whole = async {
        let engine = process(house, scene, effects, &line, setting).await;
        see_to_it(&engine, scene).await;
        engine.close().await;
    };
    let died = tokio::select! {
        () = whole => false,
        () = line.died() => true,
    };
    line.die();
    line.quiet().await;
    died
}

/// What a run is like when nobody dies, how many executions it takes and how many operations.
pub(crate) async fn undisturbed(
    house: &House,
    scene: &Scene,
    setting: Setting,
) -> (Outcome, u32, u64) {
    let effects = Effects::default();
    let line = Arc::new(Line::new(1));
    let engine = process(house, scene, &effects, &line, setting).await;
    let run = see_to_it(&engine, scene).await;
    let outcome = outcome(house, &run, scene).await;
    engine.close().await;
    (outcome, effects.total(), line.passed())
}

/// What a run must be like whose processes die as `deaths` say, one after the other. How many of them died.
async fn survives(
    house: House,
    scene: &Scene,
    deaths: &[Death],
    setting: Setting,
    wanted: &(Outcome, u32, u64),
) -> usize {
    let what = format!("{} with {deaths:?}, {setting:?}", scene.name);
    let survived = tokio::time::timeout(FOREVER, async {
        let effects = Effects::default();
        let mut died = 0;
        for death in deaths {
            died += usize::from(live(&house, scene, &effects, *death, setting).await);
        }
        let before = effects.total();
        let committed = count(&house.journal(RUN).await, "ended");
        let line = Arc::new(Line::new(1));
        let engine = process(&house, scene, &effects, &line, setting).await;
        let run = see_to_it(&engine, scene).await;
        let outcome = outcome(&house, &run, scene).await;
        assert_eq!(outcome, wanted.0, "{what}");
        let after = (effects.total() - before) as usize;
        let all = effects.all();
        assert_eq!(
            after + committed,
            wanted.1 as usize,
            "what was committed was executed again, or something never: {what}: {all:?}"
        );
        let at_once = if scene.in_order { 1 } else { 3 };
        assert!(
            effects.total() as usize <= wanted.1 as usize + deaths.len() * at_once,
            "executions without a death: {what}: {all:?}"
        );
        engine.close().await;
        let told = house.told(RUN).await.len();
        assert_eq!(told, wanted.0.told.len(), "told after the end: {what}");
        died
    });
    match survived.await {
        Ok(died) => died,
        Err(_) => panic!("it hangs: {what}"),
    }
}

/// Every case of `deaths` for every scene, on houses of a kind; `deaths` is given the number of operations of a process.
async fn at_boundaries<F: Future<Output = House>>(
    scenes: &[Scene],
    setting: Setting,
    house: impl Fn() -> F,
    deaths: impl Fn(u64) -> Vec<Vec<Death>>,
) {
    const AT_ONCE: usize = 48;
    for scene in scenes {
        let whole = Setting::new(setting.reach, Dispatch::Run);
        let wanted = undisturbed(&house().await, scene, whole).await;
        let found = undisturbed(&house().await, scene, setting).await;
        assert_eq!((&found.0, found.1), (&wanted.0, wanted.1), "{setting:?}");
        let (wanted, house) = (&wanted, &house);
        let cases = deaths(found.2);
        let most = cases.len();
        let died: Vec<usize> =
            futures_util::stream::iter(cases)
                .map(|deaths| async move {
                    survives(house().await, scene, &deaths, setting, wanted).await
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        let deadly = died.iter().filter(|died| **died > 0).count();
        assert!(
            deadly * 2 > most,
            "{}: of {most} processes only {deadly} have died",
            scene.name
        );
    }
}

/// One death at every operation, before it and after it.
fn one(operations: u64) -> Vec<Vec<Death>> {
    let both = |n| [vec![Death::Before(n)], vec![Death::After(n)]];
    // An engine looks into the store while it waits, too, so it is not always the same number.
    (0..operations + 3).flat_map(both).collect()
}

/// A death, and another one of the process that goes on, at operations `apart` from each other.
fn two(operations: u64, apart: u64) -> Vec<Vec<Death>> {
    let firsts = (0..operations).step_by(usize::try_from(apart).unwrap());
    let pairs = firsts.flat_map(|first| {
        let seconds = (first % apart..operations).step_by(usize::try_from(apart).unwrap());
        seconds.map(move |second| vec![Death::After(first), Death::After(second)])
    });
    pairs.collect()
}

const HERE: Setting = Setting::new(Reach::Process, Dispatch::Run);
const FAR: Setting = Setting::new(Reach::Host, Dispatch::Run);
const SPREAD_HERE: Setting = Setting::new(Reach::Process, Dispatch::Step);
const SPREAD_FAR: Setting = Setting::new(Reach::Host, Dispatch::Step);

async fn house() -> House {
    House::new()
}

async fn database() -> House {
    House::on(Arc::new(SqliteStore::in_memory().await.unwrap()))
}

fn some(operations: u64) -> Vec<Vec<Death>> {
    two(operations, 5)
}

fn a_few() -> Vec<Scene> {
    let scenes = SCENES.into_iter();
    let few = scenes.filter(|scene| ["linear", "parallel", "suspend"].contains(&scene.name));
    few.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_boundary_costs_nothing_but_the_step_that_ran() {
    at_boundaries(&SCENES, HERE, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_where_events_go_to_the_bus_in_the_background() {
    at_boundaries(&SCENES, FAR, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_the_death_of_the_process_that_goes_on() {
    at_boundaries(&SCENES, HERE, house, some).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_any_death_on_a_database() {
    at_boundaries(&a_few(), FAR, database, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_where_a_run_is_given_back_after_every_step() {
    at_boundaries(&SCENES, SPREAD_HERE, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_there_with_a_bus_in_the_background() {
    at_boundaries(&SCENES, SPREAD_FAR, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_two_there() {
    at_boundaries(&SCENES, SPREAD_HERE, house, some).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_any_there_on_a_database() {
    at_boundaries(&a_few(), SPREAD_FAR, database, one).await;
}
