//! What becomes of a step on JSON.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{IntoStep, StepError, Tripwire, misfit, step};
use crate::context::TestContext;
use crate::definition::Node;
use crate::machine::{Completion, Failure, Outcome};
use crate::{Data, StepContext};

type Done<T> = Result<T, StepError>;

/// Calls the step as an engine does.
async fn call<M, S: IntoStep<M>>(test: &TestContext, work: S) -> Completion {
    let draft = step("work", work).into_draft();
    let Node::Step(step) = draft.into_node(&"test".into(), 0).unwrap() else {
        panic!("a workflow is no step");
    };
    step.function.call(test.context()).await
}

async fn failure<M, S: IntoStep<M>>(test: &TestContext, work: S) -> Failure {
    match call(test, work).await.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}

#[derive(Debug)]
struct Linked(&'static str, Option<Box<Linked>>);

impl fmt::Display for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Linked {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[tokio::test]
async fn an_error_of_the_standard_kind_keeps_its_causes() {
    let test = StepContext::test();
    let fail = |_: StepContext| async {
        let cause = Linked("disk", Some(Box::new(Linked("sector", None))));
        Err::<(), _>(Linked("read", Some(Box::new(cause))))
    };
    let expected = r#"{"message":"read","name":"Error","cause":{"message":"disk","name":"Error","cause":{"message":"sector","name":"Error"}}}"#;
    let failure = failure(&test, fail).await;
    assert_eq!(failure.error.as_str(), expected);
    assert!(!failure.last);
}

#[tokio::test]
async fn a_chain_without_an_end_is_cut() {
    #[derive(Debug)]
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }
    impl StdError for Endless {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self)
        }
    }
    let test = StepContext::test();
    let failure = failure(&test, |_: StepContext| async { Err::<(), _>(Endless) }).await;
    assert_eq!(failure.error.as_str().matches("again").count(), 17);
}

#[tokio::test]
async fn a_failure_has_its_name_code_and_cause() {
    let test = StepContext::test();
    let fail = |_: StepContext| async {
        let error = StepError::fail("Full", "no \"room\"")
            .code("E_FULL")
            .no_retry();
        Err::<(), _>(error.cause(Linked("disk", None)))
    };
    let failure = failure(&test, fail).await;
    let expected = r#"{"message":"no \"room\"","name":"Full","code":"E_FULL","cause":{"message":"disk","name":"Error"}}"#;
    assert_eq!(failure.error.as_str(), expected);
    assert!(failure.last);
}

#[tokio::test]
async fn a_tripwire_is_the_last_attempt() {
    let test = StepContext::test();
    let stop = |_: StepContext| async {
        let tripwire = Tripwire::new("blocked!")
            .retry(true)
            .metadata(&json!({ "k": 1 }))?;
        Err::<(), _>(StepError::tripwire(tripwire.processor("proc-1")))
    };
    let failure = failure(&test, stop).await;
    let expected =
        r#"{"reason":"blocked!","retry":true,"metadata":{"k":1},"processorId":"proc-1"}"#;
    assert_eq!(failure.tripwire.as_ref().map(Data::as_str), Some(expected));
    assert_eq!(
        failure.error.as_str(),
        r#"{"message":"blocked!","name":"Error"}"#
    );
    assert!(failure.last);
}

#[tokio::test]
async fn a_panic_is_a_failure_that_may_be_tried_again() {
    let test = StepContext::test();
    let sync = |n: u32| {
        assert!(n > 1, "{n} is too small");
        async move { Done::Ok(n) }
    };
    let later = |_: StepContext| async {
        tokio::task::yield_now().await;
        if true {
            panic!("plain");
        }
        Done::Ok(())
    };
    let before = failure(&StepContext::test().input(&1), sync).await;
    assert_eq!(
        before.error.as_str(),
        r#"{"message":"1 is too small","name":"Panic"}"#
    );
    let after = failure(&test, later).await;
    assert_eq!(
        after.error.as_str(),
        r#"{"message":"plain","name":"Panic"}"#
    );
    assert!(!before.last && !after.last);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_has_failed() {
    let test = StepContext::test();
    let slow = |_: StepContext| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Done::Ok(1)
    };
    let limit = Duration::from_secs(5);
    let late = failure(&test, slow.into_step().timeout(limit)).await;
    let error: Value = late.error.parse().unwrap();
    assert_eq!(error["name"], "TimeoutError");
    assert!(error["message"].as_str().unwrap().contains("5s"));
    assert!(!late.last);
    let done = call(&test, slow.into_step().timeout(limit * 3)).await;
    assert_eq!(done.outcome, Outcome::Success(Data::of(&1).unwrap()));
}

#[tokio::test]
async fn a_cancelled_step_is_told_and_gives_up() {
    let test = StepContext::test();
    let wait = |ctx: StepContext| async move {
        ctx.cancelled().await;
        assert!(ctx.is_cancelled());
        Err::<(), _>(StepError::cancelled())
    };
    assert!(!test.context().is_cancelled());
    let (completion, ()) = tokio::join!(call(&test, wait), async { test.cancel() });
    assert_eq!(completion.outcome, Outcome::Canceled);
}

