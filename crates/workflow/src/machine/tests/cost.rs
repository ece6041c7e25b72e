//! Large runs: nothing nests as deep as an array is long, and late steps cost what early ones do.

use serde_json::{Value, json};

use super::build::{foreach, nested, step, then, workflow};
use super::run::Run;
use crate::RunStatus;
use crate::machine::{Command, Fact, Outcome, Spot};

/// Answers every command of a run with success, and counts them.
fn finish(run: &mut Run) -> usize {
    let mut answered = 0;
    loop {
        let commands = run.machine.take_commands();
        if commands.is_empty() {
            return answered;
        }
        for command in commands {
            let Command::Execute { spot, attempt } = command else {
                continue;
            };
            let at = run.at();
            run.apply(&Fact::Ended {
                at,
                spot,
                attempt,
                completion: Outcome::Success(json!(answered).into()).into(),
            });
            answered += 1;
        }
        run.told();
    }
}

#[test]
fn iterations_that_end_at_once_do_not_nest() {
    const MANY: usize = 20_000;
    for width in [1, 3, MANY] {
        let body = nested(workflow("pages", [foreach(step("page"), 1)]));
        let mut run = Run::of([foreach(body, width)], vec![json!([]); MANY].into());
        assert_eq!(run.status(), RunStatus::Success);
        assert_eq!(run.result(), Some(vec![json!([]); MANY].into()));
        assert_eq!(finish(&mut run), 0);
    }
}

#[test]
fn a_long_workflow_and_a_long_array_are_run_to_their_ends() {
    const MANY: usize = 10_000;
    let mut run = Run::of((0..MANY).map(|i| then(format!("s{i}"))), json!(0));
    assert_eq!(finish(&mut run), MANY);
    assert_eq!(run.result(), Some(json!(MANY - 1)));

    let items: Value = (0..MANY).collect::<Vec<_>>().into();
    let mut run = Run::of([foreach(step("e"), 10)], items.clone());
    assert_eq!(finish(&mut run), MANY);
    assert_eq!(run.result(), Some(items));
}

#[test]
fn as_many_iterations_run_as_may_at_once() {
    let mut run = Run::of([foreach(step("e"), 3)], vec![json!(1); 7].into());
    let mut most = 0;
    while let Some(first) = run.next() {
        most = most.max(run.runs().len());
        run.succeed(&first, json!(1));
    }
    assert_eq!(most, 3);
    let done = run.machine.frames[0].result(0).unwrap();
    assert_eq!(done.status.as_str(), "success");
    let late = Spot::new(0, 0, Some(0));
    assert!(run.machine.frame(late).is_err());
}
