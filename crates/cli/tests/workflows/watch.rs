//! Watching runs, with the bus of the workers and without.

use std::process::Command;

use bowline_workflow::RunStatus;
use serde_json::{Value, json};

use crate::house::House;
use crate::support::Running;

fn watch(house: &House, args: &[&str]) -> Command {
    let all = ["runs", "watch", "--store", "sqlite:app.db", "--json"];
    house.scratch.command(all.iter().chain(args))
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// The types of the events from the first to the last, each of which has the index after the one before.
fn kinds(events: &[Value], first: u64) -> Vec<String> {
    let kept = events.iter().filter(|event| event["index"].is_u64());
    for (index, event) in (first..).zip(kept) {
        assert_eq!(event["index"], index);
    }
    let kind = |event: &Value| event["event"]["type"].as_str().unwrap().to_owned();
    events.iter().map(kind).collect()
}

/// What happens in a run of `chatty` until it halts.
const HALF: [&str; 3] = [
    "workflow-start",
    "workflow-step-start",
    "workflow-step-suspended",
];

/// A watch of a suspended run that is then resumed: its events.
fn through_a_resume(house: &House, bus: &[&str]) -> Vec<Value> {
    house.start("chatty", "c1", &json!(1));
    let watch = Running::new(watch(house, &[&["c1"], bus].concat()));
    let mut events: Vec<Value> = HALF.iter().map(|_| parse(&watch.line())).collect();
    watch.wait_for_note("suspended and waits for talk");
    let done = house.run(&["runs", "resume", "c1", "--data", "\"hi\""]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let (code, rest) = watch.wait();
    assert_eq!(code, Some(0));
    events.extend(rest.iter().map(|line| parse(line)));
    events
}

#[test]
fn a_watch_needs_no_bus() {
    let house = House::new();
    let events = through_a_resume(&house, &[]);
    let seen = kinds(&events, 0);
    assert_eq!(seen[..3], HALF);
    assert_eq!(seen[3], "workflow-start");
    assert_eq!(seen.last().unwrap(), "workflow-finish");
    assert!(!seen.iter().any(|kind| kind == "workflow-step-output"));
    let finish = events.last().unwrap();
    assert_eq!(finish["event"]["payload"]["workflowStatus"], "success");
    assert_eq!(finish["runId"], "c1");
    // Who comes late gets the same.
    let (code, lines) = Running::new(watch(&house, &["c1"])).wait();
    let late: Vec<Value> = lines.iter().map(|line| parse(line)).collect();
    assert_eq!((code, late), (Some(0), events.clone()));
    let (_, lines) = Running::new(watch(&house, &["c1", "--from", "3"])).wait();
    let late: Vec<Value> = lines.iter().map(|line| parse(line)).collect();
    assert_eq!(kinds(&late, 3), seen[3..]);
}

#[test]
fn the_bus_of_the_workers_brings_what_steps_show() {
    let house = House::with_bus();
    let bus = house.scratch.bus();
    let events = through_a_resume(&house, &["--bus", &bus]);
    let seen = kinds(&events, 0);
    assert_eq!(seen[..3], HALF);
    assert_eq!(
        seen.iter()
            .filter(|kind| *kind == "workflow-finish")
            .count(),
        1
    );
    let shown: Vec<&Value> = events
        .iter()
        .filter(|event| event["index"].is_null())
        .collect();
    assert_eq!(shown.len(), 1, "{events:?}");
    assert_eq!(shown[0]["event"]["payload"]["output"], "hi");
    // Between the start and the end of the step that showed it.
    let place = |kind: &str| seen.iter().rposition(|seen| seen == kind).unwrap();
    let shown = place("workflow-step-output");
    assert!(place("workflow-step-start") < shown && shown < place("workflow-step-result"));
}

#[cfg(feature = "redis")]
#[test]
fn a_bus_that_is_away_is_done_without() {
    let house = House::new();
    let events = through_a_resume(&house, &["--bus", "redis://127.0.0.1:1?publish_timeout=1s"]);
    let seen = kinds(&events, 0);
    assert_eq!(
        (seen.len(), seen.last().unwrap().as_str()),
        (8, "workflow-finish")
    );
    house.start("pair", "p1", &json!(1));
    let away = ["--bus", "redis://127.0.0.1:1?publish_timeout=1s"];
    let args = ["runs", "resume", "p1", "--step", "one", "--wait"];
    let done = house.run(&[&args[..], &away].concat());
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "p1 suspended two\n"),
        "{done:?}"
    );
}

#[test]
fn the_exit_code_is_that_of_the_run() {
    let house = House::new();
    assert_eq!(house.start("flaky", "f1", &json!(1)), RunStatus::Failed);
    let done = house.run(&["runs", "watch", "f1"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("failed"), "{done:?}");
    let last = done.out.lines().last().unwrap();
    assert!(last.ends_with("workflow-finish failed"), "{last}");
    assert!(
        done.out
            .contains("call failed Unreachable: nobody\\u000ais there"),
        "{done:?}"
    );
    house.set_off("slow", "s1");
    let done = house.run(&["runs", "watch", "s1", "--timeout", "0.1"]);
    assert_eq!(done.code, Some(3), "{done:?}");
}

#[test]
fn a_cancelled_run_ends_its_watch() {
    let house = House::new();
    house.set_off("slow", "s1");
    let watch = Running::new(watch(&house, &["s1"]));
    watch.line();
    let done = house.run(&["runs", "cancel", "s1"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let (code, lines) = watch.wait();
    assert_eq!(code, Some(1));
    let last = parse(lines.last().unwrap());
    assert_eq!(last["event"]["payload"]["workflowStatus"], "canceled");
}

#[test]
fn the_steps_of_nested_workflows_are_told_too() {
    let house = House::new();
    house.start("order", "o1", &json!(1));
    house.run(&["runs", "resume", "o1", "--data", "true", "--wait"]);
    let events = house.json(&["runs", "watch", "o1"]);
    kinds(&events, 0);
    let nested = |event: &&Value| event["event"]["payload"]["id"] == "approve";
    let approve = events.iter().find(nested).unwrap();
    assert_ne!(approve["runId"], "o1");
}

#[test]
fn an_interrupt_ends_a_watch_in_peace() {
    let house = House::new();
    house.set_off("slow", "s1");
    let watch = Running::new(watch(&house, &["s1"]));
    watch.line();
    watch.signal("INT");
    assert_eq!(watch.wait().0, Some(0));
}
