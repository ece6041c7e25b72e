//! Group D: limits, and consumers that are slower than what they subscribed to.

use std::time::Duration;

use bowline_interop::roles::{both, pairs};
use bowline_interop::{Kind, bus, eventually, numbers};
use serde_json::json;

use Kind::Rust;

#[test]
fn d1_a_line_at_the_limit_passes_and_one_byte_more_closes() {
    /// A subscribe frame of exactly this many bytes.
    fn frame(bytes: usize) -> String {
        let frame = |topic: &str| json!({ "type": "subscribe", "topic": topic }).to_string();
        frame(&"t".repeat(bytes - frame("").len()))
    }
    for kind in both() {
        let bus = bus!();
        let broker = bus.start_with(kind, json!({ "maxInboundFrameBytes": 200 }));
        broker.subscribe("t", "b");
        for (bytes, terminated, open) in [
            (200, true, true),
            (201, true, false),
            (200, false, true),
            (201, false, false),
        ] {
            let mut wire = bus.connect();
            wire.send_bytes(frame(bytes).as_bytes());
            if terminated || open {
                wire.send_bytes(b"\n");
            }
            if open {
                assert_eq!(wire.frame()["type"], "subscribed", "{kind}, {bytes} bytes");
            } else {
                assert!(wire.until_closed().is_empty(), "{kind}, {bytes} bytes");
            }
        }
        assert_eq!(broker.seen("b").len(), 0);
    }
}

#[test]
fn d1_an_unterminated_line_at_the_limit_is_kept_open() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.start_with(kind, json!({ "maxInboundFrameBytes": 200 }));
        broker.subscribe("t", "b");
        let mut wire = bus.connect();
        wire.send_bytes(" ".repeat(200).as_bytes());
        eventually("the broker sees the connection", || {
            match broker.remote_clients() {
                1 => Ok(()),
                count => Err(count.to_string()),
            }
        });
        // Answered behind the bytes above by a second connection, so the broker has had its turn with the first.
        bus.connect().subscribe("t");
        assert!(
            wire.is_silent(),
            "{kind} closed a connection that kept the limit"
        );
    }
}

#[test]
fn d2_d3_large_events_arrive_whole() {
    for row in pairs() {
        eprintln!("{row:?}");
        let bus = bus!();
        let [broker, client] = bus.start_all(row);
        broker.subscribe("t", "b");
        client.subscribe("t", "c");
        let mut sent = Vec::new();
        // A little below the default limit once in each direction between the languages.
        let crosses = row.contains(&Kind::Node);
        let largest: u64 = if crosses { 63 << 20 } else { 10 << 20 };
        for (publisher, chars) in [(&broker, 10 << 20), (&client, largest)] {
            let reply = publisher.call("publishBig", json!({ "topic": "t", "chars": chars }));
            sent.push(reply["sha256"].clone());
            let hashes = |seen: &[bowline_interop::Seen]| -> Vec<_> {
                seen.iter()
                    .map(|one| one.digest()["sha256"].clone())
                    .collect()
            };
            assert_eq!(hashes(&broker.wait_seen("b", sent.len())), sent);
            assert_eq!(hashes(&client.wait_seen("c", sent.len())), sent);
        }
        assert_eq!(broker.remote_clients(), 1);
    }
}

#[test]
fn d4_what_would_not_fit_as_an_event_is_refused_and_the_rest_arrives() {
    const LIMIT: u64 = 10_000;
    for row in pairs() {
        for publisher in [0, 1].into_iter().filter(|&at| row[at] == Rust) {
            eprintln!("{row:?}, publisher {publisher}");
            let bus = bus!();
            let peers = bus.start_all_with(row, json!({ "maxInboundFrameBytes": LIMIT }));
            peers[0].subscribe("t", "all");
            peers[1].subscribe("t", "all");
            let mut sent = 0;
            let mut refused = 0;
            for chars in (LIMIT - 800..LIMIT + 20).step_by(11) {
                let publish =
                    peers[publisher].begin("publishBig", json!({ "topic": "t", "chars": chars }));
                match publish.result() {
                    Ok(_) => sent += 1,
                    Err(error) => {
                        assert!(error.contains("too large"), "{error}");
                        refused += 1;
                    }
                }
            }
            assert!(sent > 0 && refused > 0, "{sent} sent, {refused} refused");
            let seen = bus.settled(
                &peers[publisher],
                "t",
                &[(&peers[0], "all"), (&peers[1], "all")],
            );
            assert_eq!(seen.map_len(), [sent, sent]);
            assert_eq!(peers[0].remote_clients(), 1);
        }
    }
}

