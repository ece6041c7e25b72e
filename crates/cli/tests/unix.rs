//! Publish and tail over a Unix socket, as separate processes.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use support::{Scratch, finish, wait_for};

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn an_event_goes_from_one_process_to_another() {
    let scratch = Scratch::new();
    let tail = scratch.tail("orders", &["--json", "--limit", "1"]);
    let bus = scratch.bus();
    let done = scratch.run(
        [
            "publish", "orders", "--bus", &bus, "--type", "order.created", "--run-id", "run-1",
            "--data", "{\"at\":{\"__m_codec__\":\"Date\",\"v\":\"2026-01-02T03:04:05.006Z\"},\"big\":12345678901234567890}",
        ],
        "",
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(json(&done.out)["topic"], "orders");

    let line = tail.line();
    let event = json(&line);
    let names: Vec<_> = [
        "id",
        "type",
        "runId",
        "data",
        "createdAt",
        "deliveryAttempt",
    ]
    .map(|name| {
        line.find(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("{name}: {line}"))
    })
    .to_vec();
    assert!(names.is_sorted(), "{line}");
    assert_eq!(event["type"], "order.created");
    assert_eq!(event["runId"], "run-1");
    assert_eq!(event["deliveryAttempt"], 1);
    let at = event["createdAt"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert!(
        line.contains("\"data\":{\"at\":{\"__m_codec__\":\"Date\",\"v\":\"2026-01-02T03:04:05.006Z\"},\"big\":12345678901234567890}"),
        "the data changed on the way: {line}"
    );
    assert_eq!(tail.wait(), (Some(0), vec![]));
}

#[test]
fn it_does_not_matter_who_is_the_broker() {
    let scratch = Scratch::new();
    // The first tail is the broker, the second one a client; the publisher is a client too.
    let broker = scratch.tail("t", &["--json", "--limit", "3"]);
    let client = scratch.tail("t", &["--json", "--limit", "3"]);
    for n in 0..3 {
        scratch.publish("t", &n.to_string());
    }
    for tail in [broker, client] {
        let seen: Vec<_> = (0..3).map(|_| json(&tail.line())["data"].clone()).collect();
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(tail.wait(), (Some(0), vec![]));
    }
}

#[test]
fn a_publisher_that_is_the_broker_reaches_the_processes_that_join_it() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let mut publisher = scratch
        .command(["publish", "t", "--bus", &bus, "--type", "x", "--ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = publisher.stdin.take().unwrap();
    let mut receipts = BufReader::new(publisher.stdout.take().unwrap());
    let mut receipt = String::new();
    // A receipt comes for each line as soon as the line is there.
    lines.write_all(b"0\n").unwrap();
    receipts.read_line(&mut receipt).unwrap();
    assert_eq!(json(&receipt)["topic"], "t");

    let tail = scratch.tail("t", &["--json", "--limit", "2"]);
    lines.write_all(b"1\n2").unwrap();
    drop(lines);
    assert_eq!(json(&tail.line())["data"], 1);
    assert_eq!(json(&tail.line())["data"], 2);
    assert_eq!(wait_for(&mut publisher), Some(0));
    assert_eq!(tail.wait(), (Some(0), vec![]));
}

#[test]
fn a_batch_keeps_its_order_and_loses_nothing() {
    const EVENTS: usize = 5_000;
    let scratch = Scratch::new();
    let limit = EVENTS.to_string();
    let tail = scratch.tail("t", &["--json", "--limit", &limit]);
    let input: String = (0..EVENTS).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let bus = scratch.bus();
    let done = scratch.run(
        ["publish", "t", "--bus", &bus, "--type", "x", "--ndjson"],
        &input,
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out.lines().count(), EVENTS);
    for n in 0..EVENTS {
        assert_eq!(json(&tail.line())["data"]["n"], n);
    }
    assert_eq!(tail.wait(), (Some(0), vec![]));
}

#[test]
fn members_of_a_group_share_the_events() {
    let scratch = Scratch::new();
    // Without a limit: a broker that has had enough would leave while the others still publish.
    let members = [(); 2].map(|()| scratch.tail("jobs", &["--json", "--group", "g"]));
    for n in 0..6 {
        scratch.publish("jobs", &n.to_string());
    }
    let mut seen: Vec<_> = members
        .iter()
        .flat_map(|tail| (0..3).map(|_| json(&tail.line())["data"].as_u64().unwrap()))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    for tail in members {
        tail.signal("TERM");
        assert_eq!(tail.wait(), (Some(0), vec![]));
    }
}

#[test]
fn the_readable_form_has_no_colour_in_a_pipe() {
    let scratch = Scratch::new();
    let tail = scratch.tail("t", &["--limit", "1"]);
    scratch.publish("t", "{\"text\":\"a\u{9b}b\",\n\"n\":1}");
    let line = tail.line();
    assert!(
        line.contains(" t {\"text\":\"a\\u009bb\", \"n\":1}"),
        "{line:?}"
    );
    assert!(!line.contains('\u{1b}'), "{line:?}");
}

#[test]
fn a_timeout_is_a_failure_only_if_a_limit_was_not_reached() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let run = |options: &[&str]| {
        scratch.run(
            [&["tail", "t", "--bus", &bus, "--timeout", "0.2"], options].concat(),
            "",
        )
    };
    let unlimited = run(&[]);
    assert_eq!(
        (unlimited.code, unlimited.out.as_str()),
        (Some(0), ""),
        "{unlimited:?}"
    );
    let limited = run(&["--limit", "1"]);
    assert_eq!(
        (limited.code, limited.out.as_str()),
        (Some(3), ""),
        "{limited:?}"
    );
    let quiet = run(&["--quiet"]);
    assert_eq!(quiet.err, "");
}

#[test]
fn signals_end_a_tail_cleanly_and_the_socket_goes_with_it() {
    for signal in ["INT", "TERM"] {
        let scratch = Scratch::new();
        let tail = scratch.tail("t", &["--json"]);
        scratch.publish("t", "1");
        tail.line();
        assert!(scratch.join("events.sock").exists());
        tail.signal(signal);
        assert_eq!(tail.wait(), (Some(0), vec![]), "{signal}");
        assert!(!scratch.join("events.sock").exists(), "{signal}");
    }
}

#[test]
fn a_tail_ends_when_nobody_reads_it_any_more() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let mut tail = scratch
        .command(["tail", "t", "--bus", &bus])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(tail.stderr.take().unwrap());
    notes.read_line(&mut String::new()).unwrap();
    // No event is needed for it to notice.
    drop(tail.stdout.take());
    assert_eq!(wait_for(&mut tail), Some(0));
}

#[test]
fn a_tail_whose_reader_stands_still_still_hears_signals() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let mut tail = scratch
        .command(["tail", "t", "--bus", &bus, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(tail.stderr.take().unwrap());
    notes.read_line(&mut String::new()).unwrap();
    let large = format!("\"{}\"\n", "x".repeat(1_000));
    let input = large.repeat(1_000);
    let done = scratch.run(
        ["publish", "t", "--bus", &bus, "--type", "x", "--ndjson"],
        &input,
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    let pid = tail.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(wait_for(&mut tail), Some(0));
}

#[test]
fn a_publisher_that_is_interrupted_says_so_and_leaves_no_socket() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let mut publisher = scratch
        .command(["publish", "t", "--bus", &bus, "--type", "x", "--ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = publisher.stdin.take().unwrap();
    let mut receipts = BufReader::new(publisher.stdout.take().unwrap());
    lines.write_all(b"1\n").unwrap();
    receipts.read_line(&mut String::new()).unwrap();
    let pid = publisher.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-s", "INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    let done = support::Done::from(publisher.wait_with_output().unwrap());
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.failure().contains("interrupted"), "{done:?}");
    assert!(!scratch.join("events.sock").exists());
}

#[test]
fn what_the_bus_cannot_do_is_refused_before_it_starts() {
    let scratch = Scratch::new();
    let bus = scratch.bus();
    for from in ["earliest", "0"] {
        let done = scratch.run(["tail", "t", "--bus", &bus, "--from", from], "");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.failure().contains("--from latest"), "{done:?}");
    }
    assert!(!scratch.join("events.sock").exists());
}

#[test]
fn a_path_that_cannot_be_a_socket_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("folder")).unwrap();
    scratch.write("data", "precious\n".repeat(1_000));
    let long = "x".repeat(108 - scratch.path().as_os_str().len() - 1);
    let table = [
        ("folder", "folder"),
        ("data", "not a socket"),
        (long.as_str(), "107"),
        ("data/events.sock", "data"),
    ];
    for (name, part) in table {
        let bus = format!("unix://{}", scratch.join(name).display());
        let commands: [&[&str]; 2] = [
            &["publish", "t", "--bus", &bus, "--type", "x"],
            &["tail", "t", "--bus", &bus, "--timeout", "20"],
        ];
        for args in commands {
            let done = scratch.run(args, "");
            assert!(matches!(done.code, Some(1 | 2)), "{name}: {done:?}");
            assert!(done.failure().contains(part), "{name}: {done:?}");
        }
    }
    assert_eq!(
        std::fs::read_to_string(scratch.join("data")).unwrap().len(),
        9_000
    );
    assert_eq!(
        std::fs::read_dir(scratch.path()).unwrap().count(),
        2,
        "something was left behind"
    );
}

