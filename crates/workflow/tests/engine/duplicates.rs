//! What is told twice or not at all, and what two want at the same time.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Reach;
use bowline_workflow::{Engine, ErrorKind, Resume, RunStatus, Start};

use crate::house::{House, count};
use crate::line::Line;
use crate::scenes::{Effects, Hands, SCENES, Scene};
use crate::wires::Hints;

fn scene(name: &str) -> Scene {
    let found = SCENES.into_iter().find(|scene| scene.name == name);
    found.unwrap()
}

async fn engine(
    house: &House,
    scene: &Scene,
    effects: &Effects,
    hints: Hints,
    workers: bool,
) -> Engine {
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(effects, &line);
    let engine = house.far_with(&line, hints, Reach::Process);
    // Nobody dies here, however slow the machine is.
    let engine = engine.lease(Duration::from_secs(30));
    let engine = engine.workers(workers).workflow((scene.make)(&hands));
    engine.start().await.unwrap()
}

/// The executions of a scene whose hints go like this, and the result of its run.
async fn executions(scene: &Scene, hints: Hints) -> (u32, String) {
    let house = House::new();
    let effects = Effects::default();
    let asks = engine(&house, scene, &effects, hints, false).await;
    let one = engine(&house, scene, &effects, hints, true).await;
    let other = engine(&house, scene, &effects, hints, true).await;
    let start = Start::with(&2_u64).unwrap().run_id("r");
    let run = asks.start(scene.name, start).await.unwrap();
    let mut result = run.result().await.unwrap();
    while !result.status().is_final() {
        result = run.resume(Resume::with(&7_u64).unwrap()).await.unwrap();
    }
    for engine in [asks, one, other] {
        engine.close().await;
    }
    (effects.total(), format!("{:?}", result.result()))
}

#[tokio::test]
async fn hints_that_arrive_often_or_never_change_nothing() {
    for scene in SCENES {
        let wanted = executions(&scene, Hints::Times(1)).await;
        for times in [0, 2, 3] {
            let found = executions(&scene, Hints::Times(times)).await;
            assert_eq!(found, wanted, "{} with hints {times} times", scene.name);
        }
    }
}

#[tokio::test]
async fn of_two_runs_of_one_id_one_is_started() {
    let house = House::new();
    let effects = Effects::default();
    let linear = scene("linear");
    let one = engine(&house, &linear, &effects, Hints::Times(1), true).await;
    let other = engine(&house, &linear, &effects, Hints::Times(1), true).await;
    for n in 0..20 {
        let start = || Start::with(&2_u64).unwrap().run_id(format!("r{n}"));
        let asked = [
            one.start("linear", start()),
            other.start("linear", start()),
            one.start("linear", start()),
        ];
        let asked = futures_util::future::join_all(asked).await;
        let (started, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
        assert_eq!(started.len(), 1);
        for error in refused.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        }
        let run = started.into_iter().next().unwrap().unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    }
    assert_eq!(effects.total(), 3 * 20);
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn of_several_that_resume_one_does() {
    let house = House::new();
    let effects = Effects::default();
    let suspend = scene("suspend");
    let one = engine(&house, &suspend, &effects, Hints::Times(2), true).await;
    let other = engine(&house, &suspend, &effects, Hints::Times(2), true).await;
    for n in 0..20 {
        let id = format!("r{n}");
        let start = Start::with(&2_u64).unwrap().run_id(id.clone());
        let run = one.start("suspend", start).await.unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Suspended);
        let resume = || Resume::with(&7_u64).unwrap();
        let asked = [
            one.resume(&id, resume()),
            other.resume(&id, resume()),
            other.resume(&id, resume()),
        ];
        let asked = futures_util::future::join_all(asked).await;
        let errors: Vec<_> = asked.into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        for error in errors {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::AlreadyResumed | ErrorKind::WrongState
                ),
                "{error}"
            );
        }
        let run = one.run(&id).await.unwrap();
        assert_eq!(run.result().await.unwrap().output::<u64>().unwrap(), 10);
        assert_eq!(count(&house.journal(&id).await, "resumed"), 1);
    }
    // Asking, asking again, and what follows.
    assert_eq!(effects.total(), 3 * 20);
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn of_several_that_cancel_or_resume_one_has_its_way() {
    let house = House::new();
    let effects = Effects::default();
    let suspend = scene("suspend");
    let one = engine(&house, &suspend, &effects, Hints::Times(1), true).await;
    let other = engine(&house, &suspend, &effects, Hints::Times(1), true).await;
    for n in 0..40 {
        let id = format!("r{n}");
        let start = Start::with(&2_u64).unwrap().run_id(id.clone());
        let run = one.start("suspend", start).await.unwrap();
        assert_eq!(run.result().await.unwrap().status(), RunStatus::Suspended);
        let resume = Resume::with(&7_u64).unwrap();
        let (resumed, canceled, again) =
            tokio::join!(one.resume(&id, resume), other.cancel(&id), one.cancel(&id));
        let canceled = [canceled, again];
        let successes = canceled.iter().filter(|canceled| canceled.is_ok()).count();
        let result = one.run(&id).await.unwrap().result().await.unwrap();
        match result.status() {
            RunStatus::Canceled => assert_eq!(successes, 1, "{canceled:?}"),
            RunStatus::Success => {
                assert_eq!(successes, 0, "{canceled:?}");
                assert!(resumed.is_ok(), "{resumed:?}");
            }
            status => panic!("the run is {status}"),
        }
        for error in canceled.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
        }
        if let Err(error) = resumed {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::AlreadyResumed | ErrorKind::WrongState
                ),
                "{error}"
            );
        }
        let facts = house.journal(&id).await;
        assert_eq!(count(&facts, "canceled"), successes);
    }
    one.close().await;
    other.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_to_tell_than_a_lease_is_told_once() {
    const MILLIS: u32 = 3000;
    for seed in 1..=20 {
        let house = House::new();
        let line = Arc::new(Line::new(seed));
        let hands = Hands::new(&Effects::default(), &line);
        let engine = house.far(&line).lease(Duration::from_secs(1));
        let engine = engine.workflow((scene("linear").make)(&hands));
        let engine = engine.start().await.unwrap();
        line.slow_bus(MILLIS);
        let start = Start::with(&2_u64).unwrap().run_id("r");
        engine.start("linear", start).await.unwrap();
        house.told_to_the_end("r").await;
        engine.close().await;
        let told = house.told_to_the_end("r").await;
        let ends = told.iter().filter(|it| it.contains("\"workflow-finish\""));
        assert_eq!(ends.count(), 1, "seed {seed}");
    }
}
