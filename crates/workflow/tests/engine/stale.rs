//! A process that is believed dead and is not.

use std::sync::Arc;
use std::time::Duration;

use bowline_workflow::{Engine, RunStatus, Start, StepContext, StepError, Workflow, step};
use tokio::sync::watch;

use crate::house::{House, count};
use crate::line::Line;
use crate::scenes::{Effects, Hands};

/// How far the long step of a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Begun,
    /// Its context was cancelled, or it was dropped.
    GaveUp,
}

/// A process whose long step ends when it is let, or at once.
struct Process {
    engine: Engine,
    line: Arc<Line>,
    stage: watch::Receiver<Stage>,
    lets_end: watch::Sender<bool>,
}

struct GivesUp(Arc<watch::Sender<Stage>>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.send_replace(Stage::GaveUp);
    }
}

fn workflow(
    hands: &Hands,
    stage: &Arc<watch::Sender<Stage>>,
    end: &watch::Receiver<bool>,
) -> Workflow {
    let (long, stage, end) = (hands.clone(), Arc::clone(stage), end.clone());
    Workflow::builder("long")
        .input::<u64>()
        .step(step("before", hands.add(1)))
        .step(step("long", move |ctx: StepContext, n: u64| {
            let (hands, stage, mut end) = (long.clone(), Arc::clone(&stage), end.clone());
            async move {
                hands.acts(&ctx).await;
                stage.send_replace(Stage::Begun);
                let gives_up = GivesUp(stage);
                tokio::select! {
                    ended = end.wait_for(|end| *end) => drop(ended),
                    () = ctx.cancelled() => return Err(StepError::cancelled()),
                }
                // It has ended by itself.
                std::mem::forget(gives_up);
                Ok(n + 1)
            }
        }))
        .step(step("after", hands.add(1)))
        .build()
        .unwrap()
}

async fn process(house: &House, effects: &Effects, lets_end: bool) -> Process {
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(effects, &line);
    let (sender, stage) = watch::channel(Stage::Idle);
    let (lets_end, end) = watch::channel(lets_end);
    let engine = house.far(&line);
    let engine = engine.workflow(workflow(&hands, &Arc::new(sender), &end));
    Process {
        engine: engine.start().await.unwrap(),
        line,
        stage,
        lets_end,
    }
}

impl Process {
    async fn reaches(&mut self, wanted: Stage) {
        let reached = self.stage.wait_for(|stage| *stage == wanted);
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "the step is never {wanted:?}");
    }

    async fn leaves_everything(&self) {
        while self.engine.active_runs() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Another process ends the run of one that is paused; `meanwhile` is what happens to the long step of that one then.
async fn taken_over(meanwhile: impl Fn(&Process)) {
    let house = House::new();
    let effects = Effects::default();
    let mut paused = process(&house, &effects, false).await;
    let start = Start::with(&1_u64).unwrap().run_id("r");
    paused.engine.start("long", start).await.unwrap();
    paused.reaches(Stage::Begun).await;
    paused.line.hold();
    meanwhile(&paused);
    let other = process(&house, &effects, true).await;
    let run = other.engine.run("r").await.unwrap();
    let result = run.result().await.unwrap();
    assert_eq!(result.output::<u64>().unwrap(), 4);
    let told = house.told_to_the_end("r").await.len();
    let facts = house.journal("r").await;

    paused.line.release();
    paused.leaves_everything().await;
    assert_eq!(house.journal("r").await, facts, "a stale owner wrote");
    assert_eq!(house.told("r").await.len(), told, "a stale owner told");
    assert_eq!(count(&facts, "recovered"), 1);
    assert_eq!(count(&facts, "ended"), 3);
    let executions: Vec<u32> = effects.all().into_values().collect();
    // "after", "before", and "long", which ran in both.
    assert_eq!(executions, [1, 1, 2]);

    // It is an engine like any other afterwards.
    paused.lets_end.send_replace(true);
    let again = Start::with(&1_u64).unwrap().run_id("again");
    let run = paused.engine.start("long", again).await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    paused.engine.close().await;
    other.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commit_of_a_stale_owner_is_refused() {
    taken_over(|paused| {
        paused.lets_end.send_replace(true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_a_stale_owner_are_cancelled() {
    let house = House::new();
    let effects = Effects::default();
    let mut paused = process(&house, &effects, false).await;
    let start = Start::with(&1_u64).unwrap().run_id("r");
    paused.engine.start("long", start).await.unwrap();
    paused.reaches(Stage::Begun).await;
    paused.line.hold();
    let other = process(&house, &effects, true).await;
    let run = other.engine.run("r").await.unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    assert_eq!(*paused.stage.borrow(), Stage::Begun);
    paused.line.release();
    paused.reaches(Stage::GaveUp).await;
    paused.leaves_everything().await;
    assert_eq!(count(&house.journal("r").await, "ended"), 3);
    paused.engine.close().await;
    other.engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_nobody_replaced_goes_on() {
    let house = House::new();
    let effects = Effects::default();
    let mut paused = process(&house, &effects, false).await;
    let start = Start::with(&1_u64).unwrap().run_id("r");
    let run = paused.engine.start("long", start).await.unwrap();
    paused.reaches(Stage::Begun).await;
    paused.line.hold();
    // Longer than its lease.
    tokio::time::sleep(Duration::from_millis(250)).await;
    paused.lets_end.send_replace(true);
    paused.line.release();
    assert_eq!(run.result().await.unwrap().output::<u64>().unwrap(), 4);
    assert_eq!(effects.total(), 3, "{:?}", effects.all());
    assert_eq!(count(&house.journal("r").await, "recovered"), 0);
    paused.engine.close().await;
}
