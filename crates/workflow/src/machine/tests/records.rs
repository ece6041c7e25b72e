//! What a run knows of a step, and when that was.

use std::time::Duration;

use bowline_events::Timestamp;
use serde_json::{Value, json};

use super::build::{foreach, retried, sleep, step, then};
use super::run::{Run, value};
use crate::definition::Entry;
use crate::machine::{At, Fact, Spot};
use crate::{Resume, RetryPolicy, StepResult};

fn record(run: &Run, step: &str) -> StepResult {
    let steps = run.machine.steps();
    let found = steps.into_iter().find(|(id, _)| id == step);
    found.unwrap().1
}

/// The instants of a record: when it began, ended, was suspended, was resumed.
fn times(run: &Run, step: &str) -> [Option<Timestamp>; 4] {
    let record = record(run, step);
    [
        record.started_at,
        record.ended_at,
        record.suspended_at,
        record.resumed_at,
    ]
}

#[test]
fn a_record_says_when_the_last_attempt_began_and_how_it_went_on() {
    let pausing = RetryPolicy::times(2).delay(Duration::from_secs(60));
    let mut run = Run::of([Entry::Step(retried("a", pausing)), then("b")], json!(1));
    let begun = run.now();
    assert_eq!(times(&run, "a"), [Some(begun), None, None, None]);

    run.fail("a");
    // While it pauses it is the attempt before that began last.
    assert_eq!(times(&run, "a"), [Some(begun), None, None, None]);
    let at = run.at();
    let spot = Spot::new(0, 0, None);
    run.apply(&Fact::Woke { at, spot });
    let again = run.now();
    assert_eq!(times(&run, "a"), [Some(again), None, None, None]);

    run.suspend("a");
    let suspended = run.now();
    assert_eq!(times(&run, "a"), [Some(again), None, Some(suspended), None]);
    run.resume(&Resume::with(&json!("go on")).unwrap());
    let resumed = run.now();
    assert_eq!(times(&run, "a"), [Some(resumed), None, None, Some(resumed)]);
    run.succeed("a", json!(2));
    let ended = run.now();
    assert_eq!(
        times(&run, "a"),
        [Some(resumed), Some(ended), None, Some(resumed)]
    );
    assert_eq!(times(&run, "b"), [Some(ended), None, None, None]);
}

#[test]
fn a_record_of_an_attempt_that_is_made_at_once_begins_with_it() {
    let mut run = Run::of([Entry::Step(retried("a", RetryPolicy::times(1)))], json!(1));
    run.fail("a");
    assert_eq!(times(&run, "a"), [Some(run.now()), None, None, None]);
    run.fail("a");
    let record = record(&run, "a");
    assert_eq!(record.ended_at, Some(run.now()));
    assert_eq!(
        value(&record.error.unwrap()),
        json!({ "message": "a", "name": "Error" })
    );
}

#[test]
fn a_sleep_lasts_from_its_beginning_to_its_end() {
    let mut run = Run::of([sleep("s", 5_000)], json!({ "n": 1 }));
    let begun = run.now();
    assert_eq!(run.waits(), [(Spot::new(0, 0, None), 5_000)]);
    let (at, spot) = (run.at(), Spot::new(0, 0, None));
    run.apply(&Fact::Woke { at, spot });
    assert_eq!(times(&run, "s"), [Some(begun), Some(run.now()), None, None]);
    assert_eq!(run.result(), Some(json!({ "n": 1 })));
}

#[test]
fn an_array_that_waits_has_the_payload_of_the_first_and_the_labels_of_all() {
    let mut run = Run::of([foreach(step("e"), 3)], json!([1, 2, 3]));
    run.suspend("e[2]");
    run.succeed("e[0]", json!(1));
    run.suspend("e[1]");
    let record = record(&run, "e");
    let label = |index: u32| json!({ "stepId": "e", "foreachIndex": index });
    let expected = json!({
        "step": "e[1]",
        "__workflow_meta": {
            "runId": "run",
            "path": ["e"],
            "resumeLabels": { "label of e[1]": label(1), "label of e[2]": label(2) },
        },
    });
    assert_eq!(value(&record.suspend_payload.unwrap()), expected);
    assert_eq!(record.status.as_str(), "suspended");
    assert_eq!(record.payload.as_ref().map(value), Some(json!([1, 2, 3])));
}

#[test]
fn a_payload_keeps_its_members_whatever_it_is() {
    let meta = json!({ "runId": "run", "path": ["ask"] });
    let cases = [
        (json!(null), json!({})),
        (json!({}), json!({})),
        (json!({ "q": 1 }), json!({ "q": 1 })),
        (json!("why"), json!({ "value": "why" })),
        (json!([1]), json!({ "value": [1] })),
    ];
    for (payload, mut expected) in cases {
        let mut run = Run::of([then("ask")], json!(1));
        run.suspend_with("ask", payload.clone());
        expected["__workflow_meta"] = meta.clone();
        let shown = record(&run, "ask").suspend_payload.unwrap();
        assert_eq!(value(&shown), expected, "{payload}");
        // The step itself gets what it gave.
        run.resume(&Resume::with(&Value::Null).unwrap());
        let with = run.machine.view(Spot::new(0, 0, None)).suspended_with;
        assert_eq!(value(&with.unwrap()), payload);
    }
}

#[test]
fn an_instant_before_the_first_is_no_problem() {
    let mut run = Run::of([sleep("s", u64::MAX), then("a")], json!(1));
    let at = At(Timestamp::from_millis(i64::MIN));
    run.apply(&Fact::Woke {
        at,
        spot: Spot::new(0, 0, None),
    });
    run.succeed("a", json!(1));
    assert_eq!(record(&run, "s").ended_at, Some(at.0));
}
