//! Runs as their journals tell them, and runs of workflows that only others have.

use std::time::Duration;

use bowline_workflow::{
    Data, ErrorKind, PartKind, Resume, RetryPolicy, RunPart, RunStatus, Start, StepContext,
    StepError, StepStatus, Workflow, step,
};
use serde_json::{Value, json};

use crate::house::House;

async fn same(n: u32) -> Result<u32, StepError> {
    Ok(n)
}

/// An array, of which 2 and 4 wait, and what follows.
fn sorting() -> Workflow {
    let sort = |ctx: StepContext, n: u32| async move {
        match (n % 2, ctx.resumed::<u32>()?) {
            (0, None) => Err(ctx.suspend_with(&n, [format!("n{n}")])),
            (_, more) => Ok(n + more.unwrap_or(0)),
        }
    };
    Workflow::builder("sorting")
        .foreach(step("sort", sort))
        .concurrency(8)
        .parallel((
            step(
                "a",
                |all: Vec<u32>| async move { Ok::<_, StepError>(all.len()) },
            ),
            step(
                "b",
                |all: Vec<u32>| async move { Ok::<_, StepError>(all[0]) },
            ),
        ))
        .build()
        .unwrap()
}

/// The status of each part, in the order of the tree, with the depth.
fn statuses(parts: &[RunPart]) -> Vec<(usize, Option<StepStatus>)> {
    fn collect(parts: &[RunPart], depth: usize, all: &mut Vec<(usize, Option<StepStatus>)>) {
        for part in parts {
            all.push((depth, part.status));
            collect(&part.parts, depth + 1, all);
        }
    }
    let mut all = Vec::new();
    collect(parts, 0, &mut all);
    all
}

#[tokio::test]
async fn the_journal_has_the_events_that_watchers_get() {
    let house = House::new();
    let engine = house.with(&sorting()).await;
    let looks = house.engine().workers(false).start().await.unwrap();
    let run = engine
        .start("sorting", Start::with(&[1, 2, 3]).unwrap())
        .await
        .unwrap();
    let mut events = run.watch().await.unwrap();
    run.result().await.unwrap();
    let mut history = looks.run(run.id()).await.unwrap().history().await.unwrap();
    let mut told: Vec<Data> = history
        .take_events()
        .into_iter()
        .map(|it| it.event.data)
        .collect();
    assert_eq!(history.status(), RunStatus::Suspended);
    run.resume(Resume::with(&40).unwrap()).await.unwrap();
    assert!(history.take_events().is_empty());
    history.refresh().await.unwrap();
    assert_eq!(history.status(), RunStatus::Success);
    let rest = history.take_events();
    assert_eq!(rest[0].event.index, Some(told.len() as u64));
    told.extend(rest.into_iter().map(|it| it.event.data));
    let mut watched = Vec::new();
    while let Some(event) = events.next().await {
        watched.push(event.unwrap().data);
    }
    assert_eq!(told, watched);
    looks.close().await;
    engine.close().await;
}

