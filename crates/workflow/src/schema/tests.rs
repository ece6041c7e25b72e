//! What workflows do whose steps declare schemas.

#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` is shorter than its reference"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::builder::Trial;
use crate::{
    Data, Error, ErrorKind, Resume, RetryPolicy, RunStatus, StepContext, StepError, Typed,
    TypedStep, Workflow, step,
};

type Untyped = TypedStep<Typed<Value>, Typed<Value>>;

/// A step that returns what it gets.
pub(super) fn echo(id: &str) -> Untyped {
    step(id.to_owned(), |value: Value| async move {
        Ok::<_, StepError>(value)
    })
}

pub(super) fn order() -> Value {
    json!({
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 1}},
        "required": ["count"],
    })
}

/// A workflow of one step, which would be tried again if that could help.
fn alone<O: crate::Shape>(step: TypedStep<Typed<Value>, O>) -> Workflow {
    let step = step.retries(RetryPolicy::times(2));
    Workflow::builder("orders")
        .step(step)
        .untyped()
        .build()
        .unwrap()
}

/// The code and the message of a failed run.
fn failure(trial: &Trial) -> (Value, String) {
    assert_eq!(trial.status(), RunStatus::Failed);
    let error: Value = trial.error().unwrap().parse().unwrap();
    let message = error["message"].as_str().unwrap().to_owned();
    (error["code"].clone(), message)
}

#[tokio::test]
async fn a_step_is_called_with_what_fits_only() {
    for (input, expected) in [
        (json!({"count": 2}), None),
        (
            json!({"count": 0}),
            Some("- count: the value is less than the minimum of 1"),
        ),
        (json!({}), Some("- : \"count\" is a required property")),
        (json!([]), Some("- : the value is not of type \"object\"")),
    ] {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let count = step("count", move |_: StepContext, order: Value| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, StepError>(order) }
        });
        let mut trial = Trial::of(&alone(count.input_schema(&order()).unwrap()));
        trial.start(&input).await.unwrap();
        match expected {
            None => {
                assert_eq!(trial.result::<Value>().unwrap(), Some(input));
                assert_eq!(calls.load(Ordering::Relaxed), 1);
            }
            Some(line) => {
                let (code, message) = failure(&trial);
                assert_eq!(code, "WORKFLOW_STEP_INPUT_VALIDATION_FAILED");
                assert_eq!(message, format!("Step input validation failed: \n{line}"));
                assert_eq!(calls.load(Ordering::Relaxed), 0);
                assert_eq!(trial.facts.len(), 2, "{:?}", trial.facts);
            }
        }
    }
}

/// A step that suspends with what it gets, and returns what it is resumed with.
fn ask() -> TypedStep<Typed<Value>, Typed<Value>> {
    step("ask", |ctx: StepContext, payload: Value| async move {
        match ctx.resumed::<Value>()? {
            Some(answer) => Ok(answer),
            None => Err(ctx.suspend(&payload)),
        }
    })
}

#[tokio::test]
async fn a_step_is_resumed_with_what_fits_only() {
    let schema = json!({"type": "object", "properties": {"approved": {"type": "boolean"}}});
    let workflow = alone(ask().resume_schema(&schema).unwrap());
    for (answer, fits) in [
        (json!({"approved": true}), true),
        (json!({"approved": "yes"}), false),
        (json!(null), false),
    ] {
        let mut trial = Trial::of(&workflow);
        trial.start(&json!(1)).await.unwrap();
        trial.resume(Resume::with(&answer).unwrap()).await.unwrap();
        if fits {
            assert_eq!(trial.result::<Value>().unwrap(), Some(answer));
        } else {
            let (code, message) = failure(&trial);
            assert_eq!(code, "WORKFLOW_STEP_RESUME_DATA_VALIDATION_FAILED");
            assert!(message.starts_with("Step resume data validation failed: \n- "));
        }
    }
}

