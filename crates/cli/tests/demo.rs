//! The demo keeps its promises and cleans up.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Running, Scratch};

fn demo(scratch: &Scratch, options: &[&str]) -> Command {
    let mut command = scratch.command([&["demo"], options].concat());
    command.env("TMPDIR", scratch.path());
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// Processes of a demo whose scratch folder is in `folder`.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

#[test]
fn the_demo_keeps_every_promise() {
    let scratch = Scratch::new();
    let done = support::finish(demo(&scratch, &["--json"]), "");
    assert_eq!(done.code, Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(report["published"], 2_000);
    assert_eq!(report["brokers_after"], 1);
    for subscriber in report["subscribers"].as_array().unwrap() {
        assert_eq!(
            (&subscriber["doubled"], &subscriber["inexcusable"]),
            (&0.into(), &0.into()),
            "{report}"
        );
    }
    let late = &report["late_reader"];
    assert_eq!(
        (&late["replayed"], &late["missing"], &late["doubled"]),
        (&1_500.into(), &0.into(), &0.into())
    );
    assert!(is_empty(scratch.path()), "files are left behind");
    assert_eq!(processes_in(scratch.path()), Vec::<String>::new());
}

#[test]
fn an_interrupted_demo_cleans_up_and_tells_what_it_does() {
    let scratch = Scratch::new();
    let demo = Running::new(demo(&scratch, &[]));
    let told: Vec<String> = std::iter::repeat_with(|| demo.line())
        .take_while(|line| !line.contains("publisher"))
        .collect();
    assert!(told.iter().any(|line| line.contains("broker")), "{told:?}");
    demo.signal("INT");
    let (code, _) = demo.wait();
    assert_eq!(code, Some(130));
    // They were killed; how soon the system is done with them is not the demo's.
    wait_for_the_end_of_all(scratch.path());
    assert!(is_empty(scratch.path()), "files are left behind");
}

#[test]
fn a_demo_that_is_killed_leaves_no_processes() {
    let scratch = Scratch::new();
    let demo = Running::new(demo(&scratch, &[]));
    while !demo.line().contains("publisher") {}
    demo.signal("KILL");
    demo.wait();
    wait_for_the_end_of_all(scratch.path());
    assert!(is_empty(scratch.path()), "files are left behind");
}

fn wait_for_the_end_of_all(folder: &Path) {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while !processes_in(folder).is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            processes_in(folder)
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