#[tokio::test]
async fn a_run_is_a_tree_with_its_iterations() {
    let house = House::new();
    let engine = house.with(&sorting()).await;
    let run = engine
        .start("sorting", Start::with(&[1, 2, 3, 4]).unwrap())
        .await
        .unwrap();
    run.result().await.unwrap();
    let parts = run.history().await.unwrap().parts();
    let (done, waits) = (Some(StepStatus::Success), Some(StepStatus::Suspended));
    let expected = [
        (0, waits),
        (1, done),
        (1, waits),
        (1, done),
        (1, waits),
        (0, None),
        (1, None),
        (1, None),
    ];
    assert_eq!(statuses(&parts), expected);
    assert_eq!(
        (parts[0].kind, parts[1].kind),
        (PartKind::Foreach, PartKind::Parallel)
    );
    assert_eq!(
        (parts[0].parts[1].index, parts[1].id.as_deref()),
        (Some(1), None)
    );
    let result = |k: usize| parts[0].parts[k].result.clone().unwrap();
    assert_eq!(result(2).output.unwrap().as_str(), "3");
    assert_eq!(result(3).suspend_payload.unwrap().as_str(), "4");

    run.resume(Resume::with(&10).unwrap().label("n2"))
        .await
        .unwrap();
    run.resume(Resume::with(&20).unwrap()).await.unwrap();
    let history = run.history().await.unwrap();
    assert!(
        statuses(&history.parts())
            .iter()
            .all(|(_, status)| *status == done)
    );
    let outputs: Vec<Value> = history.parts()[0]
        .parts
        .iter()
        .map(|part| {
            part.result
                .as_ref()
                .unwrap()
                .output
                .as_ref()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(outputs, [json!(1), json!(12), json!(3), json!(24)]);
    assert_eq!(history.input().as_str(), "[1,2,3,4]");
    engine.close().await;
}

#[tokio::test]
async fn what_goes_on_by_itself_says_when() {
    let never = Duration::from_secs(86_400);
    let fails = |_: u32| async move { Err::<u32, _>(StepError::fail("Down", "not yet")) };
    let retries = RetryPolicy::times(3).delay(never);
    let workflow = Workflow::builder("later")
        .parallel((step("fails", fails).retries(retries), step("works", same)))
        .build()
        .unwrap();
    let sleeps = Workflow::builder("sleeps")
        .input::<u32>()
        .step(same)
        .sleep(never)
        .build()
        .unwrap();
    let house = House::new();
    let engine = house
        .engine()
        .workflow(workflow)
        .workflow(sleeps)
        .start()
        .await
        .unwrap();
    let wait_for = async |id: &str, waits: fn(&[RunPart]) -> Option<RunPart>| {
        let run = engine.start(id, Start::with(&1).unwrap()).await.unwrap();
        loop {
            let history = run.history().await.unwrap();
            if let Some(part) = waits(&history.parts()) {
                return (part, history.info().created);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let day = i64::try_from(never.as_millis()).unwrap();
    let (part, created) = wait_for("later", |parts| {
        Some(parts[0].parts[0].clone()).filter(|part| part.due.is_some())
    })
    .await;
    assert_eq!((part.status, part.attempts), (Some(StepStatus::Running), 1));
    assert!(part.due.unwrap().as_millis() >= created.as_millis() + day);
    let (part, created) = wait_for("sleeps", |parts| {
        Some(parts[1].clone()).filter(|part| part.due.is_some())
    })
    .await;
    assert_eq!(
        (part.status, part.kind),
        (Some(StepStatus::Waiting), PartKind::Sleep)
    );
    assert!(part.due.unwrap().as_millis() >= created.as_millis() + day);
    engine.close().await;
}

#[tokio::test]
async fn a_run_is_submitted_by_who_does_not_have_the_workflow() {
    let house = House::new();
    let looks = house.engine().workers(false).start().await.unwrap();
    let start = || Start::with(&[1]).unwrap().run_id("r").resource("ann");
    let unknown = looks.submit("sorting", start()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    house.with(&sorting()).await.close().await;
    let run = looks.submit("sorting", start()).await.unwrap();
    let history = run.history().await.unwrap();
    assert_eq!(
        (history.status(), &*history.info().workflow),
        (RunStatus::Pending, "sorting")
    );
    assert_eq!(
        (history.input().as_str(), history.parts().len()),
        ("[1]", 2)
    );
    assert!(history.problem().is_none());
    let taken = looks.submit("sorting", start()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let refused = looks
        .submit("sorting", start().run_id("").state(Data::null()))
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);

    let engine = house.with(&sorting()).await;
    let result = run.result().await.unwrap();
    assert_eq!(result.output::<Value>().unwrap(), json!({ "a": 1, "b": 1 }));
    looks.close().await;
    engine.close().await;
}

#[tokio::test]
async fn a_run_whose_workflow_nobody_left_in_the_store_is_told_as_far_as_it_is_known() {
    let house = House::new();
    let starts = house
        .engine()
        .workers(false)
        .workflow(sorting())
        .start()
        .await
        .unwrap();
    let run = starts
        .start("sorting", Start::with(&[1]).unwrap())
        .await
        .unwrap();
    let looks = house.engine().workers(false).start().await.unwrap();
    let mut history = looks.run(run.id()).await.unwrap().history().await.unwrap();
    assert_eq!(history.problem().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(history.status(), RunStatus::Pending);
    assert!(history.parts().is_empty() && history.take_events().is_empty());
    looks.cancel(run.id()).await.unwrap();
    history.refresh().await.unwrap();
    assert_eq!(history.status(), RunStatus::Canceled);
    let unknown = looks.run("nobody").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    looks.close().await;
    starts.close().await;
}
