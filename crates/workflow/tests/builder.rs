//! What workflows do that were written with the builder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::builder::Trial;
use bowline_workflow::{
    Data, ErrorKind, IntoStep, Predicate, Resume, RetryPolicy, RunStatus, Step, StepContext,
    StepError, StepStatus, Workflow, step, when,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Done<T> = Result<T, StepError>;

#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    kind: String,
}

async fn classify(_: StepContext, ticket: Ticket) -> Done<Class> {
    let kind = if ticket.text.ends_with('?') {
        "question"
    } else {
        "bug"
    };
    Ok(Class { kind: kind.into() })
}

async fn fix(class: Class) -> Done<String> {
    Ok(format!("fixed the {}", class.kind))
}

async fn answer(_: Class) -> Done<u32> {
    Ok(42)
}

async fn is_question(class: Class) -> bool {
    class.kind == "question"
}

async fn increment(n: u32) -> Done<u32> {
    Ok(n + 1)
}

async fn run<T: Serialize>(workflow: &Workflow, input: T) -> Trial {
    let mut trial = Trial::of(workflow);
    trial.start(&input).await.unwrap();
    trial
}

async fn result<T: Serialize>(workflow: &Workflow, input: T) -> Value {
    let trial = run(workflow, input).await;
    assert_eq!(trial.status(), RunStatus::Success, "{:?}", trial.error());
    trial.result().unwrap().unwrap()
}

#[tokio::test]
async fn steps_get_what_the_one_before_returned() {
    struct Shout;
    impl Step for Shout {
        type Input = String;
        type Output = String;
        fn id(&self) -> bowline_events::Text {
            "shout".into()
        }
        async fn run(&self, ctx: StepContext, input: String) -> Done<String> {
            assert_eq!(ctx.step_id(), "shout");
            Ok(input.to_uppercase())
        }
    }
    let workflow = Workflow::builder("chain")
        .input::<Ticket>()
        .output::<String>()
        .step(classify)
        .step(fix)
        .then(Shout)
        .build()
        .unwrap();
    let trial = run(&workflow, json!({ "text": "it broke" })).await;
    assert_eq!(trial.result::<String>().unwrap().unwrap(), "FIXED THE BUG");
    let ids: Vec<_> = trial.steps().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["classify", "fix", "shout"]);
}

#[tokio::test]
async fn every_branch_whose_condition_holds_is_taken() {
    let workflow = Workflow::builder("branches")
        .input::<Ticket>()
        .step(classify)
        .branch([
            when(|class: &Class| class.kind == "bug", fix),
            when(is_question, answer),
            when(|_: &StepContext| true, step("always", answer)),
            when(
                Predicate::Exists {
                    path: "inputData.missing".into(),
                },
                step("never", answer),
            ),
        ])
        .build()
        .unwrap();
    let bug = result(&workflow, json!({ "text": "it broke" })).await;
    assert_eq!(bug, json!({ "fix": "fixed the bug", "always": 42 }));
    let question = result(&workflow, json!({ "text": "why?" })).await;
    assert_eq!(question, json!({ "answer": 42, "always": 42 }));
}

#[tokio::test]
async fn parallel_steps_are_joined_by_their_ids_and_mapped() {
    #[derive(Deserialize)]
    struct Both {
        increment: u32,
        twice: u32,
    }
    let workflow = Workflow::builder("both")
        .input::<u32>()
        .parallel((
            increment,
            step("twice", |n: u32| async move { Done::Ok(n * 2) }),
        ))
        .map(|both: Both| async move { Done::Ok((both.increment, both.twice)) })
        .map(|ctx: StepContext| async move {
            let twice = ctx.output_of::<u32>("twice")?;
            Done::Ok((ctx.initial::<u32>()?, twice, ctx.input::<Value>()?))
        })
        .build()
        .unwrap();
    let trial = run(&workflow, 5).await;
    let all: Value = trial.result().unwrap().unwrap();
    assert_eq!(all, json!([5, 10, [6, 10]]));
    let ids: Vec<_> = trial.steps().into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        ["increment", "twice", "mapping_both_0", "mapping_both_1"]
    );
}

