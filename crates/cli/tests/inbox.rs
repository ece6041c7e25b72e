//! Inboxes: every command is a process of its own, and what they have in common is a SQLite file.

#![cfg(all(feature = "genai", feature = "sqlite"))]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::time::Duration;

use bowline_agent::scripted::Answer;
use bowline_agent::tool::{Tool, ToolError};
use bowline_agent::{Agent, ScriptedModel};
use bowline_runtime::Bowline;
use bowline_workflow::RunStatus;
use serde_json::{Value, json};
use support::{Done, Scratch};
use tokio::runtime::Runtime;

const THREAD: [&str; 4] = ["--thread", "t", "--resource", "ann"];

/// A folder with a store, and a file that declares the agents.
struct Office {
    scratch: Scratch,
    runtime: Runtime,
}

impl Office {
    fn new() -> Self {
        let scratch = Scratch::new();
        // The tools are those of the program; here nothing of them is started.
        scratch.write(
            "bowline.toml",
            "store = \"sqlite:app.db\"\n[agents.pilot]\nmodel = \"ollama/llama3\"\nmcp = { command = \"no-such-program\" }\n\
             [agents.mate]\nmodel = \"ollama/llama3\"\n",
        );
        let office = Self {
            scratch,
            runtime: Runtime::new().unwrap(),
        };
        let app = office.program();
        office.runtime.block_on(app.close()).unwrap();
        office
    }

    /// A program that has the pilot, and works on what there is to do.
    fn program(&self) -> Bowline {
        let open = Tool::builder("open")
            .requires_approval()
            .run(|_, _| async { Ok::<_, ToolError>("open") });
        let model = ScriptedModel::new(|request| {
            let said = format!("{:?}", request.prompt);
            match ScriptedModel::position(request) {
                0 if said.contains("open") => Answer::calls("open", &json!({})),
                _ => Answer::says("Aye."),
            }
        });
        let pilot = Agent::builder("pilot")
            .model(model)
            .tool(open.build().unwrap());
        let builder = Bowline::builder()
            .store(format!("sqlite:{}", self.scratch.join("app.db").display()))
            .agent(pilot.build().unwrap())
            .poll(Duration::from_millis(20))
            .drain(Duration::from_millis(50));
        self.runtime.block_on(builder.start()).unwrap()
    }

    fn run(&self, args: &[&str]) -> Done {
        self.scratch.run([&["agent"], args].concat(), "")
    }

    /// What the command says that has to succeed, without notes.
    fn says(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        done.out
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let out = self.says(&[args, &["--json"]].concat());
        let lines = out.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .unwrap_or_else(|_| panic!("{out}"))
    }

    /// Sends one of the build, for later, called `id`.
    fn later(&self, id: &str, options: &[&str]) -> Value {
        let what = ["notify", "pilot", "It is red", "--kind", "build"];
        let source = ["--source", "ci", "--in", "2h", "--id", id];
        self.json(&[&what[..], &source, &THREAD, options].concat())
            .remove(0)
    }

    fn inbox(&self, args: &[&str]) -> Vec<Value> {
        self.json(&[&["inbox"], args, &THREAD].concat())
    }

    fn ids(&self, filter: &[&str]) -> Vec<String> {
        let found = self.inbox(&[&["list"], filter].concat());
        let id = |it: &Value| it["id"].as_str().unwrap().to_owned();
        found.iter().map(id).collect()
    }
}

