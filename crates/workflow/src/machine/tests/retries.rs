//! Attempts, crashes, and failed runs that are tried again.

use std::time::Duration;

use serde_json::json;

use super::build::{
    foreach, nested, parallel, repeat, retried, retrying, sleep, step, then, workflow,
};
use super::run::Run;
use crate::definition::{Entry, LoopKind, Options};
use crate::machine::{Fact, Failure, Outcome, Spot};
use crate::{Data, Resume, RetryPolicy, RunStatus, Workflow};

fn times(attempts: u32) -> RetryPolicy {
    RetryPolicy::times(attempts)
}

/// How often the step that runs fails until it is not tried again.
fn attempts(mut run: Run) -> usize {
    let mut attempts = 0;
    while let Some(name) = run.next() {
        attempts += 1;
        run.fail(&name);
    }
    assert_eq!(run.status(), RunStatus::Failed);
    attempts
}

#[test]
fn a_step_is_tried_as_often_as_it_says_or_else_its_workflow() {
    let own = || Entry::Step(retried("a", times(1)));
    let cases = [
        (workflow("w", [then("a")]), 1),
        (workflow("w", [own()]), 2),
        (retrying("w", [then("a")], times(3)), 4),
        (retrying("w", [own()], times(3)), 2),
        (
            retrying(
                "w",
                [Entry::Step(nested(workflow("i", [then("a")])))],
                times(3),
            ),
            1,
        ),
    ];
    for (workflow, expected) in cases {
        let mut run = Run::new(workflow);
        run.begin(json!(1), false);
        assert_eq!(attempts(run), expected);
    }
}

#[test]
fn a_failure_that_is_the_last_ends_the_run() {
    let mut run = Run::of([Entry::Step(retried("a", times(5)))], json!(1));
    run.end("a", Outcome::Failed(Failure::new("Error", "no").last()));
    assert_eq!(run.status(), RunStatus::Failed);
    assert_eq!(run.runs(), [""; 0]);
}

#[test]
fn a_tripwire_gives_the_run_its_status() {
    let mut run = Run::of([then("a")], json!(1));
    let mut failure = Failure::new("Error", "no").last();
    failure.tripwire = Some(json!({ "reason": "no" }).into());
    run.end("a", Outcome::Failed(failure));
    assert_eq!(run.status(), RunStatus::Tripwire);
    assert_eq!(
        run.machine.tripwire().map(Data::as_str),
        Some(r#"{"reason":"no"}"#)
    );
    assert_eq!(run.told().last().unwrap(), "finish tripwire");
}

#[test]
fn pauses_are_waited_for_one_after_the_other() {
    let policy = times(3).delay(Duration::from_millis(100)).backoff(3);
    let mut run = Run::of([Entry::Step(retried("a", policy))], json!(1));
    for pause in [100, 300, 900] {
        run.fail("a");
        assert_eq!(run.runs(), [""; 0]);
        let [(spot, millis)] = run.waits()[..] else {
            panic!("{:?}", run.waits());
        };
        assert_eq!(millis, pause);
        let at = run.at();
        run.apply(&Fact::Woke { at, spot });
    }
    assert_eq!(run.runs(), ["a#3"]);
}

#[test]
fn every_iteration_of_a_loop_has_all_its_attempts() {
    let body = retried("a", times(1));
    let mut run = Run::of([repeat(body, LoopKind::DoWhile)], json!(1));
    for _ in 0..3 {
        assert_eq!(run.runs(), ["a"]);
        run.fail("a");
        assert_eq!(run.runs(), ["a#1"]);
        run.succeed("a", json!(1));
        let (at, spot, again) = (run.at(), Spot::new(0, 0, None), true);
        run.apply(&Fact::Looped { at, spot, again });
    }
}

#[test]
fn a_resumed_step_that_fails_keeps_what_it_was_resumed_with() {
    let mut run = Run::of([Entry::Step(retried("ask", times(1)))], json!(1));
    run.suspend("ask");
    run.resume(&Resume::with(&json!("yes")).unwrap());
    run.fail("ask");
    assert_eq!(run.runs(), ["ask#1"]);
    let view = run.machine.view(Spot::new(0, 0, None));
    assert_eq!(view.resume.unwrap().as_str(), r#""yes""#);
}

#[test]
fn a_step_that_kills_its_process_too_often_fails() {
    let options = Options {
        max_crashes: 2,
        ..Options::default()
    };
    let entries = vec![Entry::Step(retried("a", times(9)))];
    let workflow = Workflow::new("w".into(), entries, times(9), options).unwrap();
    let mut run = Run::new(workflow);
    run.begin(json!(1), false);
    for _ in 0..2 {
        let at = run.at();
        run.apply(&Fact::Recovered { at });
        assert_eq!(run.runs(), ["a"]);
    }
    let at = run.at();
    run.apply(&Fact::Recovered { at });
    assert_eq!(run.status(), RunStatus::Failed);
    let error: serde_json::Value = run.machine.error().unwrap().parse().unwrap();
    assert_eq!(error["name"], "CrashLoopError");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("died 3 times") && message.contains("limit is 2 (max_crashes)"),
        "{message}"
    );
}

/// A failed run: how it came to fail, what runs when it is tried again, and what is done then.
struct Case {
    entries: Vec<Entry>,
    /// Steps that succeed, and then the one that fails.
    before: &'static [&'static str],
    fails: &'static str,
    again: &'static [&'static str],
}

