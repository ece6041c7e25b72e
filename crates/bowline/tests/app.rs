//! An application as its users write it.
#![allow(clippy::unwrap_used, reason = "tests, with functions of their own")]
#![cfg(all(feature = "workflow", feature = "sqlite"))]

use std::time::Duration;

use bowline::workflow::schedule::{Cadence, Declared, Target};
use bowline::workflow::{Resume, RunStatus, StepContext, StepError, Workflow, when};
use bowline::{Bowline, ErrorKind};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    bug: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    notes: Vec<String>,
    approved: bool,
}

async fn classify(ticket: Ticket) -> Result<Class, StepError> {
    Ok(Class {
        bug: ticket.text.contains("panic"),
    })
}

async fn trace(_: Class) -> Result<Vec<u32>, StepError> {
    Ok(vec![1, 2, 3])
}

async fn look_up(_: Class) -> Result<Vec<u32>, StepError> {
    Ok(vec![7])
}

async fn found(ctx: StepContext) -> Result<Vec<u32>, StepError> {
    let trace: Option<Vec<u32>> = ctx.output_of("trace")?;
    let looked: Option<Vec<u32>> = ctx.output_of("look_up")?;
    Ok(trace.or(looked).unwrap_or_default())
}

async fn enrich(id: u32) -> Result<String, StepError> {
    Ok(format!("note {id}"))
}

async fn approve(ctx: StepContext, notes: Vec<String>) -> Result<Answer, StepError> {
    match ctx.resumed::<bool>()? {
        Some(approved) => Ok(Answer { notes, approved }),
        None => Err(ctx.suspend(&notes)),
    }
}

fn triage() -> Workflow {
    Workflow::builder("triage")
        .input::<Ticket>()
        .output::<Answer>()
        .step(classify)
        .branch([
            when(|class: &Class| class.bug, trace),
            when(|class: &Class| !class.bug, look_up),
        ])
        .map(found)
        .foreach(enrich)
        .concurrency(10)
        .sleep(Duration::from_millis(5))
        .step(approve)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_run_and_its_events_survive_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let ticket = Ticket {
        text: "it panics".to_owned(),
    };

    let app = Bowline::builder()
        .store(&store)
        .workflow(triage())
        .start()
        .await
        .unwrap();
    let run = app.workflow("triage").unwrap().run(&ticket).await.unwrap();
    let id = run.id().clone();
    let halted = run.result().await.unwrap();
    assert_eq!(
        halted.status(),
        RunStatus::Suspended,
        "{:?}",
        halted.error()
    );
    app.close().await.unwrap();

    let app = Bowline::builder()
        .store(&store)
        .workflow(triage())
        .start()
        .await
        .unwrap();
    let run = app.run(&id).await.unwrap();
    let result = run.resume(Resume::with(&true).unwrap()).await.unwrap();
    let answer = Answer {
        notes: vec!["note 1".into(), "note 2".into(), "note 3".into()],
        approved: true,
    };
    assert_eq!(result.output::<Answer>().unwrap(), answer);
    // From the first event of the first program on.
    let mut watch = run.watch().await.unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = watch.next().await {
        let event = event.unwrap();
        assert_eq!(event.index, Some(kinds.len() as u64));
        kinds.push(event.kind);
    }
    let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    assert_eq!(kinds.first().unwrap(), "workflow-start");
    assert_eq!(count("workflow-step-progress"), 3);
    assert_eq!(count("workflow-step-suspended"), 1);
    assert_eq!(count("workflow-start"), 2);
    assert_eq!(count("workflow-finish"), 1);
    app.close().await.unwrap();
}

#[tokio::test]
async fn declared_schedules_come_and_go_with_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("app.db").display());
    let nightly = || {
        let cadence = Cadence::cron("0 3 * * *", Some("Europe/Berlin")).unwrap();
        Declared::new("nightly", Target::workflow("triage"), cadence)
    };
    let nameless = Bowline::builder()
        .store(&store)
        .schedule(nightly())
        .start()
        .await;
    assert_eq!(nameless.unwrap_err().kind(), ErrorKind::InvalidInput);

    let app = Bowline::builder()
        .store(&store)
        .name("desk")
        .workflow(triage());
    let app = app.schedule(nightly()).start().await.unwrap();
    assert!(
        app.schedules()
            .get("nightly")
            .await
            .unwrap()
            .next_fire_at
            .is_some()
    );
    app.close().await.unwrap();

    let app = Bowline::builder()
        .store(&store)
        .name("desk")
        .workflow(triage())
        .start()
        .await
        .unwrap();
    assert!(app.schedules().get("nightly").await.is_err());
    let unknown = app.workflow("other").unwrap_err();
    assert!(unknown.to_string().contains("triage"), "{unknown}");
    app.close().await.unwrap();
}