#[tokio::test]
async fn what_is_set_of_the_state_comes_with_any_outcome() {
    let set = |ctx: StepContext| async move {
        ctx.set_state(&json!({ "a": 1, "b": { "c": 1 } }))?;
        ctx.set_state(&json!({ "b": { "d": 2 } }))?;
        match ctx.attempt() {
            0 => Ok(()),
            1 => Err(ctx.suspend(&())),
            2 => Err(ctx.bail(&())),
            _ => Err(StepError::fail("Error", "no")),
        }
    };
    for attempt in 0..4 {
        let completion = call(&StepContext::test().attempt(attempt), set).await;
        let state = completion.state.unwrap();
        assert_eq!(state.as_str(), r#"{"a":1,"b":{"d":2}}"#, "{attempt}");
    }
    let none = call(&StepContext::test(), |_: StepContext| async {
        Done::Ok(())
    })
    .await;
    assert_eq!(none.state, None);
    let error = StepContext::test().context().set_state(&1).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_value_without_json_is_a_failure() {
    let keys = || BTreeMap::from([((1, 2), 3)]);
    let test = StepContext::test();
    let output = failure(&test, move |_: StepContext| async move { Done::Ok(keys()) }).await;
    let payload = move |ctx: StepContext| async move { Err::<(), _>(ctx.suspend(&keys())) };
    let payload = failure(&test, payload).await;
    assert!(!output.last, "{output:?}");
    let error: Value = payload.error.parse().unwrap();
    assert_eq!(
        error["code"],
        "WORKFLOW_STEP_SUSPEND_DATA_VALIDATION_FAILED"
    );
    assert!(payload.last);
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    by: BTreeMap<String, Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    count: u8,
    #[serde(default)]
    name: Option<String>,
}

#[test]
fn a_misfit_says_where() {
    for (input, path) in [
        (r#"{"lines":[{"count":1},{"count":-1}]}"#, "lines.1.count"),
        (r#"{"lines":[{"count":1},{"count":"x"}]}"#, "lines.1.count"),
        (r#"{"lines":[{"count":1,"name":7}]}"#, "lines.0.name"),
        (
            r#"{"lines":[{"count":1,"name":7},{"count":1}]}"#,
            "lines.0.name",
        ),
        (r#"{"lines":[{"count":1},{}]}"#, "lines.1"),
        (r#"{"lines":[{},{"count":1}]}"#, "lines.0"),
        (r#"{"lines":[[],1]}"#, "lines.0"),
        (
            "{\n  \"lines\": [\n    { \"count\": 300 }\n  ]\n}",
            "lines.0.count",
        ),
        (r#"{"by":{"a\"b":{"count":{}}}}"#, r#"by.a"b.count"#),
        (r#"{"by":{"é,]":{"count":[1]}}}"#, "by.é,].count"),
        (r#"{"lines":null}"#, "lines"),
        (r#""text""#, ""),
        ("7", ""),
    ] {
        let error = serde_json::from_str::<Order>(input).unwrap_err();
        let found = misfit::describe(input, &error);
        assert!(found.starts_with(&format!("{path}: ")), "{input}: {found}");
        assert!(!found.contains("at line"), "{found}");
    }
}

#[tokio::test]
async fn input_that_does_not_fit_is_the_failure_of_the_reference() {
    let take = |order: Order| async move { Done::Ok(order.lines.len()) };
    let test = StepContext::test().input(&json!({ "lines": [{ "count": true }] }));
    let failure = failure(&test, take).await;
    let error: Value = failure.error.parse().unwrap();
    let expected = "Step input validation failed: \n- lines.0.count: invalid type: boolean `true`, expected u8";
    assert_eq!(error["message"], expected);
    assert_eq!(error["code"], "WORKFLOW_STEP_INPUT_VALIDATION_FAILED");
    assert!(failure.last);
}

proptest! {
    /// Whatever the input is, a step ends with an outcome, and a misfit is described.
    #[test]
    fn no_input_breaks_a_step(input in "[\\[\\]{}\",:0-9a-z\\\\ \n]{0,40}") {
        if let Err(error) = serde_json::from_str::<Order>(&input) {
            let _ = misfit::describe(&input, &error);
        }
    }

    /// Wherever a number stands in an array of objects, a wrong one is found there.
    #[test]
    fn a_misfit_is_found_wherever_it_is(count in 1_usize..20, wrong in 0_usize..20) {
        let wrong = wrong % count;
        let lines: Vec<_> = (0..count)
            .map(|i| json!({ "count": if i == wrong { -1 } else { 1 }, "name": "]},\"" }))
            .collect();
        let input = json!({ "lines": lines }).to_string();
        let error = serde_json::from_str::<Order>(&input).unwrap_err();
        let found = misfit::describe(&input, &error);
        let expected = format!("lines.{wrong}.count: ");
        prop_assert!(found.starts_with(&expected), "{}", found);
    }
}
