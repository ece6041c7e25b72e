//! Schedules that start runs, and programs that only look.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Cadence, NewSchedule, Outcome, Scheduler, Target, TriggerQuery};
use bowline_workflow::{
    Resume, RunQuery, RunStatus, Start, StepContext, StepError, Workflow, step,
};

use crate::house::House;

fn count() -> Workflow {
    let count = |_: serde_json::Value| async move { Ok::<_, StepError>(1) };
    Workflow::builder("count")
        .step(step("one", count))
        .build()
        .unwrap()
}

fn asks() -> Workflow {
    Workflow::builder("asks")
        .input::<u32>()
        .step(step("ask", |ctx: StepContext, n: u32| async move {
            match ctx.resumed::<u32>()? {
                Some(more) => Ok(n + more),
                None => Err(ctx.suspend("how many?")),
            }
        }))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_schedule_starts_runs_and_learns_how_they_ended() {
    let house = House::new();
    let engine = house.with(&count()).await;
    let scheduler = Scheduler::builder(Arc::clone(&house.store), engine.launcher())
        .start()
        .unwrap();
    let cadence = Cadence::every(Duration::from_secs(1), Timestamp::now()).unwrap();
    let new = NewSchedule::new(Target::workflow("count"), cadence).id("tick");
    let schedules = engine.schedules();
    schedules.create(new).await.unwrap();
    let trigger = schedules.run_now("tick").await.unwrap();
    let run = engine
        .run(trigger.run_id.as_deref().unwrap())
        .await
        .unwrap();
    assert_eq!(run.result().await.unwrap().status(), RunStatus::Success);
    loop {
        let page = schedules
            .triggers("tick", &TriggerQuery::default())
            .await
            .unwrap();
        let ended = |outcome| {
            page.triggers
                .iter()
                .filter(|t| t.outcome == outcome)
                .count()
        };
        assert_eq!(ended(Outcome::Failed), 0);
        // The one that was asked for, and one by the clock.
        if ended(Outcome::Succeeded) >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let unknown = NewSchedule::new(
        Target::workflow("nobody"),
        Cadence::every(Duration::from_secs(60), Timestamp::now()).unwrap(),
    );
    let unknown = schedules.create(unknown).await.unwrap();
    let refused = schedules.run_now(&unknown.id).await.unwrap();
    assert_eq!(refused.outcome, Outcome::Failed);
    assert!(refused.error.unwrap().contains("nobody"));
    scheduler.close().await;
    engine.close().await;
}

#[tokio::test]
async fn a_program_without_the_workflow_lists_shows_and_resumes() {
    let house = House::new();
    let engine = house.with(&asks()).await;
    let run = engine
        .start("asks", Start::with(&1).unwrap().resource("ann"))
        .await
        .unwrap();
    run.result().await.unwrap();
    let looks = house.engine().workers(false).start().await.unwrap();
    let page = looks
        .runs(&RunQuery::new().status(RunStatus::Suspended).resource("ann"))
        .await
        .unwrap();
    assert_eq!(page.runs.len(), 1);
    assert_eq!(page.runs[0].suspended[0].id(), "ask");
    assert!(
        looks
            .runs(&RunQuery::new().workflow("other"))
            .await
            .unwrap()
            .runs
            .is_empty()
    );
    let seen = looks.run(run.id()).await.unwrap();
    assert_eq!(
        seen.result()
            .await
            .unwrap()
            .step("ask")
            .unwrap()
            .payload
            .unwrap()
            .as_str(),
        "1"
    );
    let result = seen.resume(Resume::with(&41).unwrap()).await.unwrap();
    assert_eq!(result.output::<u32>().unwrap(), 42);
    looks.close().await;
    engine.close().await;
}