#[test]
fn d4_an_event_that_only_the_broker_finds_too_large_does_not_stop_the_rest() {
    for row in pairs().into_iter().filter(|row| row[1] == Rust) {
        eprintln!("{row:?}");
        let bus = bus!();
        let broker = bus.start_with(row[0], json!({ "maxInboundFrameBytes": 1000 }));
        let client = bus.start(row[1]);
        broker.subscribe("t", "b");
        client.subscribe("t", "c");
        client.publish("t", json!(1));
        broker.wait_seen("b", 1);
        client.wait_seen("c", 1);
        // It ends the connection; what becomes of it is the publisher's to say, but it must not come back for ever.
        let large = json!({ "topic": "t", "chars": 5000 });
        let _ = client.begin("publishBig", large).result();
        // What is written behind it on that connection may be lost with it.
        bus.reachable("t", &[(&broker, "b"), (&client, "c")]);
        client.publish("t", json!(2));
        bus.settled(&client, "t", &[(&broker, "b"), (&client, "c")]);
        for (peer, label) in [(&broker, "b"), (&client, "c")] {
            assert_eq!(numbers(&peer.seen(label)), [1, 2], "{}", peer.name());
        }
    }
}

#[test]
fn d8_a_client_with_a_smaller_limit_misses_only_what_it_cannot_take() {
    for row in pairs() {
        eprintln!("{row:?}");
        let bus = bus!();
        let broker = bus.start(row[0]);
        let client = bus.start_with(row[1], json!({ "maxInboundFrameBytes": 1000 }));
        broker.subscribe("t", "b");
        client.subscribe("t", "c");
        broker.publish("t", json!(1));
        client.wait_seen("c", 1);
        broker.call("publishBig", json!({ "topic": "t", "chars": 5000 }));
        bus.reachable("t", &[(&broker, "b"), (&client, "c")]);
        broker.publish("t", json!(2));
        client.seen_until("c", |seen| numbers(seen) == [1, 2]);
        assert_eq!(
            broker
                .wait_seen("b", 3)
                .iter()
                .filter(|one| one.event()["type"] == "big")
                .count(),
            1
        );
        assert_eq!(broker.remote_clients(), 1);
    }
}

trait Lengths {
    fn map_len(&self) -> Vec<usize>;
}

impl<T> Lengths for Vec<Vec<T>> {
    fn map_len(&self) -> Vec<usize> {
        self.iter().map(Vec::len).collect()
    }
}

#[test]
fn d5_a_stopped_reader_is_dropped_and_nobody_waits_for_it() {
    for row in pairs() {
        eprintln!("{row:?}");
        let bus = bus!();
        let [broker, healthy] =
            bus.start_all_with(row, json!({ "maxRemoteClientQueuedBytes": 256 * 1024 }));
        broker.subscribe_with("t", "b", json!({ "quiet": true }));
        healthy.subscribe_with("t", "c", json!({ "quiet": true }));
        let mut stopped = bus.connect();
        stopped.subscribe("t");
        assert_eq!(broker.remote_clients(), 2);
        let report = broker.call(
            "publishMany",
            json!({ "topic": "t", "count": 20, "bytes": 32 * 1024, "everyMs": 1 }),
        );
        assert_eq!(report["published"], 20);
        for (peer, label) in [(&broker, "b"), (&healthy, "c")] {
            let stats = peer.reached(label, 20);
            assert_eq!(
                (&stats["distinct"], &stats["outOfOrder"]),
                (&json!(20), &json!(0))
            );
        }
        eventually("the stopped reader is dropped", || {
            match broker.remote_clients() {
                1 => Ok(()),
                count => Err(count.to_string()),
            }
        });
        assert!(stopped.until_closed().len() < 20);
    }
}

