//! Listing, showing and steering runs.

use std::sync::atomic::Ordering;

use bowline_workflow::RunStatus;
use serde_json::{Value, json};

use crate::house::House;

#[test]
fn runs_are_listed_by_what_they_are() {
    let house = House::new();
    assert_eq!(house.start("order", "o1", &json!(1)), RunStatus::Suspended);
    assert_eq!(house.start("flaky", "f1", &json!(1)), RunStatus::Failed);
    assert_eq!(house.start("pair", "p1", &json!(1)), RunStatus::Suspended);
    let ids = |args: &[&str]| -> Vec<String> {
        let lines = house.json(&[&["runs", "list"], args].concat());
        let id = |line: &Value| line["id"].as_str().unwrap_or("more").to_owned();
        lines.iter().map(id).collect()
    };
    assert_eq!(ids(&[]), ["p1", "f1", "o1"]);
    for (args, expected) in [
        (&["--workflow", "flaky"][..], &["f1"][..]),
        (&["--status", "suspended"], &["p1", "o1"]),
        (
            &["--status", "suspended", "--status", "failed"],
            &["p1", "f1", "o1"],
        ),
        (
            &["--resource", "ann", "--limit", "2"],
            &["p1", "f1", "more"],
        ),
        (&["--resource", "bob"], &[]),
        (&["--since", "1h"], &["p1", "f1", "o1"]),
        (&["--since", "2100-01-01"], &[]),
        (&["--before", "2020-01-01T00:00:00Z"], &[]),
    ] {
        assert_eq!(ids(args), expected, "{args:?}");
    }
    let first = house.json(&["runs", "list", "--limit", "2"]);
    let cursor = first[2]["next"].as_str().unwrap();
    assert_eq!(ids(&["--cursor", cursor]), ["o1"]);

    let order = &house.json(&["runs", "list", "--workflow", "order"])[0];
    assert_eq!(order["suspended"][0]["path"], json!(["review", "approve"]));
    assert_eq!(order["suspended"][0]["labels"], json!(["boss"]));
    assert_eq!(order["suspended"][0]["payload"], json!({ "total": 160 }));
    assert_eq!(
        (&order["resource"], &order["workflow"]),
        (&json!("ann"), &json!("order"))
    );

    let table = house.run(&["runs", "list"]).out;
    let words: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0][..3], ["ID", "WORKFLOW", "STATUS"]);
    assert_eq!(words[1][..3], ["p1", "pair", "suspended"]);
    assert!(
        table
            .lines()
            .nth(3)
            .unwrap()
            .ends_with("review.approve (boss)"),
        "{table}"
    );
}

/// The tree without its times, which stand between the name and the remark.
fn masked(tree: &str) -> String {
    let is_time = |word: &&str| {
        let word = word.trim_start_matches('+');
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        word != unit && matches!(unit, "ms" | "s" | "m")
    };
    let mut text = String::new();
    for line in tree.lines() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line
            .split_whitespace()
            .filter(|word| !is_time(word))
            .collect();
        text.push_str(&format!("{}{}\n", " ".repeat(indent), words.join(" ")));
    }
    text
}

