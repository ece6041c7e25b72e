//! Which suspended step is meant.

use serde_json::{Value, json};

use super::build::{foreach, nested, parallel, step, then, workflow};
use super::run::Run;
use crate::{ErrorKind, Resume};

fn resume() -> Resume {
    Resume::with(&json!({ "ok": true })).unwrap()
}

/// `ask` beside a nested workflow, whose `deep` waits, beside an array of which two iterations wait.
fn waiting() -> Run {
    let inner = nested(workflow("inner", [then("deep"), then("last")]));
    let items = nested(workflow("items", [foreach(step("each"), 3)]));
    let mut run = Run::of([parallel([step("ask"), inner, items])], json!([1, 2, 3]));
    run.suspend("ask");
    run.suspend("inner.deep");
    run.suspend("items.each[0]");
    run.succeed("items.each[1]", json!(2));
    run.suspend("items.each[2]");
    run
}

/// What runs after a resume.
fn resumed(resume: &Resume) -> Vec<String> {
    let mut run = waiting();
    run.resume(resume);
    run.runs()
}

#[test]
fn a_resume_means_what_it_names() {
    let cases: [(Resume, &[&str]); 9] = [
        (resume().step("ask"), &["ask"]),
        // As the reference lists a step of its own.
        (resume().path(["ask", "ask"]), &["ask"]),
        (resume().step("inner.deep"), &["inner.deep"]),
        (resume().path(["inner", "deep"]), &["inner.deep"]),
        // The first that waits there.
        (resume().step("inner"), &["inner.deep"]),
        // As many as may run at once, all with the same data.
        (
            resume().step("items.each"),
            &["items.each[0]", "items.each[2]"],
        ),
        (resume().step("items.each").index(2), &["items.each[2]"]),
        (resume().label("label of inner.deep"), &["inner.deep"]),
        // A label wins over a step.
        (
            resume().step("ask").label("label of items.each[2]"),
            &["items.each[2]"],
        ),
    ];
    for (resume, expected) in cases {
        assert_eq!(resumed(&resume), expected, "{resume:?}");
    }
}

#[test]
fn the_only_suspended_step_need_not_be_named() {
    let mut run = Run::of([then("ask"), then("last")], json!(1));
    run.suspend("ask");
    run.resume(&resume());
    assert_eq!(run.runs(), ["ask"]);

    let mut run = Run::of([foreach(step("each"), 2)], json!([1, 2, 3]));
    for k in 0..3 {
        run.suspend(&format!("each[{k}]"));
    }
    run.resume(&resume());
    assert_eq!(run.runs(), ["each[0]", "each[1]"]);
}

#[test]
fn a_resume_that_means_nothing_says_what_there_is() {
    let available = "ask, inner.deep, items.each";
    let labels =
        "label of ask, label of inner.deep, label of items.each[0], label of items.each[2]";
    let cases = [
        (
            resume(),
            ErrorKind::InvalidInput,
            "Multiple suspended steps found: [ask], [inner.deep], [items.each]. Please specify which step to resume".to_owned(),
        ),
        (
            resume().step("last"),
            ErrorKind::NotFound,
            format!(
                r#"This workflow step "last" was not suspended. Available suspended steps: [{available}]"#
            ),
        ),
        (
            resume().step("items.each").index(1),
            ErrorKind::NotFound,
            format!(
                r#"Iteration 1 of "items.each" was not suspended. Available suspended steps: [{available}]"#
            ),
        ),
        (
            resume().label("x"),
            ErrorKind::NotFound,
            format!(r#"Resume label "x" not found. Available labels: [{labels}]"#),
        ),
    ];
    for (resume, kind, message) in cases {
        let error = waiting().machine.select(&resume).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message.as_str()));
        assert_eq!(error.subject(), Some("run"));
    }
}

#[test]
fn only_a_suspended_run_is_resumed() {
    let mut runs = vec![Run::new(workflow("w", [then("a")]))];
    runs.push(Run::of([then("a")], json!(1)));
    let mut ended = Run::of([then("a")], json!(1));
    ended.succeed("a", json!(1));
    runs.push(ended);
    for run in runs {
        let error = run.machine.select(&resume()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState);
        let expected = format!(
            "This workflow run was not suspended; it is {}",
            run.status()
        );
        assert_eq!(error.message(), expected);
    }
}

#[test]
fn a_step_is_resumed_with_its_input_and_with_what_it_waited_with() {
    let mut run = Run::of([then("a"), then("ask")], json!(1));
    run.succeed("a", json!({ "n": 2 }));
    run.suspend("ask");
    run.resume(&resume());
    let spot = crate::machine::Spot::new(0, 1, None);
    let view = run.machine.view(spot);
    let seen = |data: &crate::Data| -> Value { data.parse().unwrap() };
    assert_eq!(seen(&view.input), json!({ "n": 2 }));
    assert_eq!(seen(&view.resume.unwrap()), json!({ "ok": true }));
    assert_eq!(
        seen(&view.suspended_with.unwrap()),
        json!({ "step": "ask" })
    );
}

#[test]
fn one_of_several_is_resumed_and_the_rest_goes_on_waiting() {
    let mut run = waiting();
    run.told();
    run.resume(&resume().step("items.each").index(0));
    run.succeed("items.each[0]", json!(1));
    assert_eq!(run.status(), crate::RunStatus::Suspended);
    let nested = "run.items.2";
    assert_eq!(
        run.told(),
        [
            "start".to_owned(),
            format!("{nested} start"),
            format!("{nested} step-progress each success"),
            "step-suspended items suspended".to_owned(),
        ]
    );
    let steps = run.machine.steps();
    let each = steps.iter().find(|(id, _)| id == "items.each").unwrap();
    let payload: Value = each.1.suspend_payload.clone().unwrap().parse().unwrap();
    let meta = json!({
        "runId": nested,
        "path": ["each"],
        "resumeLabels": { "label of items.each[2]": { "stepId": "each", "foreachIndex": 2 } },
    });
    assert_eq!(
        payload,
        json!({ "step": "items.each[2]", "__workflow_meta": meta })
    );
}
