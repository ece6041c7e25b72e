//! What is refused, and in which words.

use serde_json::json;

use crate::house::House;
use crate::support::Scratch;

#[test]
fn what_is_not_there_is_named() {
    let house = House::new();
    house.start("order", "o1", &json!(1));
    for (args, code, part) in [
        (&["runs", "show", "o9"][..], 1, "o9"),
        (&["runs", "watch", "o9"], 1, "o9"),
        (&["runs", "cancel", "o9"], 1, "o9"),
        (&["runs", "retry", "o9"], 1, "o9"),
        (&["runs", "resume", "o9"], 1, "o9"),
        (
            &["runs", "resume", "o1", "--step", "ship"],
            1,
            "Available suspended steps: [review.approve]",
        ),
        (
            &["runs", "resume", "o1", "--label", "me"],
            1,
            "Available labels: [boss]",
        ),
        (&["runs", "resume", "o1", "--index", "3"], 1, "Iteration 3"),
        (&["runs", "resume", "o1", "--data", "{"], 2, "--data"),
        (
            &["runs", "resume", "o1", "--data", "@none.json"],
            2,
            "none.json",
        ),
        (&["runs", "start", "order", "--input", "{"], 2, "--input"),
        (
            &["runs", "start", "order", "--run-id", "\n"],
            2,
            "no id of a run",
        ),
        (&["runs", "retry", "o1"], 1, "suspended"),
        (
            &["runs", "list", "--status", "done"],
            2,
            "tripwire or canceled",
        ),
        (
            &["runs", "list", "--since", "yesterday"],
            2,
            "2026-05-01T12:00:00Z",
        ),
        (&["runs", "list", "--cursor", "?"], 2, "cursor"),
        (&["runs", "list", "--limit", "0"], 2, "--limit"),
        (&["schedules", "show", "s9"], 1, "s9"),
        (&["schedules", "pause", "s9"], 1, "s9"),
        (&["schedules", "run", "s9"], 1, "s9"),
        (&["schedules", "delete", "s9", "--yes"], 1, "s9"),
        (&["schedules", "delete", "s9"], 2, "--yes"),
    ] {
        let done = house.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        assert!(done.failure().contains(part), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
    }
}

#[test]
fn a_store_has_to_be_there_and_is_not_made() {
    let scratch = Scratch::new();
    for (args, code, part) in [
        (&["runs", "list"][..], 2, "BOWLINE_STORE"),
        (
            &["runs", "list", "--store", "sqlite:app.db"],
            1,
            "there is no store at sqlite:app.db",
        ),
        (
            &["runs", "list", "--store", "memory:"],
            2,
            "memory of one process",
        ),
        (
            &["schedules", "list", "--store", "sqlite::memory:"],
            2,
            "memory of one process",
        ),
        (&["runs", "list", "--store", "sqlte:app.db"], 2, "--store"),
        (
            &["runs", "list", "--store", "sqlite:none/app.db"],
            2,
            "none",
        ),
    ] {
        let done = scratch.run(args, "");
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        assert!(done.failure().contains(part), "{args:?}: {done:?}");
    }
    assert!(!scratch.join("app.db").exists());
}

#[test]
fn the_store_comes_from_the_flag_the_environment_or_the_file() {
    let house = House::new();
    house.start("pair", "p1", &json!(1));
    let list = || house.scratch.command(["runs", "list"]);
    let mut by_environment = list();
    by_environment.env("BOWLINE_STORE", "sqlite:app.db");
    let done = crate::support::finish(by_environment, "");
    assert!(done.out.contains("p1"), "{done:?}");
    house
        .scratch
        .write("bowline.toml", "store = \"sqlite:app.db\"\n");
    let done = crate::support::finish(list(), "");
    assert!(done.out.contains("p1"), "{done:?}");
}

#[test]
fn an_empty_list_says_why() {
    let house = House::new();
    for args in [["runs", "list"], ["schedules", "list"]] {
        let done = house.run(&args);
        assert_eq!((done.code, &*done.out), (Some(0), ""), "{done:?}");
        assert!(done.err.contains("note: no "), "{done:?}");
    }
}