#[test]
fn a_failed_run_tries_again_what_failed_and_nothing_that_was_done() {
    let inner = || nested(workflow("i", [then("x"), then("y")]));
    let cases = [
        Case {
            entries: vec![then("a"), then("b"), then("c")],
            before: &["a"],
            fails: "b",
            again: &["b"],
        },
        Case {
            entries: vec![parallel([step("a"), step("b"), step("c")])],
            before: &["a"],
            fails: "b",
            // What ran beside it was given up.
            again: &["b", "c"],
        },
        Case {
            entries: vec![foreach(step("e"), 2)],
            before: &["e[0]"],
            fails: "e[1]",
            again: &["e[1]", "e[2]"],
        },
        Case {
            entries: vec![Entry::Step(inner())],
            before: &["i.x"],
            fails: "i.y",
            again: &["i.y"],
        },
        Case {
            entries: vec![parallel([inner(), step("b")])],
            before: &["i.x"],
            fails: "b",
            again: &["i.y", "b"],
        },
        Case {
            entries: vec![foreach(inner(), 1)],
            before: &["i[0].x", "i[0].y", "i[1].x"],
            fails: "i[1].y",
            again: &["i[1].y"],
        },
    ];
    for case in cases {
        let mut run = Run::of(case.entries, json!([1, 2, 3]));
        for step in case.before {
            run.succeed(step, json!(1));
        }
        run.fail(case.fails);
        assert_eq!(run.status(), RunStatus::Failed, "{}", case.fails);
        assert_eq!(run.runs(), [""; 0]);
        let at = run.at();
        run.apply(&Fact::Retried { at });
        assert_eq!(run.runs(), case.again, "{}", case.fails);
        while let Some(step) = run.next() {
            run.succeed(&step, json!(2));
        }
        assert_eq!(run.status(), RunStatus::Success, "{}", case.fails);
        for (id, record) in run.machine.steps() {
            assert_eq!(
                (record.error, record.status.as_str()),
                (None, "success"),
                "{id}"
            );
        }
    }
}

#[test]
fn a_failed_run_that_is_tried_again_has_all_its_attempts_again() {
    let mut run = Run::of([Entry::Step(retried("a", times(1)))], json!(1));
    run.fail("a");
    run.fail("a");
    let at = run.at();
    run.apply(&Fact::Retried { at });
    assert_eq!(attempts(run), 2);
}

#[test]
fn a_run_that_was_broken_off_goes_on_where_it_was() {
    let broke = |mut run: Run| {
        let (at, before) = (run.at(), run.machine.outstanding());
        let status = run.status();
        run.apply(&Fact::Broke {
            at,
            error: json!({ "message": "no store" }).into(),
        });
        assert_eq!(run.status(), RunStatus::Failed);
        assert!(run.machine.outstanding().is_empty());
        let at = run.at();
        run.apply(&Fact::Retried { at });
        assert_eq!((run.status(), run.machine.outstanding()), (status, before));
    };
    broke(Run::of([then("a")], json!(1)));
    broke(Run::of([sleep("s", 5_000), then("a")], json!(1)));
    let mut run = Run::of([parallel([step("a"), step("b")])], json!(1));
    run.suspend("a");
    run.succeed("b", json!(1));
    broke(run);

    let mut run = Run::new(workflow("w", [then("a")]));
    let at = run.at();
    run.apply(&Fact::Broke {
        at,
        error: Data::null(),
    });
    let refused = run.try_apply(&Fact::Retried { at });
    assert_eq!(refused, Err("the run has never begun".to_owned()));
}