#[test]
fn what_one_process_sends_another_one_finds() {
    let office = Office::new();
    office.scratch.write("details.json", "{\"job\": [17]}\n");
    let options = ["--priority", "high", "--payload", "@details.json"];
    let sent = office.later("build-17", &options);
    for (name, value) in [
        ("id", json!("build-17")),
        ("threadId", json!("t")),
        ("resourceId", json!("ann")),
        ("agentId", json!("pilot")),
        ("source", json!("ci")),
        ("kind", json!("build")),
        ("priority", json!("high")),
        ("status", json!("pending")),
        ("summary", json!("It is red")),
        ("payload", json!({ "job": [17] })),
        ("coalescedCount", json!(1)),
        ("decision", json!("defer")),
    ] {
        assert_eq!(sent[name], value, "{name}: {sent}");
    }
    assert!(sent["deliverAt"].as_str() > sent["createdAt"].as_str());
    assert!(sent.get("accepted").is_none() && sent.get("runId").is_none());

    // The record is what everybody finds, besides what was decided on it.
    let mut record = sent;
    record.as_object_mut().unwrap().remove("decision");
    assert_eq!(office.inbox(&["list"]), [record.clone()]);
    assert_eq!(office.inbox(&["show", "build-17"]), [record]);

    let shown = office.says(&[&["inbox", "show", "build-17"], &THREAD[..]].concat());
    assert!(shown.starts_with("build-17  pending\n"), "{shown}");
    for part in ["It is red", "high", "{\"job\": [17]}", "deliver at", "ann"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Neither another thread nor the same one with nobody is this one.
    for other in [
        &["--thread", "u", "--resource", "ann"][..],
        &["--thread", "t"],
    ] {
        let done = office.run(&[&["inbox", "list"], other].concat());
        assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
        assert!(done.err.contains("no notifications"), "{done:?}");
    }
}

#[test]
fn people_are_told_in_a_line_and_a_table() {
    let office = Office::new();
    let notify = |id: &str, when: &[&str]| {
        let what = ["notify", "pilot", "\u{1b}[2Jred", "--kind", "build"];
        let source = ["--source", "ci", "--id", id, "--coalesce-key", "main"];
        office.says(&[&what[..], &source, &THREAD, when].concat())
    };
    let said = notify("one", &["--at", "2999-01-02"]);
    assert_eq!(said, "one pending: defer until 2999-01-02T00:00:00.000Z\n");
    // It is joined to the other one; and that is not taken again.
    let said = notify("two", &["--at", "2999-01-03T12:00:00+02:00"]);
    assert_eq!(
        said,
        "one pending: defer until 2999-01-03T10:00:00.000Z, 2 in one\n"
    );
    assert_eq!(notify("one", &[]), "one pending: before, 2 in one\n");

    let list = office.says(&[&["inbox", "list"], &THREAD[..]].concat());
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    for part in ["ID", "STATUS", "PRIORITY", "CAME IN", "SUMMARY"] {
        assert!(lines[0].contains(part), "{part}: {list}");
    }
    for part in ["one", "pending", "medium", "ci", "build", "pilot", " ago"] {
        assert!(lines[1].contains(part), "{part}: {list}");
    }
    assert!(lines[1].ends_with("\\u001b[2Jred (2 in one)"), "{list}");
}

#[test]
fn the_inbox_is_filtered_searched_and_paged() {
    let office = Office::new();
    office.later("a", &["--priority", "low"]);
    office.later("b", &[]);
    let mate = ["notify", "mate", "Der Pegel ÜBER Null", "--kind", "tide"];
    let mate = [&mate[..], &["--source", "harbour", "--in", "1h"], &THREAD].concat();
    office.says(&[&mate[..], &["--id", "c"]].concat());
    office.says(&[&["inbox", "seen", "b"], &THREAD[..]].concat());
    let table: [(&[&str], &[&str]); 12] = [
        (&[], &["c", "b", "a"]),
        (&["mate"], &["c"]),
        (&["nobody"], &[]),
        (&["--unread"], &["c", "a"]),
        (&["--status", "seen"], &["b"]),
        (&["--status", "seen", "--status", "failed"], &["b"]),
        (&["--priority", "low"], &["a"]),
        (&["--source", "ci"], &["b", "a"]),
        (&["--search", "über"], &["c"]),
        (&["--search", "TIDE"], &["c"]),
        (&["--search", "green"], &[]),
        (&["pilot", "--unread", "--search", "red"], &["a"]),
    ];
    for (filter, expected) in table {
        assert_eq!(office.ids(filter), expected, "{filter:?}");
    }
    // Page by page: each once, and the last one says nothing of another.
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..3 {
        let after = cursor.iter().flat_map(|it| ["--cursor", it.as_str()]);
        let args: Vec<&str> = ["list", "--limit", "1"].into_iter().chain(after).collect();
        let page = office.inbox(&args);
        pages.push(page[0]["id"].clone());
        cursor = page
            .get(1)
            .map(|it| it["next"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        (pages, cursor),
        (vec!["c".into(), "b".into(), "a".into()], None)
    );
    let done = office.run(&[&["inbox", "list", "--limit", "2"], &THREAD[..]].concat());
    assert!(done.err.contains("there are more: --cursor "), "{done:?}");
}

#[test]
fn notifications_are_marked_one_and_many() {
    let office = Office::new();
    for id in ["a", "b", "c"] {
        office.later(id, &[]);
    }
    let mark = |args: &[&str]| office.run(&[&["inbox"], args, &THREAD].concat());
    for (args, out) in [
        (&["seen", "a"][..], "a seen\n"),
        (&["dismiss", "b", "a", "b"], "b dismissed\na dismissed\n"),
        (&["archive", "c"], "c archived\n"),
        (&["archive", "c"], "c archived\n"),
    ] {
        let done = mark(args);
        assert_eq!((done.code, done.out.as_str()), (Some(0), out), "{done:?}");
    }
    assert_eq!(office.ids(&["--unread"]), [""; 0]);
    let records = office.inbox(&["seen", "c"]);
    assert_eq!(
        (&records[0]["id"], &records[0]["status"]),
        (&json!("c"), &json!("seen"))
    );
    assert!(records[0]["seenAt"].is_string() && records[0]["archivedAt"].is_string());

    // What is there is marked, whatever is not.
    let done = mark(&["archive", "x", "a", "y"]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), "a archived\n"));
    assert!(
        done.err.contains("\"x\"") && done.err.contains("\"y\""),
        "{done:?}"
    );
    assert!(done.failure().contains("2 of 3"), "{done:?}");
    let done = mark(&["seen", "x"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.failure().contains("no notification \"x\""), "{done:?}");
}

#[test]
fn the_signal_goes_where_the_priority_says() {
    let office = Office::new();
    let app = office.program();
    let notify = |summary: &str, priority: &str, thread: &str| {
        let what = ["notify", "pilot", summary, "--priority", priority];
        let place = ["--source", "harbour", "--kind", "news", "--thread", thread];
        office.json(&[&what[..], &place].concat()).remove(0)
    };
    let until = |run: &Value, status: RunStatus| {
        let (pilot, run) = (app.agent("pilot").unwrap(), run.as_str().unwrap());
        office.runtime.block_on(async {
            while pilot.status(run).await.unwrap() != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    };
    let said = |told: &Value| {
        let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        [word("status"), word("decision"), word("accepted")].join(" ")
    };
    // Nobody is at work: the program goes on with the run that is woken.
    let woken = notify("A ship is in", "medium", "t");
    assert_eq!(said(&woken), "delivered deliver wake");
    until(&woken["runId"], RunStatus::Success);
    // A run that waits for somebody is not disturbed, whatever it is.
    let woken = notify("Please open the lock", "high", "u");
    until(&woken["runId"], RunStatus::Suspended);
    let blocked = notify("Fire", "urgent", "u");
    assert_eq!(said(&blocked), "pending deliver blocked");
    assert_eq!(blocked["runId"], woken["runId"]);
    // What is low wakes nobody.
    let quiet = notify("Lunch", "low", "v");
    assert_eq!(said(&quiet).trim_end(), "pending summarize");
    office.runtime.block_on(app.close()).unwrap();
}

#[test]
fn what_cannot_be_is_refused_in_one_line_that_helps() {
    let office = Office::new();
    let long = "x".repeat(300);
    let base = ["notify", "pilot", "Red", "--kind", "build"];
    let from = ["--source", "ci"];
    let table: [(&[&str], &[&str]); 9] = [
        (&["--priority", "loud"], &["--priority", "loud", "urgent"]),
        (&["--id", &long], &["--id", "300", "128"]),
        (&["--dedupe-key", ""], &["--dedupe-key", "1 to 256"]),
        (&["--coalesce-key", &long], &["--coalesce-key", "256"]),
        (&["--payload", "{"], &["--payload"]),
        (&["--payload", "@none.json"], &["none.json"]),
        (&["--in", "40000d"], &["--in", "36500d"]),
        (&["--at", "2h"], &["--at", "2026-05-01"]),
        (&["--at", "2999-01-01", "--in", "2h"], &["--at", "--in"]),
    ];
    let refused = |args: &[&str], code: i32, parts: &[&str]| {
        let done = office.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        for part in parts {
            assert!(done.failure().contains(part), "{args:?}: {done:?}");
        }
    };
    for (option, parts) in table {
        refused(&[&base[..], &from, &THREAD, option].concat(), 2, parts);
    }
    refused(&[&base[..], &from].concat(), 2, &["--thread"]);
    refused(&[&base[..], &THREAD].concat(), 2, &["--source"]);
    let agent = ["notify", "cook", "Red", "--kind", "build"];
    refused(
        &[&agent[..], &from, &THREAD].concat(),
        2,
        &["cook", "mate, pilot"],
    );
    let payload = json!("x".repeat(70_000)).to_string();
    let large = [&base[..], &from, &THREAD, &["--payload", &payload]].concat();
    refused(&large, 1, &["payload", "65536"]);

    let table: [(&[&str], i32, &[&str]); 9] = [
        (&["list", "--status", "gone"], 2, &["gone", "archived"]),
        (&["list", "--priority", "loud"], 2, &["loud", "urgent"]),
        (
            &["list", "--unread", "--status", "seen"],
            2,
            &["--unread", "--status"],
        ),
        (&["list", "--limit", "101"], 2, &["--limit", "100"]),
        (&["list", "--cursor", "x y"], 2, &["--cursor", "inbox list"]),
        (&["show", "none"], 1, &["\"none\"", "inbox list"]),
        (&["show"], 2, &["<NOTIFICATION>"]),
        (&["dismiss"], 2, &["<NOTIFICATION>"]),
        (&["archiv", "a"], 2, &["archive"]),
    ];
    for (args, code, parts) in table {
        refused(&[&["inbox"], args, &THREAD].concat(), code, parts);
    }
    // Who forgets whom a thread is with is reminded of it.
    refused(&["inbox", "show", "a", "--thread", "t"], 1, &["--resource"]);
    refused(&["inbox", "list"], 2, &["--thread"]);
    let nowhere = [
        "inbox",
        "list",
        "--thread",
        "t",
        "--store",
        "sqlite:none.db",
    ];
    refused(&nowhere, 1, &["no store"]);
    assert!(!office.scratch.join("none.db").exists());
}

#[test]
fn what_is_due_at_once_is_told_before_the_command_ends() {
    let office = Office::new();
    let notify = |id: &str, options: &[&str]| {
        let what = ["notify", "pilot", "Lunch", "--kind", "meal", "--id", id];
        let args = [&what[..], &["--source", "galley"], &THREAD, options];
        office.json(&args.concat()).remove(0)
    };
    let is_told = |record: &Value| record.get("summaryAt").is_none();
    for (id, options, status) in [
        ("a", &["--priority", "low"][..], "pending"),
        ("b", &["--at", "2001-01-01"], "delivered"),
        // By now there is a run that a summary can go to.
        ("c", &["--priority", "high"], "pending"),
    ] {
        let sent = notify(id, options);
        assert_eq!(sent["status"], status, "{sent}");
        assert!(is_told(&sent), "{sent}");
        let kept = office.inbox(&["show", id]).remove(0);
        assert_eq!((&kept["status"], is_told(&kept)), (&json!(status), true));
    }
    // In a summary that there was, and in full by a signal that there was.
    for (id, signal) in [("a", "summarySignalId"), ("b", "deliveredSignalId")] {
        let kept = office.inbox(&["show", id]).remove(0);
        assert!(kept[signal].is_string(), "{kept}");
    }
}