#[tokio::test]
async fn an_array_of_steps_can_run_side_by_side() {
    let add = |n: u32| {
        step(
            format!("add-{n}"),
            move |m: u32| async move { Done::Ok(n + m) },
        )
    };
    let all: Vec<_> = (0..3).map(add).collect();
    let workflow = Workflow::builder("adders").input::<u32>().parallel(all);
    let sums = result(&workflow.build().unwrap(), 1).await;
    assert_eq!(sums, json!({ "add-0": 1, "add-1": 2, "add-2": 3 }));
}

#[tokio::test]
async fn foreach_returns_an_array_in_order() {
    async fn numbered(ctx: StepContext, name: String) -> Done<String> {
        Ok(format!("{}:{name}", ctx.index().unwrap_or(99)))
    }
    let build = |width| {
        Workflow::builder("each")
            .input::<Vec<String>>()
            .output::<Vec<String>>()
            .foreach(numbered)
            .concurrency(width)
            .build()
    };
    for width in [1, 2, 10] {
        let workflow = build(width).unwrap();
        assert_eq!(
            result(&workflow, ["a", "b", "c"]).await,
            json!(["0:a", "1:b", "2:c"])
        );
    }
    let error = build(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDefinition);
    assert!(error.message().contains("\"numbered\""), "{error}");

    let measured = Workflow::builder("measured")
        .input::<Vec<String>>()
        .foreach(numbered)
        .concurrency_by(|names: &Vec<String>| names.len())
        .build()
        .unwrap();
    assert_eq!(result(&measured, ["a"]).await, json!(["0:a"]));
}

#[tokio::test]
async fn a_loop_runs_its_body_at_least_once_and_its_condition_counts_from_one() {
    let until = Workflow::builder("until")
        .input::<u32>()
        .do_until(increment, |ctx: &StepContext| ctx.iteration_count() >= 3)
        .build()
        .unwrap();
    assert_eq!(result(&until, 10).await, json!(13));
    let while_small = Workflow::builder("while")
        .input::<u32>()
        .output::<u32>()
        .do_while(increment, |n: &u32| *n < 5)
        .build()
        .unwrap();
    assert_eq!(result(&while_small, 0).await, json!(5));
    assert_eq!(result(&while_small, 9).await, json!(10));
}

#[tokio::test]
async fn sleeps_pass_the_value_on_and_have_ids_that_stay() {
    let workflow = Workflow::builder("nap")
        .input::<u32>()
        .output::<u32>()
        .sleep(Duration::from_millis(1500))
        .sleep_until(Timestamp::from_millis(4000))
        .sleep_until_by(|n: &u32| Timestamp::from_millis(i64::from(*n) * 1000))
        .named("own")
        .step(increment)
        .build()
        .unwrap();
    let trial = run(&workflow, 7).await;
    assert_eq!(trial.result::<u32>().unwrap(), Some(8));
    assert_eq!(trial.elapsed(), Duration::from_secs(7));
    let ids: Vec<_> = trial.steps().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["sleep_nap_0", "sleep_nap_1", "own", "increment"]);
}

#[tokio::test]
async fn computed_sleeps_are_reckoned_by_the_clock_of_the_run() {
    let in_a_second = |ctx: &StepContext| Timestamp::from_millis(ctx.now().as_millis() + 1000);
    let workflow = Workflow::builder("reckons")
        .input::<u32>()
        .output::<u32>()
        .sleep(Duration::from_secs(3))
        .sleep_by(|n: &u32| Duration::from_secs(u64::from(*n)))
        .sleep_until_by(in_a_second)
        .step(increment)
        .build()
        .unwrap();
    let trial = run(&workflow, 7).await;
    assert_eq!(trial.elapsed(), Duration::from_secs(3 + 7 + 1));
}

#[tokio::test]
async fn workflows_nest_with_their_types_or_without() {
    let inner = || {
        Workflow::builder("inner")
            .input::<u32>()
            .output::<u32>()
            .step(increment)
    };
    let typed = Workflow::builder("outer")
        .input::<u32>()
        .output::<u32>()
        .step(inner().build_step().unwrap())
        .step(inner().build_step().unwrap().id("again"))
        .build()
        .unwrap();
    let trial = run(&typed, 1).await;
    assert_eq!(trial.result::<u32>().unwrap(), Some(3));
    let ids: Vec<_> = trial.steps().into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        ["inner", "inner.increment", "again", "again.increment"]
    );

    let untyped = Workflow::builder("outer")
        .input::<u32>()
        .step(inner().build().unwrap())
        .step(increment)
        .build()
        .unwrap();
    assert_eq!(result(&untyped, 1).await, json!(3));

    let retried = inner().build_step().unwrap().retries(RetryPolicy::times(1));
    let error = Workflow::builder("outer")
        .step(retried)
        .build()
        .unwrap_err();
    assert!(error.message().contains("\"inner\""), "{error}");
}

