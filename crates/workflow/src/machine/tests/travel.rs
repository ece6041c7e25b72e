//! Beginning again at a step of before.

use serde_json::{Value, json};

use super::build::{branch, foreach, nested, parallel, repeat, sleep, step, then, workflow};
use super::run::{Run, value};
use crate::RunStatus;
use crate::definition::{Entry, LoopKind};
use crate::machine::{Fact, Travel};

fn to(step: &str) -> Travel {
    let step = step.split('.').map(str::to_owned).collect();
    Travel {
        step,
        ..Travel::default()
    }
}

fn travel(run: &mut Run, travel: Travel) {
    let at = run.at();
    assert_eq!(run.machine.travel_problem(&travel), None);
    run.apply(&Fact::Traveled { at, travel });
}

/// Every step that runs, with its input.
fn inputs(run: &Run) -> Vec<(String, Value)> {
    let outstanding = run.machine.outstanding().into_iter();
    let spots = outstanding.filter_map(|command| super::model::spot_of(&command));
    let inputs = spots.map(|spot| value(&run.machine.view(spot).input));
    run.runs().into_iter().zip(inputs).collect()
}

/// `a`, then `p` and a nested `i` of `x` and `y`, then `b`: all done, each returning its name.
fn done() -> Run {
    let inner = nested(workflow("i", [then("x"), sleep("z", 1), then("y")]));
    let mut run = Run::of(
        [then("a"), parallel([step("p"), inner]), then("b")],
        json!("input"),
    );
    for step in ["a", "p", "i.x"] {
        run.succeed(step, json!(step));
    }
    let (at, spot) = (run.at(), run.waits()[0].0);
    run.apply(&Fact::Woke { at, spot });
    for step in ["i.y", "b"] {
        run.succeed(step, json!(step));
    }
    run.told();
    run
}

#[test]
fn a_run_begins_again_with_what_was_returned_before() {
    let joined = json!({ "p": "p", "i": "i.y" });
    let given = |step: &str| Travel {
        input: Some(Value::Null.into()),
        ..to(step)
    };
    let cases = [
        (to("a"), vec![("a", json!("input"))]),
        (to("b"), vec![("b", joined)]),
        (to("p"), vec![("p", json!("a"))]),
        (to("i"), vec![("i.x", json!("a"))]),
        (to("i.x"), vec![("i.x", json!("a"))]),
        (to("i.y"), vec![("i.y", json!("i.x"))]),
        // Null is an input like any other.
        (given("a"), vec![("a", Value::Null)]),
        (given("i.y"), vec![("i.y", Value::Null)]),
    ];
    for (way, expected) in cases {
        let mut run = done();
        travel(&mut run, way.clone());
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(id, input)| (id.to_owned(), input))
            .collect();
        assert_eq!(inputs(&run), expected, "{way:?}");
        assert_eq!((run.status(), run.result()), (RunStatus::Running, None));
    }
}

#[test]
fn what_comes_after_is_done_again_and_the_result_is_another_one() {
    let mut run = done();
    travel(&mut run, to("i.y"));
    assert_eq!(
        run.told(),
        ["start", "run.i.2 start", "run.i.2 step-start y running"]
    );
    run.succeed("i.y", json!("again"));
    assert_eq!(
        inputs(&run),
        [("b".to_owned(), json!({ "p": "p", "i": "again" }))]
    );
    run.succeed("b", json!("end"));
    assert_eq!(
        (run.status(), run.result()),
        (RunStatus::Success, Some(json!("end")))
    );
    let all = ["a", "p", "i", "i.x", "i.z", "i.y", "b"].map(|id| format!("{id} success"));
    assert_eq!(run.steps(), all);
}

#[test]
fn outputs_and_a_state_can_be_given() {
    let mut run = Run::of([then("a"), then("b"), then("c")], json!(1));
    run.fail("a");
    let way = Travel {
        outputs: vec![
            ("a".into(), json!("given a").into()),
            ("b".into(), json!("given b").into()),
        ],
        state: Some(json!({ "s": 1 }).into()),
        resume: Some(json!("data").into()),
        ..to("c")
    };
    travel(&mut run, way);
    assert_eq!(inputs(&run), [("c".to_owned(), json!("given b"))]);
    let view = run.machine.view(crate::machine::Spot::new(0, 2, None));
    assert_eq!(value(&view.state), json!({ "s": 1 }));
    assert_eq!(value(&view.resume.unwrap()), json!("data"));
    assert_eq!(
        view.outputs.get(0).map(|output| value(&output)),
        Some(json!("given a"))
    );
}

