//! What clocks that differ, or are set, do not put off.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_workflow::{Clock, Engine, Run, RunStatus, Start, StepContext, StepError};
use bowline_workflow::{Workflow, step};
use tokio::time::timeout;

use crate::clocks::JumpyClock;
use crate::house::House;
use crate::line::Line;
use crate::scenes::{Effects, Hands, linear};
use crate::wires::Hints;

const HOUR: i64 = 3_600_000;
const LEASE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

async fn engine(house: &House, workflow: Workflow, clock: JumpyClock, workers: bool) -> Engine {
    let engine = house.far_with(&Arc::new(Line::new(1)), Hints::Times(0), Reach::Process);
    let engine = engine.clock(Arc::new(clock)).workers(workers);
    let engine = engine.lease(LEASE).poll(Duration::from_secs(1));
    engine.workflow(workflow).start().await.unwrap()
}

fn ahead(millis: i64) -> JumpyClock {
    let clock = JumpyClock::right();
    clock.set_ahead(millis);
    clock
}

async fn ends(run: &Run, within: Duration) {
    let result = timeout(within, run.result()).await;
    let result = result.unwrap_or_else(|_| panic!("the run does not end within {within:?}"));
    assert_eq!(result.unwrap().status(), RunStatus::Success);
}

fn steps() -> Workflow {
    linear(&Hands::new(&Effects::default(), &Arc::new(Line::new(1))))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_clock_dates_into_the_future_begins_nevertheless() {
    for millis in [0, -HOUR, HOUR] {
        let house = House::new();
        let asks = engine(&house, steps(), ahead(millis), false).await;
        let works = engine(&house, steps(), ahead(0), true).await;
        let run = asks.start("linear", Start::with(&1_u64).unwrap()).await;
        ends(&run.unwrap(), 2 * LEASE).await;
        works.close().await;
        asks.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_given_back_by_a_clock_that_is_ahead_goes_on() {
    let house = House::new();
    let slow = |seconds| {
        let wait = move |_: StepContext, n: u64| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, StepError>(n)
        };
        let workflow = Workflow::builder("slow").input::<u64>();
        workflow.step(step("wait", wait)).build().unwrap()
    };
    let first = engine(&house, slow(1_000_000), ahead(HOUR), true).await;
    let run = first.start("slow", Start::with(&1_u64).unwrap()).await;
    let id = run.unwrap().id().clone();
    let second = engine(&house, slow(1), ahead(0), true).await;
    first.close().await;
    ends(&second.run(&id).await.unwrap(), 2 * LEASE).await;
    second.close().await;
}

/// Sleeps for a short time that is given, and for one that a function gives.
fn dozes() -> Workflow {
    let half = |_: StepContext, _: u64| async { Ok::<_, StepError>(Duration::from_millis(500)) };
    Workflow::builder("dozes")
        .input::<u64>()
        .sleep(Duration::from_millis(500))
        .sleep_by(half)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_does_not_prolong_a_short_pause() {
    let house = House::new();
    let line = Arc::new(Line::new(1));
    let engine = house.far_with(&line, Hints::Times(0), Reach::Process);
    let engine = engine.workflow(dozes()).start().await.unwrap();
    let run = engine.start("dozes", Start::with(&1_u64).unwrap()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    line.clock().set_ahead(-HOUR);
    ends(&run.unwrap(), MINUTE).await;
    engine.close().await;
}

/// The clock of an engine has nothing to do with that of the machine.
#[tokio::test(start_paused = true)]
async fn lengths_are_measured_by_the_clock_of_the_engine() {
    let house = House::new();
    let long_ago = ahead(-20 * 365 * 24 * HOUR);
    let began = long_ago.now();
    let engine = engine(&house, dozes(), long_ago, true).await;
    let run = engine.start("dozes", Start::with(&1_u64).unwrap()).await;
    let run = run.unwrap();
    ends(&run, MINUTE).await;
    for fact in house.journal(run.id()).await {
        let facts = fact.as_object().unwrap();
        let at = facts.values().next().unwrap()["at"].as_i64().unwrap();
        assert!((0..60_000).contains(&(at - began.as_millis())), "{fact}");
    }
    engine.close().await;
}
