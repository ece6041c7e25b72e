//! What the doctor finds, what it says, and that it only looks.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::{Done, Scratch, finish};

fn doctor(scratch: &Scratch, bus: &str) -> Done {
    scratch.run(["doctor", "--json", "--bus", bus], "")
}

fn listing(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_bus_without_anybody_is_fine_and_stays_untouched() {
    let scratch = Scratch::new();
    let done = doctor(&scratch, &scratch.bus());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.findings("problem").is_empty() && done.findings("warning").is_empty(),
        "{done:?}"
    );
    assert!(listing(&scratch).is_empty());
}

#[test]
fn the_broker_is_named() {
    let scratch = Scratch::new();
    let tail = scratch.tail("t", &[]);
    let done = doctor(&scratch, &scratch.bus());
    assert_eq!(done.code, Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["broker"]["pid"], tail.pid());
    assert_eq!(report["broker"]["program"], "bowline");
    let names: Vec<_> = report["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap_or_default())
        .collect();
    assert!(
        names.contains(&"groups") && names.contains(&"replay"),
        "{names:?}"
    );

    let text = scratch.run(["doctor", "--bus", &scratch.bus()], "");
    assert_eq!(text.code, Some(0), "{text:?}");
    for part in [
        format!("process {}", tail.pid()),
        "What this bus can do".to_owned(),
    ] {
        assert!(text.out.contains(&part), "{text:?}");
    }
}

#[test]
fn a_broker_that_is_stopped_is_a_problem_with_a_remedy() {
    let scratch = Scratch::new();
    let tail = scratch.tail("t", &[]);
    tail.signal("STOP");
    let done = doctor(&scratch, &scratch.bus());
    tail.signal("CONT");
    assert_eq!(done.code, Some(1), "{done:?}");
    let problems = done.findings("problem");
    assert_eq!(problems.len(), 1, "{done:?}");
    assert!(problems[0].0.contains("is stopped"), "{problems:?}");
    assert!(
        problems[0]
            .1
            .contains(&format!("kill -CONT {}", tail.pid())),
        "{problems:?}"
    );
}

#[test]
fn what_was_left_behind_is_a_warning() {
    let scratch = Scratch::new();
    drop(UnixListener::bind(scratch.join("events.sock")).unwrap());
    let lock = std::fs::File::create(scratch.join("events.sock.elect")).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    let done = doctor(&scratch, &scratch.bus());
    assert_eq!(done.code, Some(0), "{done:?}");
    let warnings = done.findings("warning");
    for part in ["nobody is behind the socket", "election lock"] {
        let warning = warnings.iter().find(|(what, _)| what.contains(part));
        assert!(
            warning.is_some_and(|(_, remedy)| remedy.contains("rm ")),
            "{part}: {warnings:?}"
        );
    }
    assert_eq!(listing(&scratch), ["events.sock", "events.sock.elect"]);
}

#[test]
fn what_cannot_be_a_socket_is_a_problem() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("folder")).unwrap();
    scratch.write("data", "precious".repeat(1_000));
    let long = "x".repeat(100);
    let table = [
        ("folder", "a folder is where"),
        ("data", "a file of 8000 bytes"),
        ("data/events.sock", "is not a folder"),
        (long.as_str(), "takes 107"),
    ];
    for (name, part) in table {
        let done = doctor(
            &scratch,
            &format!("unix://{}", scratch.join(name).display()),
        );
        assert_eq!(done.code, Some(1), "{name}: {done:?}");
        let problems = done.findings("problem");
        let problem = problems.iter().find(|(what, _)| what.contains(part));
        assert!(
            problem.is_some_and(|(_, remedy)| !remedy.is_empty()),
            "{name}: {done:?}"
        );
    }
    assert_eq!(listing(&scratch), ["data", "folder"]);
}

#[test]
fn a_folder_that_may_not_be_used_is_a_problem() {
    let scratch = Scratch::new();
    let folder = scratch.join("locked");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o500)).unwrap();
    let bus = format!("unix://{}/events.sock", folder.display());
    let done = finish(
        scratch.unprivileged(["doctor", "--json", "--bus", &bus]),
        "",
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    let problems = done.findings("problem");
    assert!(
        problems
            .iter()
            .any(|(what, _)| what.contains("may not make files")),
        "{done:?}"
    );
}

#[test]
fn a_memory_bus_has_nothing_to_find() {
    let scratch = Scratch::new();
    let done = doctor(&scratch, "memory:");
    assert_eq!(done.code, Some(0), "{done:?}");
}
