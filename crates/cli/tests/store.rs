//! Caches and stores in files and databases: what was published survives every process, and the doctor only looks.

#![cfg(any(feature = "sqlite", feature = "postgres"))]
#![allow(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test is a failed test"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::Value;
use support::{Done, Scratch};

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// A `publish --ndjson` that waits for the next line.
struct Publisher {
    child: Child,
    lines: Option<ChildStdin>,
    receipts: BufReader<ChildStdout>,
}

impl Publisher {
    fn start(scratch: &Scratch, bus: &str, cache: &str) -> Self {
        let mut child = scratch
            .command(["publish", "t", "--type", "x", "--ndjson", "--bus", bus])
            .args(["--cache", cache])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = child.stdin.take();
        let receipts = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            receipts,
        }
    }

    /// Publishes `data`, and returns the index that the receipt tells.
    fn publish(&mut self, data: u64) -> u64 {
        self.send(data);
        self.receipt()
    }

    fn send(&mut self, data: u64) {
        writeln!(self.lines.as_mut().unwrap(), "{data}").unwrap();
    }

    fn receipt(&mut self) -> u64 {
        let mut receipt = String::new();
        self.receipts.read_line(&mut receipt).unwrap();
        json(&receipt)["index"]
            .as_u64()
            .unwrap_or_else(|| panic!("{receipt:?} has no index"))
    }

    /// Ends it as nothing can be that is not allowed a last word.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) {
        drop(self.lines.take());
        assert_eq!(support::wait_for(&mut self.child), Some(0));
    }
}

/// All that a new process sees of the topic, each event once and in order.
fn replay(scratch: &Scratch, bus: &str, cache: &str, events: usize) -> Vec<u64> {
    let limit = events.to_string();
    let args = [
        "tail",
        "t",
        "--from",
        "0",
        "--json",
        "--timeout",
        "20",
        "--limit",
        &limit,
        "--bus",
        bus,
        "--cache",
        cache,
    ];
    let done = scratch.run(args, "");
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines: Vec<_> = done.out.lines().map(json).collect();
    let indices: Vec<_> = lines
        .iter()
        .map(|line| line["index"].as_u64().unwrap())
        .collect();
    assert!(indices.iter().copied().eq(0..events as u64), "{indices:?}");
    lines
        .iter()
        .map(|line| line["data"].as_u64().unwrap())
        .collect()
}

fn doctor(scratch: &Scratch, options: &[&str]) -> Done {
    let args = [&["doctor", "--json", "--bus", "memory:"], options].concat();
    scratch.run(args, "")
}

/// Publishers that are killed, one after the other, and then a reader that gets everything.
fn survives_kills(scratch: &Scratch, bus: &str, cache: &str) {
    let mut published = 0;
    for _ in 0..3 {
        let mut publisher = Publisher::start(scratch, bus, cache);
        for _ in 0..20 {
            assert_eq!(publisher.publish(published), published);
            published += 1;
        }
        publisher.kill();
    }
    let seen = replay(scratch, bus, cache, 60);
    assert!(seen.into_iter().eq(0..60));
}

