//! The broker ends, in every way a process can end, while others are on the bus.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::{Running, Scratch};

/// A `publish --ndjson` that is fed line by line.
struct Publisher {
    child: Child,
    lines: ChildStdin,
    receipts: BufReader<ChildStdout>,
}

impl Publisher {
    fn start(scratch: &Scratch, topic: &str) -> Self {
        let bus = scratch.bus();
        let mut child = scratch
            .command(["publish", topic, "--bus", &bus, "--type", "x", "--ndjson"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines = child.stdin.take().expect("stdin is piped");
        let receipts = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            lines,
            receipts,
        }
    }

    /// Publishes `n` and waits for the receipt.
    fn publish(&mut self, n: u64) {
        writeln!(self.lines, "{n}").expect("the publisher reads");
        let mut receipt = String::new();
        self.receipts
            .read_line(&mut receipt)
            .expect("the publisher writes");
        assert!(receipt.starts_with("{\"topic\":"), "{receipt:?}");
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).expect("a line of JSON");
    event["data"].as_u64().expect("a number")
}

/// Publishes numbers from `next` on until `tail` prints one of them; returns the first number that was not published.
fn publish_until_heard(
    publisher: &mut Publisher,
    tail: &Running,
    mut next: u64,
) -> (u64, Vec<u64>) {
    for _ in 0..1_000 {
        publisher.publish(next);
        next += 1;
        if let Ok(line) = tail.out.recv_timeout(Duration::from_millis(20)) {
            return (next, vec![number(&line)]);
        }
    }
    panic!("nothing arrives any more");
}

#[test]
fn the_stream_goes_on_when_the_broker_ends_and_nothing_comes_twice() {
    for signal in ["KILL", "TERM", "INT"] {
        let scratch = Scratch::new();
        let broker = scratch.tail("t", &["--json"]);
        let tail = scratch.tail("t", &["--json"]);
        let mut publisher = Publisher::start(&scratch, "t");
        for n in 0..20 {
            publisher.publish(n);
        }
        let mut seen: Vec<u64> = (0..20).map(|_| number(&tail.line())).collect();

        broker.signal(signal);
        let (code, _) = broker.wait();
        assert_eq!(code, (signal != "KILL").then_some(0), "{signal}");

        let (next, heard) = publish_until_heard(&mut publisher, &tail, 20);
        seen.extend(heard);
        // From the first event that arrives again on, nothing is missing.
        for n in next..next + 20 {
            publisher.publish(n);
        }
        while seen.last() != Some(&(next + 19)) {
            seen.push(number(&tail.line()));
        }
        let resumed = seen[20];
        let expected: Vec<u64> = (0..20).chain(resumed..next + 20).collect();
        assert_eq!(seen, expected, "{signal}");
        assert!(
            scratch.join("events.sock").exists(),
            "{signal}: the socket of the successor is gone"
        );
        assert!(
            !scratch.join("events.sock.elect").exists(),
            "{signal}: the lock is left behind"
        );
    }
}

#[test]
fn group_members_take_over_from_a_broker_that_was_killed() {
    let scratch = Scratch::new();
    let options = ["--json", "--group", "g"];
    let broker = scratch.tail("t", &options);
    let member = scratch.tail("t", &options);
    broker.signal("KILL");
    broker.wait();
    let mut publisher = Publisher::start(&scratch, "t");
    let (next, _) = publish_until_heard(&mut publisher, &member, 0);
    for n in next..next + 10 {
        publisher.publish(n);
    }
    // The only member that is left gets every event.
    let rest: Vec<u64> = std::iter::repeat_with(|| number(&member.line()))
        .skip_while(|n| *n < next)
        .take(10)
        .collect();
    assert_eq!(rest, (next..next + 10).collect::<Vec<_>>());
}

#[test]
fn a_stale_socket_and_a_left_over_lock_stop_nobody() {
    let scratch = Scratch::new();
    drop(UnixListener::bind(scratch.join("events.sock")).expect("the socket is bound"));
    let lock = std::fs::File::create(scratch.join("events.sock.elect")).expect("the lock is made");
    lock.set_modified(SystemTime::now() - Duration::from_secs(60))
        .expect("the lock is old");
    let tails = [(); 2].map(|()| scratch.tail("t", &["--json", "--limit", "1"]));
    scratch.publish("t", "7");
    for tail in tails {
        assert_eq!(number(&tail.line()), 7);
        assert_eq!(tail.wait(), (Some(0), vec![]));
    }
    assert!(!scratch.join("events.sock.elect").exists());
}

#[test]
fn processes_that_start_at_once_agree_on_one_broker() {
    const PROCESSES: usize = 6;
    let scratch = Scratch::new();
    let bus = scratch.bus();
    let tails: Vec<Running> = (0..PROCESSES)
        .map(|_| scratch.start(["tail", "t", "--bus", &bus, "--json", "--limit", "1"]))
        .collect();
    tails
        .iter()
        .for_each(|tail| tail.wait_for_note("listening"));
    scratch.publish("t", "7");
    for tail in tails {
        assert_eq!(number(&tail.line()), 7);
        assert_eq!(tail.wait().0, Some(0));
    }
}

#[test]
fn a_broker_that_leaves_while_others_wait_for_events_hands_the_bus_over() {
    let scratch = Scratch::new();
    // The first one is the broker and ends first; then the next one is, and so on. What is under way in that moment may be lost,
    // so each is given events until it has had enough.
    let mut tails: Vec<Running> = (1..=3)
        .map(|n: u32| scratch.tail("t", &["--json", "--limit", &(n * 5).to_string()]))
        .collect();
    let mut publisher = Publisher::start(&scratch, "t");
    let mut next = 0;
    for tail in &mut tails {
        while !tail.has_ended() {
            publisher.publish(next);
            next += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for (tail, limit) in tails.into_iter().zip([5, 10, 15]) {
        let (code, lines) = tail.wait();
        let numbers: Vec<u64> = lines.iter().map(|line| number(line)).collect();
        assert_eq!((code, numbers.len()), (Some(0), limit));
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "doubled or out of order: {numbers:?}"
        );
    }
}