#[tokio::test]
async fn a_step_suspends_with_what_fits_only() {
    let workflow = alone(ask().suspend_schema(&order()).unwrap());
    for (payload, fits) in [
        (json!({"count": 1}), true),
        (json!(null), true),
        (json!({"count": "1"}), false),
    ] {
        let mut trial = Trial::of(&workflow);
        trial.start(&payload).await.unwrap();
        if fits {
            assert_eq!(trial.status(), RunStatus::Suspended);
        } else {
            let (code, message) = failure(&trial);
            assert_eq!(code, "WORKFLOW_STEP_SUSPEND_DATA_VALIDATION_FAILED");
            let expected = "Step suspend data validation failed: \n- count: the value is not of type \"integer\"";
            assert_eq!(message, expected);
        }
    }
}

#[tokio::test]
async fn a_step_leaves_a_state_that_fits_only() {
    let set = step("set", |ctx: StepContext, partial: Value| async move {
        ctx.set_state(&partial)?;
        Ok::<_, StepError>(())
    });
    let workflow = alone(set.state_schema(&order()).unwrap());
    for (start, partial, fits) in [
        (json!({}), json!({"count": 1}), true),
        (json!({"count": 1}), json!({"note": "n"}), true),
        (json!({}), json!({"note": "n"}), false),
        (json!({"count": 1}), json!({"count": null}), false),
        // What it does not change is not its business.
        (json!({"count": null}), json!({}), true),
    ] {
        let mut trial = Trial::of(&workflow).with_state(&start).unwrap();
        trial.start(&partial).await.unwrap();
        if fits {
            assert_eq!(trial.status(), RunStatus::Success);
        } else {
            let (code, message) = failure(&trial);
            assert_eq!(code, Value::Null);
            assert!(message.starts_with("Step state data validation failed: \n- "));
            assert_eq!(trial.state().parse::<Value>().unwrap(), start);
        }
    }
}

#[tokio::test]
async fn what_a_step_has_set_that_fails_is_not_looked_at() {
    let set = step("set", |ctx: StepContext, partial: Value| async move {
        ctx.set_state(&partial)?;
        Err::<(), _>(StepError::fail("Late", "the disk is full"))
    });
    let mut trial = Trial::of(&alone(set.state_schema(&order()).unwrap()));
    trial.start(&json!({"count": 0})).await.unwrap();
    assert_eq!(failure(&trial).1, "the disk is full");
}

#[tokio::test]
async fn what_a_step_returns_is_not_looked_at() {
    let workflow = alone(echo("echo").output_schema(&order()).unwrap());
    let mut trial = Trial::of(&workflow);
    assert_eq!(trial.start("text").await.unwrap(), RunStatus::Success);
}

#[tokio::test]
async fn a_run_starts_with_what_fits_only() {
    let workflow = Workflow::builder("orders")
        .input_schema(&order())
        .and_then(|it| it.state_schema(&json!({"required": ["user"]})))
        .unwrap();
    let workflow = workflow.step(echo("echo")).build().unwrap();
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.message().to_owned()
    };
    let started = Trial::of(&workflow).start(&json!({"count": "a"})).await;
    assert_eq!(
        refused(started.unwrap_err()),
        "this is no input of the workflow: count: the value is not of type \"integer\""
    );
    let state = workflow.check_state(&Data::object());
    assert_eq!(
        refused(state.unwrap_err()),
        "this is no state of the workflow: \"user\" is a required property"
    );
    let mut trial = Trial::of(&workflow)
        .with_state(&json!({"user": 1}))
        .unwrap();
    let status = trial.start(&json!({"count": 1})).await.unwrap();
    assert_eq!(status, RunStatus::Success);
}