/// Two processes that publish at the same time, and a reader that gets what both have published.
fn is_shared(scratch: &Scratch, bus: &str, cache: &str) {
    const EACH: u64 = 100;
    let mut publishers = [(); 2].map(|()| Publisher::start(scratch, bus, cache));
    for n in 0..EACH {
        publishers[0].send(n);
        publishers[1].send(EACH + n);
    }
    let mut at = std::collections::BTreeMap::new();
    for (publisher, first) in publishers.iter_mut().zip([0, EACH]) {
        let indices: Vec<_> = (0..EACH).map(|_| publisher.receipt()).collect();
        assert!(indices.is_sorted(), "{indices:?}");
        at.extend(indices.into_iter().zip(first..));
    }
    publishers.into_iter().for_each(Publisher::end);
    let seen = replay(scratch, bus, cache, 2 * EACH as usize);
    // No index was given twice, and each leads to the event that its publisher was told of.
    assert!(seen.into_iter().eq(at.into_values()));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    #[test]
    fn what_has_a_receipt_survives_kill_9() {
        let scratch = Scratch::new();
        survives_kills(&scratch, &scratch.bus(), "sqlite:events.db");
        let scratch = Scratch::new();
        survives_kills(&scratch, "memory:", "sqlite:events.db?synchronous=full");
    }

    #[test]
    fn two_processes_share_one_file() {
        let scratch = Scratch::new();
        is_shared(&scratch, &scratch.bus(), "sqlite:events.db");
    }

    #[test]
    fn a_reader_goes_on_live_after_the_history() {
        let scratch = Scratch::new();
        let cache = "sqlite:events.db";
        let bus = scratch.bus();
        let mut publisher = Publisher::start(&scratch, &bus, cache);
        publisher.publish(0);
        let tail = scratch.tail(
            "t",
            &["--json", "--from", "0", "--limit", "2", "--cache", cache],
        );
        assert_eq!(json(&tail.line())["data"], 0);
        publisher.publish(1);
        assert_eq!(json(&tail.line())["data"], 1);
        assert_eq!(tail.wait(), (Some(0), vec![]));
        publisher.end();
    }

    #[test]
    fn the_cache_may_be_named_in_the_environment_or_the_file() {
        let scratch = Scratch::new();
        scratch.write(
            "bowline.toml",
            "bus = \"memory:\"\n[cache]\nurl = \"sqlite:file.db\"\nmax_events = 2\n",
        );
        for name in ["variable.db", "file.db"] {
            for index in 0..3 {
                let mut command = scratch.command(["publish", "t", "--type", "x"]);
                if name == "variable.db" {
                    command.env("BOWLINE_CACHE", "sqlite:variable.db");
                }
                let done = support::finish(command, "");
                assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
                assert_eq!(json(&done.out)["index"], index);
            }
            assert!(scratch.join(name).exists());
        }
        // Only what the file says is kept, and the indices count on.
        let done = scratch.run(["tail", "t", "--json", "--from", "0", "--limit", "2"], "");
        let seen: Vec<_> = done
            .out
            .lines()
            .map(|line| json(line)["index"].clone())
            .collect();
        assert_eq!(seen, [1, 2], "{done:?}");
    }

    #[test]
    fn topics_are_listed_from_the_file() {
        let scratch = Scratch::new();
        let cache = ["--bus", "memory:", "--cache", "sqlite:events.db"];
        let args = [&["publish", "orders", "--type", "x"], &cache[..]].concat();
        assert_eq!(scratch.run(args, "").code, Some(0));
        let done = scratch.run([&["topics", "--json"], &cache[..]].concat(), "");
        assert_eq!(json(&done.out)["topic"], "orders", "{done:?}");
    }

    #[test]
    fn a_cache_that_cannot_be_opened_fails_before_anything_is_published() {
        let scratch = Scratch::new();
        scratch.write("text.db", "no database".repeat(100));
        for (url, code, part) in [
            ("sqlite:none/events.db", 1, "folder"),
            ("sqlite:text.db", 1, "not an SQLite database"),
            (
                "sqlite:text.db?synchronos=full",
                2,
                "did you mean \"synchronous\"?",
            ),
            ("sqlite://text.db", 2, "a file has no host"),
        ] {
            let args = [
                "publish", "t", "--type", "x", "--bus", "memory:", "--cache", url,
            ];
            let done = scratch.run(args, "");
            assert_eq!(
                (done.code, done.out.as_str()),
                (Some(code), ""),
                "{url}: {done:?}"
            );
            assert!(done.failure().contains(part), "{url}: {done:?}");
        }
        let text = std::fs::read_to_string(scratch.join("text.db")).unwrap();
        assert!(text.starts_with("no database"));
    }

    #[test]
    fn the_doctor_looks_at_a_file_and_makes_none() {
        let scratch = Scratch::new();
        scratch.write("text.db", "no database".repeat(100));
        let cases = [
            ("sqlite:events.db", "ok", "events.db is not a database yet"),
            ("sqlite:none/events.db", "problem", "no such folder"),
            ("sqlite:text.db", "problem", "not an SQLite database"),
            ("sqlite::memory:", "warning", "memory of one process"),
        ];
        for (url, level, part) in cases {
            for option in ["--cache", "--store"] {
                let done = doctor(&scratch, &[option, url]);
                assert_eq!(
                    done.code,
                    Some(i32::from(level == "problem")),
                    "{url}: {done:?}"
                );
                let whose = format!("{}: ", option.trim_start_matches('-'));
                let found = done.findings(level);
                let finding = found.iter().find(|(what, _)| what.contains(part));
                assert!(
                    finding.is_some_and(|(what, _)| what.starts_with(&whose)),
                    "{url}: {done:?}"
                );
            }
        }
        let names: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");

        let mut publisher = Publisher::start(&scratch, "memory:", "sqlite:events.db");
        publisher.publish(0);
        for (url, safety) in [
            ("sqlite:events.db", "a loss of power may cost"),
            ("sqlite:events.db?synchronous=full", "and a loss of power"),
        ] {
            let done = doctor(&scratch, &["--cache", url, "--store", url]);
            assert_eq!(done.code, Some(0), "{done:?}");
            let found = done.findings("ok");
            for part in ["histories: 1 (events: 1), records: 0", "MiB in all", safety] {
                let about = found.iter().filter(|(what, _)| what.contains(part));
                assert_eq!(about.count(), 2, "{part}: {found:#?}");
            }
            let report = json(&done.out);
            assert_eq!(
                (&report["cache"], &report["store"]),
                (&url.into(), &url.into())
            );
            let replay = report["capabilities"].as_array().unwrap().iter();
            let replay: Vec<_> = replay.filter(|row| row["name"] == "replay").collect();
            assert_eq!(replay[0]["value"], "yes");
        }
        publisher.end();
    }

    #[test]
    fn a_folder_that_may_not_be_written_is_a_problem() {
        use std::os::unix::fs::PermissionsExt;

        let scratch = Scratch::new();
        let folder = scratch.join("locked");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).unwrap();
        let url = format!("sqlite:{}/events.db", folder.display());
        let args = ["doctor", "--json", "--bus", "memory:", "--cache", &url];
        let done = support::finish(scratch.unprivileged(args), "");
        assert_eq!(done.code, Some(1), "{done:?}");
        let (what, remedy) = done.findings("problem").remove(0);
        assert!(
            what.contains("may not make it") && remedy.contains("locked"),
            "{done:?}"
        );
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use bowline_testkit::{PostgresServer, skips_postgres};

    use super::*;

    #[tokio::test]
    async fn histories_on_a_server_survive_and_are_shared() {
        if skips_postgres() {
            return;
        }
        let server = PostgresServer::start().await.unwrap();
        let scratch = Scratch::new();
        let url = |schema: &str| format!("{}?schema={schema}&max_connections=3", server.url());
        let before = doctor(&scratch, &["--cache", &url("killed")]);
        assert_eq!(before.code, Some(0), "{before:?}");
        let absent = before.findings("ok");
        assert!(
            absent
                .iter()
                .any(|(what, _)| what.contains("not there yet")),
            "{absent:?}"
        );

        survives_kills(&scratch, &scratch.bus(), &url("killed"));
        is_shared(&scratch, &scratch.bus(), &url("shared"));
        let after = doctor(&scratch, &["--cache", &url("killed")]);
        let found = after.findings("ok");
        assert!(
            found.iter().any(|(what, _)| what.contains("(events: 60)")),
            "{found:?}"
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_told_without_the_password() {
        let scratch = Scratch::new();
        // Port 1 is that of a service that nobody runs.
        let url = "postgres://app:hunter2@127.0.0.1:1/shop?timeout=5s";
        let runs = [
            doctor(&scratch, &["--cache", url, "--store", url]),
            scratch.run(
                [
                    "publish", "t", "--type", "x", "--bus", "memory:", "--cache", url,
                ],
                "",
            ),
            scratch.run(
                [
                    "tail",
                    "t",
                    "--bus",
                    "memory:",
                    "--cache",
                    &format!("{url}&schem=a"),
                ],
                "",
            ),
        ];
        for (done, code) in runs.iter().zip([1, 1, 2]) {
            assert_eq!(done.code, Some(code), "{done:?}");
            assert!(!format!("{done:?}").contains("hunter2"), "{done:?}");
        }
        let problems = runs[0].findings("problem");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems
                .iter()
                .all(|(what, remedy)| what.contains("127.0.0.1:1")
                    && remedy.contains("host and port"))
        );
    }
}
