//! The demos keep their promises and clean up.

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

/// Plays a demo that keeps every promise; what it reports.
fn played(scratch: &Scratch, demo: Command) -> Value {
    let done = support::finish(demo, "");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(is_empty(scratch.path()), "files are left behind");
    assert_eq!(processes_in(scratch.path()), Vec::<String>::new());
    serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"))
}

/// Every reader has every index once, and the whole text, although a step was interrupted.
fn every_reader_has_everything(report: &Value) {
    let readers = report["readers"].as_array().unwrap();
    assert_eq!(readers.len(), 3, "{report}");
    for reader in readers {
        assert_eq!(reader["events"], report["events"], "{report}");
        for wrong in ["missing", "doubled", "misordered"] {
            assert_eq!(reader[wrong], 0, "{report}");
        }
        assert_eq!(reader["whole"], true, "{report}");
    }
    assert!(readers[1]["resumed_at"].as_u64() > Some(0), "{report}");
    assert_eq!(report["discarded"], 1, "{report}");
    assert_eq!(
        (&report["tool_calls"], &report["tool_done"]),
        (&1.into(), &1.into()),
        "{report}"
    );
    assert_eq!(report["error"], Value::Null, "{report}");
}

#[test]
fn a_run_survives_its_process_and_no_reader_misses_anything() {
    let scratch = Scratch::new();
    let report = played(&scratch, demo(&scratch, &["--json"]));
    every_reader_has_everything(&report);
}

#[cfg(feature = "genai")]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_reached_over_http_plays_as_well() {
    use bowline_testkit::{OpenAiAnswer, OpenAiServer};

    let server = OpenAiServer::start().await.unwrap();
    server.answer(OpenAiAnswer::new().tool_call("call-1", "depth", [r#"{"name":"Bergen"}"#]));
    // What is interrupted never ends by itself.
    server.answer(OpenAiAnswer::new().text(["so "; 100]).hang());
    server.answer(OpenAiAnswer::new().text(["deep "; 100]));
    let scratch = Scratch::new();
    let url = server.base_url();
    let mut demo = demo(
        &scratch,
        &[
            "--json",
            "--model",
            "openai/gpt-4o-mini",
            "--base-url",
            &url,
        ],
    );
    demo.env("OPENAI_API_KEY", "hunter2");
    let report = tokio::task::block_in_place(|| played(&scratch, demo));
    every_reader_has_everything(&report);
    assert_eq!(server.take_requests().len(), 3);
}

#[test]
fn a_demo_that_cannot_be_played_says_why() {
    let scratch = Scratch::new();
    for (options, part) in [
        (&["--model", "openai/gpt-4o-mini"][..], "OPENAI_API_KEY"),
        (&["--model", "gpt-4o-mini"], "provider/model"),
        (&["bus", "--model", "openai/gpt-4o-mini"], "no model"),
        (&["--base-url", "http://localhost:1"], "--model"),
        (&["buss"], "bus"),
    ] {
        let mut command = demo(&scratch, options);
        command.env_remove("OPENAI_API_KEY");
        let done = support::finish(command, "");
        assert_eq!(done.code, Some(2), "{options:?}: {done:?}");
        assert!(done.failure().contains(part), "{options:?}: {done:?}");
        assert!(is_empty(scratch.path()), "files are left behind");
    }
}

#[test]
fn a_bus_survives_its_broker() {
    let scratch = Scratch::new();
    let report = played(&scratch, demo(&scratch, &["bus", "--json"]));
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
}

/// What a demo says before it is ended, which it does not expect.
const SURPRISED: [(&[&str], &str); 2] = [(&["agent"], "asked"), (&["bus"], "publisher")];

#[test]
fn an_interrupted_demo_cleans_up_and_tells_what_it_does() {
    for (options, last) in SURPRISED {
        let scratch = Scratch::new();
        let demo = Running::new(demo(&scratch, options));
        let told: Vec<String> = std::iter::repeat_with(|| demo.line())
            .take_while(|line| !line.contains(last))
            .collect();
        assert!(told.iter().any(|line| line.contains("process")), "{told:?}");
        demo.signal("INT");
        let (code, _) = demo.wait();
        assert_eq!(code, Some(130));
        // They were killed; how soon the system is done with them is not the demo's.
        wait_for_the_end_of_all(scratch.path());
        assert!(is_empty(scratch.path()), "files are left behind");
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_processes() {
    for (options, last) in SURPRISED {
        let scratch = Scratch::new();
        let demo = Running::new(demo(&scratch, options));
        while !demo.line().contains(last) {}
        demo.signal("KILL");
        demo.wait();
        wait_for_the_end_of_all(scratch.path());
        assert!(is_empty(scratch.path()), "{options:?} left files behind");
    }
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