#[test]
fn a_run_is_shown_as_a_tree() {
    let house = House::new();
    house.start("order", "o1", &json!(1));
    let done = house.run(&["runs", "show", "o1"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let (head, tree) = done.out.split_once("\n\n").unwrap();
    assert!(head.starts_with("o1  order  suspended\n"), "{head}");
    for line in [
        "resource  ann",
        "waits for review.approve (boss)",
        "input     1",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let expected = "\
✓ price
✓ raise loop, 3 times
✓ parallel
  ✓ left
  ✓ right
✓ collect
✓ pack foreach
  ✓ [0]
  ✓ [1]
✓ sum
‖ review workflow, suspended
  ✓ note
  ‖ approve suspended: {\"total\":160} (label boss)
· ship
";
    assert_eq!(masked(tree), expected, "{tree}");

    let shown = &house.json(&["runs", "show", "o1"])[0];
    assert_eq!(
        (&shown["run"]["id"], &shown["input"]),
        (&json!("o1"), &json!(1))
    );
    let parts = shown["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts
        .iter()
        .map(|part| part["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "step", "loop", "parallel", "step", "foreach", "step", "workflow", "step",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(parts[0]["output"], 1);
    assert_eq!(parts[2]["parts"][1]["output"], 5);
    assert_eq!(parts[4]["parts"][1]["output"], 70);
    assert_eq!(parts[6]["parts"][1]["status"], "suspended");
    assert_eq!(parts[7]["status"], Value::Null);
    assert!(parts[0]["startedAt"].is_string() && parts[0]["durationMs"].is_i64());
}

#[test]
fn long_values_are_cut_unless_all_is_wanted() {
    let house = House::new();
    let long = "x".repeat(300);
    house.start("pair", "p1", &json!(long));
    let done = house.run(&["runs", "show", "p1"]);
    assert!(
        done.out.contains("xxx…") && !done.out.contains(&long),
        "{done:?}"
    );
    let done = house.run(&["runs", "show", "p1", "--full"]);
    assert!(done.out.contains(&long), "{done:?}");
}

#[test]
fn a_resumed_run_goes_on_in_the_program_that_has_the_workflow() {
    let house = House::new();
    for (id, how) in [
        ("o1", &["--data", "true"][..]),
        ("o2", &["--step", "review.approve", "--data", "true"]),
        ("o3", &["--label", "boss", "--data", "@yes.json"]),
        ("o4", &["--data", "-"]),
    ] {
        house.scratch.write("yes.json", "true\n");
        house.start("order", id, &json!(1));
        let args = [&["runs", "resume", id, "--wait"], how].concat();
        let done = house.feed(&args, "true");
        assert_eq!(done.code, Some(0), "{done:?}");
        let expected = format!("{id} success {{\"approved\":true,\"total\":160}}\n");
        assert_eq!(done.out, expected);
        assert_eq!(house.status(id), RunStatus::Success);
    }
    let done = house.run(&["runs", "show", "o1"]);
    assert!(
        done.out
            .contains("result    {\"approved\":true,\"total\":160}"),
        "{done:?}"
    );
}

#[test]
fn one_of_two_suspended_steps_has_to_be_named() {
    let house = House::new();
    house.start("pair", "p1", &json!(1));
    let done = house.run(&["runs", "resume", "p1", "--data", "1"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    let said = done.failure();
    assert!(
        said.contains("[one], [two]") && said.contains("specify"),
        "{said}"
    );
    let done = house.run(&[
        "runs", "resume", "p1", "--step", "two", "--data", "2", "--wait",
    ]);
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "p1 suspended one\n"),
        "{done:?}"
    );
    let left = &house.json(&["runs", "resume", "p1", "--data", "1", "--wait"])[0];
    assert_eq!(left["result"], json!({ "one": 1, "two": 2 }));
}

#[test]
fn runs_are_cancelled_while_they_run() {
    let house = House::new();
    house.set_off("slow", "s1");
    house.set_off("slow", "s2");
    let done = house.run(&["runs", "cancel", "s1", "nobody", "s2"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.out, "s1 canceled\ns2 canceled\n");
    assert!(
        done.err.contains("note: cancel \"nobody\": not found"),
        "{done:?}"
    );
    assert!(done.failure().starts_with("1 of 3 runs"), "{done:?}");
    let again = house.run(&["runs", "cancel", "s1"]);
    assert_eq!(again.code, Some(1));
    assert!(again.failure().contains("canceled"), "{again:?}");
    let shown = house.run(&["runs", "show", "s1"]);
    assert!(
        masked(&shown.out).ends_with("■ idle canceled\n"),
        "{shown:?}"
    );
}

#[test]
fn a_failed_run_is_shown_and_tried_again() {
    let house = House::new();
    house.start("flaky", "f1", &json!(1));
    let shown = house.run(&["runs", "show", "f1"]);
    let tree = "✗ call failed, 3 attempts: Unreachable: nobody\\u000ais there\n";
    assert!(masked(&shown.out).ends_with(tree), "{shown:?}");
    let failed = house.run(&["runs", "retry", "f1", "--wait"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(failed.out, "f1 failed Unreachable: nobody\\u000ais there\n");
    house.mended.store(true, Ordering::SeqCst);
    let done = house.run(&["runs", "retry", "f1", "--wait"]);
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "f1 success \"called\"\n"),
        "{done:?}"
    );
    let refused = house.run(&["runs", "retry", "f1"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.failure().contains("success"), "{refused:?}");
}

#[test]
fn a_run_is_started_where_the_workflow_is() {
    let house = House::new();
    let args = [
        "runs", "start", "order", "--input", "1", "--run-id", "o1", "--wait",
    ];
    let done = house.run(&args);
    assert_eq!(
        (done.code, &*done.out),
        (Some(0), "o1 suspended review.approve (boss)\n"),
        "{done:?}"
    );
    let taken = house.run(&args);
    assert_eq!(taken.code, Some(1));
    assert!(taken.failure().contains("o1"), "{taken:?}");
    let started = &house.json(&[
        "runs",
        "start",
        "order",
        "--input",
        "1",
        "--resource",
        "bob",
    ])[0];
    assert_eq!(started["resource"], "bob");
    let unknown = house.run(&["runs", "start", "nothing"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.failure().contains("nothing"), "{unknown:?}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_server_holds_runs_too() {
    use bowline_testkit::{PostgresServer, skips_postgres};

    if skips_postgres() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(PostgresServer::start()).unwrap();
    let missing =
        crate::support::Scratch::new().run(["runs", "list", "--store", &server.url()], "");
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(
        missing.failure().contains("there is no store"),
        "{missing:?}"
    );
    let house = House::at(server.url());
    house.start("order", "o1", &json!(1));
    let done = house.run(&["runs", "resume", "o1", "--data", "true", "--wait"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let events = house.json(&["runs", "watch", "o1"]);
    assert_eq!(events.last().unwrap()["event"]["type"], "workflow-finish");
    assert_eq!(house.json(&["runs", "list"])[0]["status"], "success");
}