#[tokio::test]
async fn a_schema_can_be_that_of_a_type() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Order {
        lines: Vec<Line>,
        note: Option<String>,
    }
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Line {
        count: u8,
    }
    let schema = schemars::schema_for!(Order);
    let workflow = alone(echo("echo").input_schema(&schema).unwrap());
    let mut trial = Trial::of(&workflow);
    let order = json!({"lines": [{"count": 1}, {"count": 256}]});
    trial.start(&order).await.unwrap();
    let (_, message) = failure(&trial);
    let line = "- lines.1.count: the value is greater than the maximum of 255";
    assert_eq!(message, format!("Step input validation failed: \n{line}"));

    let lines = |count: Value| {
        let line = json!({"type": "object", "properties": {"count": count}, "required": ["count"]});
        let lines = json!({"type": "array", "items": line, "minItems": 1});
        json!({"type": "object", "properties": {"lines": lines}, "required": ["lines"]})
    };
    let build = |count: Value| {
        let make = echo("make").output_schema(&lines(count)).unwrap();
        let take = echo("take").input_schema(&schema).unwrap();
        Workflow::builder("orders").step(make).step(take).build()
    };
    assert!(build(json!({"type": "integer"})).is_ok());
    let refused = build(json!({"type": "string"})).unwrap_err();
    assert!(
        refused
            .message()
            .contains("at lines.*.count, string comes where integer is taken")
    );
}

#[test]
fn what_is_no_schema_is_refused_at_once_and_says_whose_it_is() {
    let wrong = json!({"type": "strin"});
    let nameless =
        crate::IntoStep::into_step(|value: Value| async move { Ok::<_, StepError>(value) });
    for (error, whose) in [
        (
            echo("a").input_schema(&wrong).unwrap_err(),
            "the input schema of the step \"a\"",
        ),
        (
            echo("a").output_schema(&wrong).unwrap_err(),
            "the output schema of the step \"a\"",
        ),
        (
            echo("a").resume_schema(&wrong).unwrap_err(),
            "the resume schema of the step \"a\"",
        ),
        (
            echo("a").suspend_schema(&wrong).unwrap_err(),
            "the suspend schema of the step \"a\"",
        ),
        (
            echo("a").state_schema(&wrong).unwrap_err(),
            "the state schema of the step \"a\"",
        ),
        (
            nameless.input_schema(&wrong).unwrap_err(),
            "the input schema of a step without an id",
        ),
        (
            Workflow::builder("w").input_schema(&wrong).unwrap_err(),
            "the input schema of the workflow \"w\"",
        ),
        (
            Workflow::builder("w").state_schema(&wrong).unwrap_err(),
            "the state schema of the workflow \"w\"",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidDefinition);
        let message = error.message();
        assert!(
            message.starts_with(&format!("{whose} is no valid JSON Schema: at /type")),
            "{message}"
        );
    }
    let keys = std::collections::BTreeMap::from([([1], 2)]);
    assert!(echo("a").input_schema(&keys).is_err());
}

#[test]
fn what_suspends_or_resumes_can_suspend_and_the_rest_changes_no_graph() {
    let graph = |step: Untyped| alone(step).to_graph();
    let plain = graph(echo("a"));
    let any = json!(true);
    for step in [
        echo("a").input_schema(&any),
        echo("a").output_schema(&any),
        echo("a").state_schema(&any),
    ] {
        assert_eq!(graph(step.unwrap()), plain);
    }
    for step in [
        echo("a").resume_schema(&any),
        echo("a").suspend_schema(&any),
    ] {
        assert!(
            graph(step.unwrap())
                .as_str()
                .contains("\"canSuspend\":true")
        );
    }
}

#[test]
fn a_nested_workflow_declares_its_own() {
    let inner = Workflow::builder("inner").step(echo("a")).build().unwrap();
    let inner = crate::IntoStep::into_step(inner)
        .input_schema(&json!(true))
        .unwrap();
    let refused = Workflow::builder("outer").step(inner).build().unwrap_err();
    assert!(refused.message().contains("cannot have schemas"));
}