#[tokio::test]
async fn a_step_waits_for_somebody_and_is_told_what_it_waited_for() {
    async fn approve(ctx: StepContext, amount: u32) -> Done<String> {
        match ctx.resumed::<bool>()? {
            None => Err(ctx.suspend_with(&json!({ "amount": amount }), ["boss"])),
            Some(yes) => {
                let asked: Option<Value> = ctx.suspended_with()?;
                Ok(format!("{yes} to {}", asked.unwrap()["amount"]))
            }
        }
    }
    let approve = approve.into_step().suspends::<Value>().resumes::<bool>();
    let workflow = Workflow::builder("approval")
        .input::<u32>()
        .step(approve)
        .build()
        .unwrap();
    let mut trial = run(&workflow, 100).await;
    assert_eq!(trial.status(), RunStatus::Suspended);
    let waiting = trial.suspended();
    assert_eq!(waiting[0].id(), "approve");
    assert_eq!(waiting[0].labels, ["boss"]);
    let resume = Resume::with(&true).unwrap().label("boss");
    assert_eq!(trial.resume(resume).await.unwrap(), RunStatus::Success);
    assert_eq!(trial.result::<String>().unwrap().unwrap(), "true to 100");

    let mut refused = run(&workflow, 100).await;
    let resume = Resume::with(&"maybe").unwrap();
    assert_eq!(refused.resume(resume).await.unwrap(), RunStatus::Failed);
    let error: Value = refused.error().unwrap().parse().unwrap();
    assert_eq!(error["code"], "WORKFLOW_STEP_RESUME_DATA_VALIDATION_FAILED");
}

