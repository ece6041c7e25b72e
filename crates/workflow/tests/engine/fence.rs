//! What a process says of a run that others may have taken: nothing.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Event, Reach};
use bowline_store::{Commit, Committed, Operation, Store, StoreFuture, StoreLayer};
use bowline_workflow::{Engine, RunStatus, Start, StepContext, StepError, Workflow, step};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::house::{House, count};
use crate::line::Line;
use crate::wires::Hints;

const LEASE: Duration = Duration::from_secs(1);
/// How often a step says something.
const PACE: Duration = Duration::from_millis(2);
/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(30);

/// A process whose only step says one thing after the other until it is let end.
struct Teller {
    engine: Engine,
    line: Arc<Line>,
    lets_end: watch::Sender<bool>,
}

fn workflow(name: &'static str, end: watch::Receiver<bool>) -> Workflow {
    let tell = move |ctx: StepContext, _: Value| {
        let mut end = end.clone();
        async move {
            let mut n = 0_u64;
            while !*end.borrow_and_update() {
                ctx.write(&json!({ "by": name, "n": n })).await?;
                n += 1;
                tokio::select! {
                    () = tokio::time::sleep(PACE) => {}
                    () = ctx.cancelled() => return Err(StepError::cancelled()),
                }
            }
            Ok(n)
        }
    };
    let workflow = Workflow::builder("tells").input::<Value>();
    workflow.step(step("tell", tell)).build().unwrap()
}

async fn teller(house: &House, name: &'static str, reach: Reach) -> Teller {
    let line = Arc::new(Line::new(1));
    let (lets_end, end) = watch::channel(false);
    let engine = house.far_with(&line, Hints::Times(1), reach);
    let engine = engine.lease(LEASE).workflow(workflow(name, end));
    Teller {
        engine: engine.start().await.unwrap(),
        line,
        lets_end,
    }
}

/// Who said what, in order.
async fn said(house: &House) -> Vec<(String, u64)> {
    let chunk = |event: &Arc<Event>| {
        let event: Value = event.data.parse().unwrap();
        let output = &event["payload"]["output"];
        let by = output["by"].as_str()?.to_owned();
        Some((by, output["n"].as_u64()?))
    };
    house.told("r").await.iter().filter_map(chunk).collect()
}

/// Waits until `name` has said something that is not among the first `seen`.
async fn hears(house: &House, name: &str, seen: usize) {
    let heard = async {
        while !said(house)
            .await
            .iter()
            .skip(seen)
            .any(|(by, _)| by == name)
        {
            tokio::time::sleep(PACE).await;
        }
    };
    let heard = tokio::time::timeout(FOREVER, heard).await;
    assert!(heard.is_ok(), "{name} says nothing");
}

async fn ends(engine: &Engine) -> u64 {
    let run = engine.run("r").await.unwrap();
    let result = tokio::time::timeout(FOREVER, run.result()).await;
    let result = result.expect("it does not end").unwrap();
    assert_eq!(result.status(), RunStatus::Success, "{:?}", result.error());
    result.output::<u64>().unwrap()
}

async fn start(teller: &Teller, house: &House) {
    let start = Start::with(&Value::Null).unwrap().run_id("r");
    teller.engine.start("tells", start).await.unwrap();
    hears(house, "one", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_renew_its_lease_is_silent_before_another_takes_its_run() {
    for reach in [Reach::Process, Reach::Host] {
        let house = House::new();
        let one = teller(&house, "one", reach).await;
        start(&one, &house).await;
        one.line.cut_store(true);
        let two = teller(&house, "two", reach).await;
        hears(&house, "two", 0).await;
        // It can look again, and finds that the run is somebody else's.
        one.line.cut_store(false);
        while one.engine.active_runs() > 0 {
            tokio::time::sleep(PACE).await;
        }
        two.lets_end.send_replace(true);
        ends(&two.engine).await;
        let said = said(&house).await;
        let first = said.iter().position(|(by, _)| by == "two").unwrap();
        let late = said[first..].iter().filter(|(by, _)| by == "one");
        assert_eq!(late.count(), 0, "two voices: {said:?}");
        assert_eq!(count(&house.journal("r").await, "recovered"), 1);
        one.engine.close().await;
        two.engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_run_nobody_took_goes_on_where_it_stopped() {
    for reach in [Reach::Process, Reach::Host] {
        let house = House::new();
        let one = teller(&house, "one", reach).await;
        start(&one, &house).await;
        one.line.cut_store(true);
        tokio::time::sleep(LEASE).await;
        let before = said(&house).await.len();
        tokio::time::sleep(10 * PACE).await;
        let silent = said(&house).await.len();
        assert_eq!(silent, before, "its lease is over");
        one.line.cut_store(false);
        hears(&house, "one", silent).await;
        one.lets_end.send_replace(true);
        let n = ends(&one.engine).await;
        house.told_to_the_end("r").await;
        let said: Vec<u64> = said(&house).await.into_iter().map(|(_, n)| n).collect();
        assert_eq!(said, (0..n).collect::<Vec<_>>(), "nothing is lost or twice");
        assert_eq!(count(&house.journal("r").await, "recovered"), 0);
        one.engine.close().await;
    }
}

/// A store in which the runs of others are taken only when it is open.
#[derive(Debug)]
struct Gate {
    inner: Arc<dyn Store>,
    open: watch::Sender<bool>,
    waits: watch::Sender<bool>,
}

impl StoreLayer for Gate {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        let mut operations = commit.operations().iter();
        let takes = operations.any(
            |operation| matches!(operation, Operation::Put { table, .. } if table.as_str() == "runs"),
        );
        StoreFuture::new(async move {
            if takes {
                self.waits.send_replace(true);
                let mut open = self.open.subscribe();
                // The sender is in `self`.
                let _ = open.wait_for(|open| *open).await;
            }
            self.inner.commit(commit).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_not_taken_from_a_process_that_is_back() {
    let house = House::new();
    let one = teller(&house, "one", Reach::Process).await;
    start(&one, &house).await;
    one.line.cut_store(true);
    let gate = Arc::new(Gate {
        inner: Arc::clone(&house.store),
        open: watch::channel(false).0,
        waits: watch::channel(false).0,
    });
    let (_, end) = watch::channel(false);
    let slow = House {
        store: Arc::clone(&gate) as Arc<dyn Store>,
        bus: Arc::clone(&house.bus),
    };
    let slow = slow.with(&workflow("two", end)).await;
    // It has given the other one up, and is about to take the run.
    let mut waits = gate.waits.subscribe();
    waits.wait_for(|waits| *waits).await.unwrap();
    let silent = said(&house).await.len();
    one.line.cut_store(false);
    hears(&house, "one", silent).await;
    gate.open.send_replace(true);
    // What it says now is said after the attempt.
    let silent = said(&house).await.len() + 50;
    hears(&house, "one", silent).await;
    one.lets_end.send_replace(true);
    ends(&one.engine).await;
    assert_eq!(count(&house.journal("r").await, "recovered"), 0);
    assert!(said(&house).await.iter().all(|(by, _)| by == "one"));
    one.engine.close().await;
    slow.close().await;
}