#[test]
fn a_folder_without_permission_is_named() {
    let scratch = Scratch::new();
    let folder = scratch.join("locked");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o500)).unwrap();
    let bus = format!("unix://{}/events.sock", folder.display());
    let args = ["publish", "t", "--bus", &bus, "--type", "x"];
    let done = finish(scratch.unprivileged(args), "");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.failure().contains("denied") && done.failure().contains("locked"),
        "{done:?}"
    );
}

#[test]
fn an_event_over_the_limit_is_refused_and_names_it() {
    let scratch = Scratch::new();
    let bus = format!("{}?max_frame_bytes=4KiB", scratch.bus());
    let data = format!("\"{}\"", "x".repeat(8 * 1024));
    for args in [
        ["publish", "t", "--bus", &bus, "--type", "x", "--data", "-"],
        [
            "publish", "t", "--bus", &bus, "--type", "x", "--data", &data,
        ],
    ] {
        let done = scratch.run(args, &data);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.failure().contains("4096"), "{done:?}");
        assert_eq!(done.out, "");
    }
}

#[test]
fn topics_of_a_bus_without_anybody_are_none() {
    let scratch = Scratch::new();
    let done = scratch.run(["topics", "--bus", &scratch.bus(), "--json"], "");
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.err.contains("broker"), "{done:?}");
}