#[tokio::test]
async fn the_state_is_changed_when_a_step_has_ended() {
    #[derive(Deserialize)]
    struct Count {
        n: u32,
    }
    async fn count(ctx: StepContext, (): ()) -> Done<u32> {
        let before: Count = ctx.state()?;
        ctx.set_state(&json!({ "n": before.n + 1 }))?;
        ctx.set_state(&json!({ "seen": true }))?;
        Ok(ctx.state::<Count>()?.n)
    }
    let workflow = Workflow::builder("counting")
        .input::<()>()
        .state::<Count>()
        .step(count)
        .map(|ctx: StepContext| async move { ctx.state::<Value>() })
        .build()
        .unwrap();
    let mut trial = Trial::of(&workflow)
        .with_state(&json!({ "n": 1, "kept": 0 }))
        .unwrap();
    trial.start(&()).await.unwrap();
    let steps = trial.steps();
    assert_eq!(steps[0].1.output.as_ref().unwrap().as_str(), "1");
    let state: Value = trial.result().unwrap().unwrap();
    assert_eq!(state, json!({ "n": 2, "kept": 0, "seen": true }));
    let error = Trial::of(&workflow)
        .with_state(&json!({ "n": "one" }))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn bailing_ends_the_workflow_well() {
    async fn enough(ctx: StepContext, n: u32) -> Done<u32> {
        if n > 1 {
            Err(ctx.bail("enough"))
        } else {
            Ok(n)
        }
    }
    let workflow = Workflow::builder("bail")
        .input::<u32>()
        .step(enough)
        .step(increment)
        .build()
        .unwrap();
    assert_eq!(result(&workflow, 1).await, json!(2));
    assert_eq!(result(&workflow, 2).await, json!("enough"));
}

#[tokio::test]
async fn a_failed_step_is_tried_again_as_its_policy_says() {
    async fn third(ctx: StepContext, (): ()) -> Done<u32> {
        match ctx.attempt() {
            2 => Ok(2),
            n => Err(StepError::fail("NotYet", format!("attempt {n}"))),
        }
    }
    async fn hopeless(ctx: StepContext) -> Done<()> {
        Err(StepError::fail("Hopeless", format!("attempt {}", ctx.attempt())).no_retry())
    }
    let policy = RetryPolicy::times(2).delay(Duration::from_secs(1));
    let workflow = Workflow::builder("again").input::<()>().retries(policy);
    let workflow = workflow.step(third).step(hopeless).build().unwrap();
    let trial = run(&workflow, ()).await;
    assert_eq!(trial.status(), RunStatus::Failed);
    assert_eq!(trial.elapsed(), Duration::from_secs(2));
    let error = r#"{"message":"attempt 0","name":"Hopeless"}"#;
    assert_eq!(trial.error().map(Data::as_str), Some(error));
    assert_eq!(trial.steps()[0].1.status, StepStatus::Success);

    let once = third.into_step().retries(RetryPolicy::NEVER);
    let workflow = Workflow::builder("once")
        .retries(policy)
        .step(once)
        .build()
        .unwrap();
    assert_eq!(run(&workflow, ()).await.status(), RunStatus::Failed);
}

#[tokio::test]
async fn what_a_step_writes_is_told_to_watchers_before_it_ends() {
    async fn talk(ctx: StepContext, n: u32) -> Done<u32> {
        ctx.write(&json!({ "n": n })).await?;
        ctx.custom(&json!({ "type": "data-progress", "data": 50 }))
            .await?;
        assert!(ctx.custom(&json!({ "data": 50 })).await.is_err());
        assert!(ctx.custom("data-progress").await.is_err());
        Ok(n)
    }
    let workflow = Workflow::builder("talk")
        .input::<u32>()
        .step(talk)
        .build()
        .unwrap();
    let told: Vec<Value> = run(&workflow, 3)
        .await
        .watched()
        .iter()
        .map(|event| event.parse().unwrap())
        .collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let expected = [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-output",
        "data-progress",
        "workflow-step-result",
        "workflow-step-finish",
        "workflow-finish",
    ];
    assert_eq!(kinds, expected);
    let output = json!({
        "type": "workflow-step-output",
        "runId": "trial",
        "from": "USER",
        "payload": { "output": { "n": 3 }, "runId": "trial", "stepName": "talk" },
    });
    assert_eq!(told[2], output);
    assert_eq!(told[3], json!({ "type": "data-progress", "data": 50 }));
}

#[tokio::test]
async fn a_condition_that_fails_or_panics_breaks_the_run() {
    async fn unsure(_: u32) -> Done<bool> {
        Err(StepError::fail("Unsure", "who knows"))
    }
    let failing = Workflow::builder("failing")
        .input::<u32>()
        .branch([when(unsure, increment)]);
    let panicking = Workflow::builder("panicking")
        .input::<u32>()
        .do_while(increment, |_: &u32| -> bool { panic!("who knows") });
    for workflow in [failing.build().unwrap(), panicking.build().unwrap()] {
        let trial = run(&workflow, 1).await;
        assert_eq!(trial.status(), RunStatus::Failed, "{workflow:?}");
        assert!(
            trial.error().unwrap().as_str().contains("who knows"),
            "{workflow:?}"
        );
    }
}

#[test]
fn what_cannot_be_a_workflow_is_refused_with_the_name_of_the_step() {
    let closure = |n: u32| async move { Done::Ok(n) };
    let long = "x".repeat(257);
    let builder = || Workflow::builder("wrong").input::<u32>();
    let cases = [
        (builder().build(), "no steps"),
        (
            builder().step(increment).step(increment).build(),
            "\"increment\"",
        ),
        (builder().step(closure).build(), "entry 0"),
        (builder().step(increment).step(closure).build(), "entry 1"),
        (builder().branch([]).build(), "entry 0"),
        (builder().step(step("", increment)).build(), "\"\""),
        (
            builder().step(step("input", increment)).build(),
            "\"input\"",
        ),
        (builder().step(step("a\nb", increment)).build(), "\"a\\nb\""),
        (builder().step(step(long, increment)).build(), "256"),
        (
            builder()
                .sleep(Duration::ZERO)
                .named("increment")
                .step(increment)
                .build(),
            "\"increment\"",
        ),
        (
            builder()
                .step(increment.into_step().metadata(&NoJson))
                .build(),
            "\"increment\"",
        ),
        (Workflow::builder("").step(increment).build(), "\"\""),
        (
            builder()
                .step(increment.into_step().timeout(Duration::ZERO))
                .build(),
            "\"increment\"",
        ),
    ];
    for (built, named) in cases {
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDefinition, "{error}");
        assert!(error.message().contains(named), "{error}");
    }
}

/// A value without JSON.
struct NoJson;

impl Serialize for NoJson {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no JSON"))
    }
}
