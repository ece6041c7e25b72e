//! Runs that stop after every entry.

use serde_json::json;

use super::build::{foreach, nested, parallel, sleep, step, then, workflow};
use super::run::Run;
use crate::definition::Entry;
use crate::machine::Fact;
use crate::{Resume, RunStatus};

fn stepwise(entries: Vec<Entry>) -> Run {
    let mut run = Run::new(workflow("w", entries));
    run.begin(json!([1, 2]), true);
    run
}

fn go_on(run: &mut Run, per_step: bool) {
    let at = run.at();
    run.apply(&Fact::Continued { at, per_step });
}

#[test]
fn a_run_pauses_after_every_entry_but_the_last() {
    let inner = nested(workflow("i", [then("x"), then("y")]));
    let mut run = stepwise(vec![
        foreach(step("e"), 1),
        parallel([step("a"), step("b")]),
        Entry::Step(inner),
        sleep("s", 10),
        then("last"),
    ]);
    let entries: [&[&str]; 3] = [&["e[0]", "e[1]"], &["a", "b"], &["i.x", "i.y"]];
    for steps in entries {
        for step in steps {
            assert_eq!(run.status(), RunStatus::Running);
            run.succeed(step, json!(1));
        }
        assert_eq!(run.status(), RunStatus::Paused, "after {steps:?}");
        assert!(run.machine.outstanding().is_empty());
        go_on(&mut run, true);
    }
    let (at, spot) = (run.at(), run.waits()[0].0);
    run.apply(&Fact::Woke { at, spot });
    assert_eq!(run.status(), RunStatus::Paused);
    go_on(&mut run, true);
    run.succeed("last", json!("done"));
    assert_eq!(
        (run.status(), run.result()),
        (RunStatus::Success, Some(json!("done")))
    );
}

#[test]
fn an_empty_array_is_an_entry_too() {
    let mut run = Run::new(workflow("w", [foreach(step("e"), 1), then("a")]));
    run.begin(json!([]), true);
    assert_eq!(run.status(), RunStatus::Paused);
    assert_eq!(run.told(), ["start", "paused", "finish paused"]);
    go_on(&mut run, false);
    assert_eq!(run.runs(), ["a"]);
}

#[test]
fn a_paused_run_goes_on_to_the_end_if_it_is_told_so() {
    let mut run = stepwise(vec![then("a"), then("b"), then("c")]);
    run.succeed("a", json!(1));
    go_on(&mut run, false);
    run.succeed("b", json!(2));
    run.succeed("c", json!(3));
    assert_eq!(run.result(), Some(json!(3)));
}

#[test]
fn a_resumed_run_stops_after_its_entry_if_it_is_told_so() {
    for per_step in [false, true] {
        let mut run = Run::of([then("ask"), then("b")], json!(1));
        run.suspend("ask");
        run.resume(&Resume::default().per_step(per_step));
        run.succeed("ask", json!(1));
        let expected = if per_step {
            RunStatus::Paused
        } else {
            RunStatus::Running
        };
        assert_eq!(run.status(), expected);
    }
}

#[test]
fn only_a_paused_run_is_continued() {
    let mut run = Run::of([then("a")], json!(1));
    let at = run.at();
    let refused = run.try_apply(&Fact::Continued { at, per_step: true });
    assert_eq!(refused, Err("the run is not paused".to_owned()));
    assert_eq!(run.runs(), ["a"]);
}
