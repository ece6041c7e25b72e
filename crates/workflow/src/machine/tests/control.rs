//! Cancelling, in every state of a run; bails; states that are joined.

use std::time::Duration;

use serde_json::{Value, json};

use super::build::{
    branch, foreach, nested, parallel, repeat, retried, sleep, sleep_timed, step, then, workflow,
};
use super::run::Run;
use crate::definition::{Entry, LoopKind};
use crate::machine::{Command, Completion, Fact, Outcome, Spot};
use crate::{RetryPolicy, RunStatus};

fn cancel(run: &mut Run) -> Result<(), String> {
    let at = run.at();
    run.try_apply(&Fact::Canceled { at })
}

/// A run in each of the states in which something is waited for, by name, and its steps when it is cancelled.
fn states() -> Vec<(&'static str, Run, Vec<&'static str>)> {
    let array = || json!([1, 2, 3]);
    let inner = || nested(workflow("i", [then("x"), then("y")]));
    let paused = RetryPolicy::times(1).delay(Duration::from_secs(1));
    let mut states = vec![
        ("pending", Run::new(workflow("w", [then("a")])), vec![]),
        ("a step", Run::of([then("a")], array()), vec!["a canceled"]),
        (
            "branches",
            Run::of([parallel([step("a"), inner()])], array()),
            vec!["a canceled", "i canceled", "i.x canceled"],
        ),
        (
            "conditions",
            Run::of([branch([step("a")])], array()),
            vec![],
        ),
        (
            "an array",
            Run::of([foreach(step("e"), 2)], array()),
            vec!["e canceled"],
        ),
        (
            "a sleep",
            Run::of([sleep("s", 9)], array()),
            vec!["s canceled"],
        ),
        (
            "the end of a sleep",
            Run::of([sleep_timed("s")], array()),
            vec![],
        ),
    ];
    let mut run = Run::of([Entry::Step(retried("a", paused))], array());
    run.fail("a");
    states.push(("a pause", run, vec!["a canceled"]));
    let mut run = Run::of([repeat(step("a"), LoopKind::DoUntil)], array());
    run.succeed("a", json!(1));
    states.push(("the condition of a loop", run, vec!["a success"]));
    let mut run = Run::of([parallel([step("a"), inner()])], array());
    run.suspend("a");
    run.suspend("i.x");
    states.push((
        "suspended",
        run,
        vec!["a canceled", "i canceled", "i.x canceled"],
    ));
    let mut run = Run::new(workflow("w", [then("a"), then("b")]));
    run.begin(array(), true);
    run.succeed("a", json!(1));
    states.push(("paused", run, vec!["a success"]));
    let mut run = Run::of([parallel([step("a"), step("b")])], array());
    run.fail("a");
    states.push(("failed", run, vec!["a failed", "b canceled"]));
    states
}

#[test]
fn a_run_is_cancelled_in_every_state() {
    for (state, mut run, steps) in states() {
        let asked = run.machine.outstanding();
        run.machine.take_commands();
        run.told();
        assert_eq!(cancel(&mut run), Ok(()), "{state}");
        assert_eq!(run.status(), RunStatus::Canceled, "{state}");
        assert_eq!(run.machine.error(), None, "{state}");
        assert!(run.machine.outstanding().is_empty(), "{state}");
        assert_eq!(run.steps(), steps, "{state}");
        assert_eq!(run.told().last().unwrap(), "finish canceled", "{state}");
        let aborted: Vec<Command> = run.machine.take_commands();
        for command in asked {
            let (Command::Execute { spot, .. }
            | Command::Wake { spot, .. }
            | Command::Decide { spot }
            | Command::Test { spot }
            | Command::Time { spot }
            | Command::Measure { spot }) = command
            else {
                continue;
            };
            let abort = Command::Abort { frame: spot.frame };
            assert!(aborted.contains(&abort), "{state}: {command:?} goes on");
        }
    }
}

#[test]
fn what_ends_after_a_cancel_is_refused() {
    let mut run = Run::of([then("a"), then("b")], json!(1));
    cancel(&mut run).unwrap();
    let at = run.at();
    let late = Fact::Ended {
        at,
        spot: Spot::new(0, 0, None),
        attempt: 0,
        completion: Outcome::Success(json!(1).into()).into(),
    };
    assert_eq!(run.try_apply(&late), Err("the run is canceled".to_owned()));
    assert_eq!(run.steps(), ["a canceled"]);
}

#[test]
fn a_run_that_has_ended_well_or_is_cancelled_is_not_cancelled() {
    let mut done = Run::of([then("a")], json!(1));
    done.succeed("a", json!(1));
    let mut canceled = Run::of([then("a")], json!(1));
    cancel(&mut canceled).unwrap();
    for mut run in [done, canceled] {
        let status = run.status();
        assert_eq!(cancel(&mut run), Err("the run has ended".to_owned()));
        assert_eq!(run.status(), status);
    }
}

#[test]
fn a_bail_ends_the_workflow_that_the_step_is_in() {
    let inner = || nested(workflow("i", [then("x"), then("y")]));
    let bail = |run: &mut Run, step: &str| run.end(step, Outcome::Bailed(json!("early").into()));

    let mut run = Run::of([parallel([step("a"), inner()]), then("b")], json!(1));
    bail(&mut run, "a");
    assert_eq!(
        (run.status(), run.result()),
        (RunStatus::Success, Some(json!("early")))
    );

    let mut run = Run::of([Entry::Step(inner()), then("b")], json!(1));
    bail(&mut run, "i.x");
    assert_eq!(run.runs(), ["b"]);

    let mut run = Run::of([foreach(step("e"), 2), then("b")], json!([1, 2, 3]));
    bail(&mut run, "e[1]");
    assert_eq!(run.result(), Some(json!("early")));
    assert!(run.machine.outstanding().is_empty());
}

/// Ends a step with an output and changes of the state.
fn set(run: &mut Run, spot: Spot, outcome: Outcome, state: Value) {
    let at = run.at();
    run.apply(&Fact::Ended {
        at,
        spot,
        attempt: 0,
        completion: Completion {
            outcome,
            state: Some(state.into()),
        },
    });
}

#[test]
fn branches_see_their_own_changes_and_are_joined_in_their_order() {
    let success = || Outcome::Success(json!(1).into());
    let mut run = Run::of([parallel([step("a"), step("b")]), then("c")], json!(1));
    let spot = |k| Spot::new(0, 0, Some(k));
    set(&mut run, spot(1), success(), json!({ "who": "b", "b": 1 }));
    let seen: Value = run.machine.view(spot(0)).state.parse().unwrap();
    assert_eq!(seen, json!({}));
    set(&mut run, spot(0), success(), json!({ "who": "a" }));
    let state: Value = run.machine.state().parse().unwrap();
    assert_eq!(state, json!({ "who": "b", "b": 1 }));
}

#[test]
fn a_branch_that_bails_keeps_what_it_set() {
    let mut run = Run::of([parallel([step("a"), step("b")])], json!(1));
    let bailed = Outcome::Bailed(json!(1).into());
    set(
        &mut run,
        Spot::new(0, 0, Some(0)),
        bailed,
        json!({ "a": 1 }),
    );
    let state: Value = run.machine.state().parse().unwrap();
    assert_eq!(state, json!({ "a": 1 }));
}