#[test]
fn d6_a_reader_that_pauses_below_the_limit_catches_up() {
    for row in pairs() {
        eprintln!("{row:?}");
        let bus = bus!();
        let [broker, publisher] =
            bus.start_all_with(row, json!({ "maxRemoteClientQueuedBytes": 256 * 1024 }));
        broker.subscribe("elsewhere", "b");
        publisher.subscribe_with("t", "own", json!({ "quiet": true }));
        let mut paused = bus.connect();
        paused.subscribe("t");
        // More than the kernel takes, less than the limit on top of it.
        publisher.call(
            "publishMany",
            json!({ "topic": "t", "count": 10, "bytes": 32 * 1024 }),
        );
        publisher.reached("own", 10);
        for seq in 0..10 {
            assert_eq!(paused.frame()["event"]["data"]["seq"], seq);
        }
        assert_eq!(broker.remote_clients(), 2);
    }
}

#[test]
fn d6_a_slow_reader_that_makes_progress_loses_nothing_to_a_broker_in_rust() {
    const COUNT: u64 = 200;
    for row in pairs().into_iter().filter(|row| row[0] == Rust) {
        for publisher in 0..2 {
            eprintln!("{row:?}, publisher {publisher}");
            let bus = bus!();
            let peers = bus.start_all_with(row, json!({ "maxRemoteClientQueuedBytes": 1 << 20 }));
            peers[0].subscribe("elsewhere", "b");
            peers[1].subscribe("elsewhere", "c");
            let mut slow = bus.connect();
            slow.subscribe("t");
            // Six times what the queue may hold.
            let flood = json!({ "topic": "t", "count": COUNT, "bytes": 32 * 1024 });
            let flood = peers[publisher].begin("publishMany", flood);
            for seq in 0..COUNT {
                assert_eq!(slow.frame()["event"]["data"]["seq"], seq);
                std::thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(flood.wait()["published"], COUNT);
            assert_eq!(peers[0].remote_clients(), 2);
        }
    }
}

#[test]
fn d7_a_dropped_client_comes_back() {
    for row in pairs() {
        eprintln!("{row:?}");
        let bus = bus!();
        let [broker, client] =
            bus.start_all_with(row, json!({ "maxRemoteClientQueuedBytes": 256 * 1024 }));
        broker.subscribe_with("flood", "b", json!({ "quiet": true }));
        client.subscribe_with("flood", "c", json!({ "quiet": true }));
        client.subscribe("t", "c2");
        client.stop();
        broker.call(
            "publishMany",
            json!({ "topic": "flood", "count": 40, "bytes": 32 * 1024, "everyMs": 1 }),
        );
        eventually("the stopped client is dropped", || {
            match broker.remote_clients() {
                0 => Ok(()),
                count => Err(count.to_string()),
            }
        });
        client.cont();
        bus.reachable("t", &[(&client, "c2")]);
        broker.publish("t", json!(1));
        client.seen_until("c2", |seen| numbers(seen) == [1]);
        let stats = client.stats("c");
        assert_eq!(
            (&stats["duplicates"], &stats["outOfOrder"]),
            (&json!(0), &json!(0)),
            "{stats}"
        );
        assert!(!client.is_broker());
    }
}

#[test]
fn d8_a_client_drops_a_connection_with_an_oversize_line_and_returns() {
    let event = |bytes: usize| {
        let data = "x".repeat(bytes);
        format!(
            r#"{{"type":"event","topic":"t","event":{{"type":"x","runId":"r","data":"{data}","id":"{bytes}"}}}}"#
        )
    };
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let client = bus.start_with(kind, json!({ "maxInboundFrameBytes": 1000 }));
        let subscribing = client.begin_subscribe("t", "c", json!({}));
        let mut wire = broker.accept();
        wire.acknowledge();
        subscribing.wait();
        let overhead = event(0).len() + 2;
        wire.send(&event(1000 - overhead));
        client.wait_seen("c", 1);
        wire.send(&event(1001 - overhead));
        assert!(wire.until_closed().is_empty(), "{kind}");
        let mut wire = broker.accept();
        assert_eq!(wire.acknowledge()["topic"], "t", "{kind}");
        wire.send(&event(5));
        let seen = client.wait_seen("c", 2);
        assert_eq!(seen[1].data(), "xxxxx", "{kind}");
    }
}