#[test]
fn branches_beside_the_target_stay_if_they_were_done() {
    let mut run = Run::of([branch([step("a"), step("b"), step("c")])], json!(1));
    let (at, spot) = (run.at(), crate::machine::Spot::new(0, 0, None));
    let taken = vec![true, true, false];
    run.apply(&Fact::Decided { at, spot, taken });
    run.succeed("a", json!("a"));
    run.fail("b");
    travel(&mut run, to("a"));
    // The one that failed was taken, the one that was not is still none.
    assert_eq!(run.runs(), ["a", "b"]);
    run.succeed("b", json!("b"));
    run.succeed("a", json!("a again"));
    assert_eq!(run.result(), Some(json!({ "a": "a again", "b": "b" })));

    let mut run = Run::of([branch([step("a"), step("b")])], json!(1));
    let at = run.at();
    run.apply(&Fact::Canceled { at });
    travel(&mut run, to("b"));
    // Nobody has asked whether the other one is to be taken.
    assert_eq!(run.runs(), ["b"]);
}

#[test]
fn an_array_and_a_loop_begin_again_as_a_whole() {
    let mut run = Run::of(
        [foreach(step("e"), 1), repeat(step("l"), LoopKind::DoWhile)],
        json!([1, 2]),
    );
    run.succeed("e[0]", json!(1));
    run.fail("e[1]");
    travel(&mut run, to("e"));
    run.succeed("e[0]", json!(10));
    run.succeed("e[1]", json!(20));
    run.succeed("l", json!(1));
    let (at, spot) = (run.at(), crate::machine::Spot::new(0, 1, None));
    run.apply(&Fact::Looped {
        at,
        spot,
        again: true,
    });
    let at = run.at();
    run.apply(&Fact::Canceled { at });
    travel(&mut run, to("l"));
    assert_eq!(inputs(&run), [("l".to_owned(), json!([10, 20]))]);
    assert_eq!(run.machine.view(spot).iterations, 0);
}

#[test]
fn a_target_that_cannot_be_reached_is_refused() {
    let inner = || nested(workflow("i", [then("x"), then("y")]));
    let entries = || {
        vec![
            then("a"),
            Entry::Step(inner()),
            foreach(nested(workflow("f", [then("g")])), 1),
        ]
    };
    let failed = || {
        let mut run = Run::of(entries(), json!([1]));
        run.succeed("a", json!([1]));
        run.fail("i.x");
        run
    };
    let done = || {
        let mut run = Run::of(entries(), json!([1]));
        for step in ["a", "i.x"] {
            run.succeed(step, json!([1]));
        }
        run.succeed("i.y", json!([1]));
        run.succeed("f[0].g", json!(1));
        run
    };
    let running = || Run::of(entries(), json!(1));
    let cases = [
        (running(), "a", "the run is running; cancel it first"),
        (failed(), "q", "workflow 'w' has no step 'q'"),
        (failed(), "i.q", "workflow 'i' has no step 'q'"),
        (failed(), "a.x", "step 'a' is no nested workflow"),
        (
            failed(),
            "f",
            "step 'i' before it has no result; give one in the context",
        ),
        (
            failed(),
            "i.y",
            "step 'x' before it has no result; give one in the context",
        ),
        (
            done(),
            "f.g",
            "'f' runs for every element of an array; begin again at 'f' as a whole",
        ),
    ];
    for (mut run, step, problem) in cases {
        let expected = format!("Cannot time travel to step '{step}': {problem}");
        assert_eq!(
            run.machine.travel_problem(&to(step)),
            Some(expected.clone())
        );
        let at = run.at();
        let refused = run.try_apply(&Fact::Traveled {
            at,
            travel: to(step),
        });
        assert_eq!(refused, Err(expected));
    }
    let problem = done().machine.travel_problem(&Travel::default());
    assert_eq!(
        problem.unwrap(),
        "Cannot time travel to step '': no step is named"
    );
}

#[test]
fn a_run_can_stop_after_the_step_that_it_went_back_to() {
    let mut run = done();
    let per_step = true;
    travel(
        &mut run,
        Travel {
            per_step,
            ..to("a")
        },
    );
    run.succeed("a", json!(1));
    assert_eq!(run.status(), RunStatus::Paused);
}
