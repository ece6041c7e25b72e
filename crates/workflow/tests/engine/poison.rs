//! Runs that cannot go on, and that keep nobody else from going on.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_store::{Commit, Expect, Index, Table};
use bowline_workflow::{
    Dispatch, ErrorKind, Resume, RunStatus, Start, StepContext, StepError, Workflow, step,
};

use crate::house::House;
use crate::line::{Death, Line};
use crate::scenes::{Effects, Hands, linear};

const RUNS: Table = Table::new("runs");
const JOURNAL: Table = Table::new("journal");
const OUTBOX: Table = Table::new("outbox");

/// A workflow whose step kills the process that runs it.
fn deadly(hands: &Hands, limit: u32) -> Workflow {
    let killer = hands.clone();
    Workflow::builder("deadly")
        .max_crashes(limit)
        .input::<u64>()
        .step(step("before", hands.add(1)))
        .step(step("deadly", move |ctx: StepContext, n: u64| {
            let hands = killer.clone();
            async move {
                hands.acts(&ctx).await;
                hands.line.die();
                hands.line.alive().await;
                Ok::<_, StepError>(n)
            }
        }))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_kills_its_process_is_given_up() {
    const LIMIT: u32 = 2;
    let house = House::new();
    let effects = Effects::default();
    let hands = || Hands::new(&effects, &Arc::new(Line::new(1)));
    let mut processes = 0;
    let result = loop {
        let hands = hands();
        let engine = house.far(&hands.line).workflow(deadly(&hands, LIMIT));
        let engine = engine.start().await.unwrap();
        if processes == 0 {
            let start = Start::with(&1_u64).unwrap().run_id("r");
            let _started = engine.start("deadly", start).await;
        }
        processes += 1;
        let ends = async { engine.run("r").await.unwrap().result().await.unwrap() };
        tokio::select! {
            () = hands.line.died() => assert!(processes < 10, "it never ends"),
            result = ends => {
                engine.close().await;
                break result;
            }
        }
    };
    assert_eq!(result.status(), RunStatus::Failed);
    let error = result.error().unwrap().to_string();
    assert!(error.contains("CrashLoopError"), "{error}");
    assert_eq!(processes, LIMIT + 2);
    let executions: Vec<u32> = effects.all().into_values().collect();
    assert_eq!(executions, [1, LIMIT + 1]);
    is_told_to_have_failed(&house, "r").await;
}

/// Another workflow of the id of [`linear`].
fn changed(hands: &Hands) -> Workflow {
    Workflow::builder("linear")
        .input::<u64>()
        .sleep(Duration::from_millis(1))
        .step(step("other", hands.add(1)))
        .build()
        .unwrap()
}

async fn is_told_to_have_failed(house: &House, run: &str) {
    let told = house.told_to_the_end(run).await;
    assert!(told.last().unwrap().contains("failed"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_definition_has_changed_fails_where_it_can_be_seen() {
    let house = House::new();
    // So many operations that a step is committed and another is not.
    let line = Arc::new(Line::with_death(Some(Death::Before(16))));
    let hands = |line: &Arc<Line>| Hands::new(&Effects::default(), line);
    let engine = house.far(&line).workflow(linear(&hands(&line)));
    let engine = engine.start().await.unwrap();
    let start = Start::with(&1_u64).unwrap().run_id("r");
    let run = engine.start("linear", start).await.unwrap();
    tokio::select! {
        () = line.died() => {}
        result = run.result() => panic!("it ends: {result:?}"),
    }
    assert!(house.journal("r").await.len() > 1);

    let line = Arc::new(Line::new(1));
    let engine = house.far(&line).workflow(changed(&hands(&line)));
    let engine = engine.start().await.unwrap();
    let result = engine.run("r").await.unwrap().result().await.unwrap();
    assert_eq!(result.status(), RunStatus::Failed);
    let error = result.error().unwrap().to_string();
    assert!(error.contains("definition has changed"), "{error}");
    is_told_to_have_failed(&house, "r").await;
    let other = engine.start("linear", Start::with(&1_u64).unwrap()).await;
    let other = other.unwrap().result().await.unwrap();
    assert_eq!(other.output::<u64>().unwrap(), 2);
    engine.close().await;
}

/// A record of a run as an engine would find it.
fn record(key: &str, status: &str, body: &'static str) -> Commit {
    let now = Timestamp::now();
    let index = Index::new(now).status(status.to_owned()).group("linear");
    let index = if status == "running" {
        index
    } else {
        index.due(now)
    };
    Commit::new().put(RUNS, key.to_owned(), Expect::Absent, index, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_keeps_nobody_else_from_working() {
    let house = House::new();
    let whole = r#"{"format":1,"graph":"","worker":"nobody"}"#;
    let damaged = [
        record("garbage-pending", "pending", "garbage"),
        record("garbage-running", "running", "garbage"),
        record("garbage-ended", "success", "garbage"),
        record("unknown-status", "sleepwalking", whole),
        record("newer", "pending", r#"{"format":99,"graph":""}"#),
        record("no-fact", "running", whole).append(JOURNAL.log("no-fact"), ["garbage"]),
        record("no-journal", "running", whole),
        record("also-no-fact", "pending", r#"{"format":1,"graph":""}"#).append(
            JOURNAL.log("also-no-fact"),
            [r#"{"p":0,"f":{"woke":{"at":1,"spot":[9,9]}}}"#],
        ),
    ];
    for commit in damaged {
        house.store.commit(commit).await.unwrap();
    }
    for key in [
        "garbage-pending:1",
        "no-fact:1",
        "nothing",
        "garbage-running:x",
        "r:",
    ] {
        let index = Index::new(Timestamp::now()).due(Timestamp::now());
        let note = Commit::new().put(OUTBOX, key, Expect::Absent, index, "");
        house.store.commit(note).await.unwrap();
    }
    let line = Arc::new(Line::new(1));
    let hands = Hands::new(&Effects::default(), &line);
    let engine = house.far(&line).workflow(linear(&hands));
    let engine = engine.start().await.unwrap();
    // A run that another one has left behind, after all that.
    let asks = house.engine().workers(false).workflow(linear(&hands));
    let asks = asks.start().await.unwrap();
    for _ in 0..5 {
        let run = asks.start("linear", Start::with(&1_u64).unwrap()).await;
        let result = run.unwrap().result().await.unwrap();
        assert_eq!(result.status(), RunStatus::Success);
    }
    for run in ["no-fact", "also-no-fact", "no-journal"] {
        let result = engine.run(run).await.unwrap().result().await.unwrap();
        assert_eq!(result.status(), RunStatus::Failed, "{run}");
        is_told_to_have_failed(&house, run).await;
    }
    for run in [
        "garbage-pending",
        "garbage-running",
        "garbage-ended",
        "unknown-status",
        "newer",
    ] {
        let error = engine.run(run).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    engine.close().await;
    asks.close().await;
}

/// Two steps that take and return the same, in one order and in the other.
fn pair(first: &'static str, second: &'static str, dispatch: Dispatch) -> Workflow {
    let pass = |n: u64| async move { Ok::<_, StepError>(n) };
    let wait = |ctx: StepContext, n: u64| async move {
        match ctx.resumed::<bool>()? {
            Some(_) => Ok(n),
            None => Err(ctx.suspend("?")),
        }
    };
    Workflow::builder("pair")
        .dispatch(dispatch)
        .input::<u64>()
        .step(step(first, pass))
        .step(step(second, pass))
        .step(step("wait", wait))
        .step(step("last", pass))
        .build()
        .unwrap()
}

#[tokio::test]
async fn steps_that_changed_places_are_noticed_and_what_comes_later_may_change() {
    for dispatch in [Dispatch::Run, Dispatch::Step] {
        changes(dispatch).await;
    }
}

async fn changes(dispatch: Dispatch) {
    let house = House::new();
    let engine = house.with(&pair("a", "b", dispatch)).await;
    for run in ["r1", "r2"] {
        let start = Start::with(&1_u64).unwrap().run_id(run);
        engine
            .start("pair", start)
            .await
            .unwrap()
            .result()
            .await
            .unwrap();
    }
    engine.close().await;

    let swapped = house.with(&pair("b", "a", dispatch)).await;
    let refused = swapped
        .resume("r1", Resume::with(&true).unwrap())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("entry 0"), "{refused}");
    swapped.close().await;

    let pass = |n: u64| async move { Ok::<_, StepError>(n) };
    let longer = Workflow::builder("pair").dispatch(dispatch);
    let longer = longer.input::<u64>();
    let longer = longer.step(step("a", pass)).step(step("b", pass));
    let longer = longer.step(step(
        "wait",
        |n: u64| async move { Ok::<_, StepError>(n + 1) },
    ));
    let longer = longer
        .step(step("other", pass))
        .step(step("more", pass))
        .build()
        .unwrap();
    let engine = house.with(&longer).await;
    let run = engine.run("r2").await.unwrap();
    let result = run.resume(Resume::with(&true).unwrap()).await.unwrap();
    assert_eq!(result.output::<u64>().unwrap(), 2);
    engine.close().await;
}
