//! Group A, the rows in which a bare socket speaks with each language.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use bowline_interop::roles::{both, have_node, pairs};
use bowline_interop::values::reveal;
use bowline_interop::{Kind, RawConnection, Seen, bus, numbers};
use serde_json::{Value, json};

/// One line of the captured dialogue: who wrote it to the broker, or what the broker wrote.
struct Captured {
    to_broker: bool,
    frame: String,
    client: usize,
}

/// The captured dialogue of two bare clients with a broker of the reference.
fn captured() -> Vec<Captured> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/unix/testdata/vectors.ndjson");
    let text = fs::read_to_string(path).unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let note = line["note"].as_str().unwrap();
        if note.starts_with("[2 ") {
            lines.push(Captured {
                to_broker: line["dir"] == "c2b",
                frame: line["frame"].as_str().unwrap().to_owned(),
                client: usize::from(note.contains("raw B")),
            });
        }
    }
    lines
}

/// What a broker answers to everything that the clients of the capture write, by client. Ids and times are masked.
fn dialogue(kind: Kind) -> [Vec<Value>; 2] {
    let bus = bus!();
    let broker = bus.start(kind);
    // In the capture the broker's own process is the first member of the group.
    broker.join("t", "member", "g");
    let mut wires = [bus.connect(), bus.connect()];
    let mut answers = [Vec::new(), Vec::new()];
    for (at, line) in captured().iter().filter(|line| line.to_broker).enumerate() {
        let wire = &mut wires[line.client];
        wire.send(&line.frame);
        // Waits for its turn: what the next client writes has to come later.
        let mark = format!("mark {at}");
        wire.send_frame(&json!({ "type": "unsubscribe", "topic": mark }));
        answers[line.client].extend(until(wire, &mark));
    }
    for (wire, answers) in wires.iter_mut().zip(&mut answers) {
        wire.send_frame(&json!({ "type": "unsubscribe", "topic": "end" }));
        answers.extend(until(wire, "end"));
    }
    assert_eq!(broker.remote_clients(), 2, "{kind}");
    answers
}

fn until(wire: &mut RawConnection, mark: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let mut frame = reveal(wire.line().as_bytes());
        if frame["topic"] == mark {
            return frames;
        }
        mask(&mut frame);
        frames.push(frame);
    }
}

fn mask(frame: &mut Value) {
    if frame["type"] == "event" {
        frame["event"]["id"] = json!("id");
        frame["event"]["createdAt"] = json!("time");
    }
}

/// The captured answers. Where Rust does better by design, what Rust does is put in their place.
fn expected(kind: Kind) -> [Vec<Value>; 2] {
    let mut answers = [Vec::new(), Vec::new()];
    let mut published = Value::Null;
    for line in captured() {
        let mut frame = reveal(line.frame.as_bytes());
        if line.to_broker {
            published = frame["event"]["data"].clone();
            continue;
        }
        mask(&mut frame);
        if kind == Kind::Rust {
            if !frame["topic"].is_string() {
                // A membership without a topic is not acknowledged.
                continue;
            }
            if frame["event"]["type"] == "x" {
                // Data are passed on as they came.
                frame["event"]["data"] = published.clone();
            }
            if frame["group"].is_null() {
                // No group is no member at all, never null.
                frame.as_object_mut().unwrap().remove("group");
            }
        }
        answers[line.client].push(frame);
    }
    answers
}

#[test]
fn a12_brokers_answer_as_captured() {
    for kind in both() {
        let (answers, expected) = (dialogue(kind), expected(kind));
        for client in 0..2 {
            assert!(expected[client].len() > 5, "the capture is not what it was");
            for (at, (answer, wanted)) in answers[client].iter().zip(&expected[client]).enumerate()
            {
                assert_eq!(answer, wanted, "{kind}, client {client}, answer {at}");
            }
            assert_eq!(
                answers[client].len(),
                expected[client].len(),
                "{kind}, client {client}"
            );
        }
    }
}

/// Envelopes that no Node process can read; the first two end a broker of the reference.
const UNREADABLE: [&str; 9] = [
    r#"{"__m_codec__":"Date","v":"yesterday"}"#,
    r#"{"__m_codec__":"Error","v":{"name":"E","message":"m","n":{"__m_codec__":"BigInt","v":"1"}}}"#,
    r#"{"__m_codec__":"Date","v":""}"#,
    r#"{"a":[{"__m_codec__":"Map","v":[["k",{"__m_codec__":"Date","v":"2026-13-01T00:00:00.000Z"}]]}]}"#,
    r#"{"__m_co\u0064ec__":"Date","v":"escaped"}"#,
    r#"{"__m_codec__":"BigInt","v":"abc"}"#,
    r#"{"__m_codec__":"URL","v":"nope"}"#,
    r#"{"__m_codec__":"Map","v":[1]}"#,
    r#"{"__m_codec__":"Class","n":"DefaultGeneratedFile","v":null}"#,
];

#[test]
fn a13_unreadable_envelopes_stop_at_a_broker_in_rust() {
    let kinds: &[Kind] = if have_node() {
        &[Kind::Node, Kind::Rust]
    } else {
        &[Kind::Rust]
    };
    let bus = bus!();
    let broker = bus.start(Kind::Rust);
    broker.subscribe("t", "all");
    let clients: Vec<_> = kinds.iter().map(|kind| bus.start(*kind)).collect();
    for client in &clients {
        client.subscribe("t", "all");
        client.join("t", "member", "g");
    }
    let mut hostile = bus.connect();
    for data in UNREADABLE {
        assert!(hostile.publish("t", data), "{data}");
    }
    // In other members of the event, too.
    hostile.send(r#"{"type":"publish","topic":"t","event":{"type":"x","runId":{"__m_codec__":"Date","v":"x"},"data":1}}"#);
    hostile.send(r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","extra":{"__m_codec__":"Date","v":"x"}}}"#);
    hostile.publish("t", "8");
    let everybody: Vec<_> = clients.iter().chain([&broker]).collect();
    for peer in &everybody {
        let seen = peer.wait_seen("all", 1);
        assert_eq!(numbers(&seen), [8], "{}", peer.name());
    }
    let readers: Vec<_> = everybody.iter().map(|peer| (*peer, "all")).collect();
    bus.reachable("t", &readers);
    assert_eq!(broker.remote_clients(), clients.len() as u64 + 1);
}

#[test]
fn a13_own_publishes_are_checked_before_they_leave() {
    for row in pairs() {
        let bus = bus!();
        let [broker, client] = bus.start_all(row);
        broker.subscribe("t", "all");
        client.subscribe("t", "all");
        for publisher in [&broker, &client]
            .into_iter()
            .filter(|peer| peer.kind() == Kind::Rust)
        {
            let event =
                json!({ "type": "x", "runId": "r", "data": [{ "__m_codec__": "InvalidDate" }] });
            let refused = publisher
                .begin("publish", json!({ "topic": "t", "event": event }))
                .result();
            let error = refused.expect_err("an invalid date");
            assert!(
                error.contains("invalid payload") && error.contains("Date"),
                "{error}"
            );
            for seen in bus.settled(publisher, "t", &[(&broker, "all"), (&client, "all")]) {
                assert!(seen.is_empty(), "{seen:?}");
            }
        }
    }
}

#[test]
fn a13_rust_takes_over_from_a_node_broker_that_an_invalid_date_has_ended() {
    if !have_node() {
        return;
    }
    let bus = bus!();
    let [broker, client] = bus.start_all([Kind::Node, Kind::Rust]);
    broker.subscribe("t", "all");
    client.subscribe("t", "all");
    bus.connect().publish("t", UNREADABLE[0]);
    assert_eq!(broker.ended().code(), Some(70));
    bus.converged(&[&client]);
    client.publish("t", json!(1));
    assert_eq!(numbers(&client.wait_seen("all", 1)), [1]);
}

#[test]
fn a14_a_group_that_is_absent_undefined_or_null_means_no_group() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let peer = bus.start(kind);
        let subscribing = peer.begin_subscribe("t", "a", json!({}));
        let mut wire = broker.accept();
        wire.acknowledge();
        subscribing.wait();
        let groups = [
            "",
            r#","group":{"__m_codec__":"Undefined"}"#,
            r#","group":null"#,
            "",
        ];
        for (group, number) in groups.iter().zip(1..) {
            wire.send(&format!(
                r#"{{"type":"event","topic":"t","event":{{"type":"x","runId":"r","data":{number},"id":"{number}"}}{group}}}"#
            ));
        }
        let seen = peer.seen_until("a", |seen| numbers(seen).contains(&4));
        // The package takes null for a group of that name.
        let expected: &[u64] = if kind == Kind::Node {
            &[1, 2, 4]
        } else {
            &[1, 2, 3, 4]
        };
        assert_eq!(numbers(&seen), expected, "{kind}");
    }
}

#[test]
fn a15_only_a_string_makes_a_group() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.start(kind);
        broker.subscribe("elsewhere", "b");
        let groups = [
            "",
            r#","group":{"__m_codec__":"Undefined"}"#,
            r#","group":null"#,
            r#","group":"""#,
            r#","group":"""#,
        ];
        let mut wires: Vec<_> = groups.iter().map(|_| bus.connect()).collect();
        for (wire, group) in wires.iter_mut().zip(groups) {
            wire.send(&format!(r#"{{"type":"subscribe","topic":"t"{group}}}"#));
            assert_eq!(wire.frame()["type"], "subscribed");
        }
        broker.publish("t", json!(1));
        broker.publish("t", json!(2));
        let of = |frames: &[Value]| -> Vec<(Value, Value)> {
            frames
                .iter()
                .map(|frame| (frame["event"]["data"].clone(), frame["group"].clone()))
                .collect()
        };
        for wire in &mut wires[..3] {
            let frames = [wire.frame(), wire.frame()];
            assert_eq!(
                of(&frames),
                [(json!(1), Value::Null), (json!(2), Value::Null)],
                "{kind}"
            );
            assert!(
                frames[0].get("group").is_none(),
                "{kind} wrote {}",
                frames[0]
            );
        }
        let members = [wires[3].frame(), wires[4].frame()];
        assert_eq!(
            of(&members),
            [(json!(1), json!("")), (json!(2), json!(""))],
            "{kind}"
        );
    }
}

#[test]
fn a16_frames_may_be_cut_and_joined_anywhere() {
    let publish = |data: &str| {
        format!(
            r#"{{"type":"publish","topic":"é","event":{{"type":"x","runId":"r","data":"{data}"}}}}"#
        )
    };
    for kind in both() {
        let bus = bus!();
        let broker = bus.start(kind);
        broker.subscribe("é", "b");
        let mut wire = bus.connect();
        for byte in format!("{}\n", publish("😀1")).bytes() {
            wire.send_bytes(&[byte]);
        }
        let joined = ["2", "3", "4"]
            .map(|data| format!("{}\n", publish(data)))
            .concat();
        wire.send_bytes(joined.as_bytes());
        wire.send_bytes(format!("\n \t\n{}\r\n  {}  \n", publish("5"), publish("6")).as_bytes());
        let seen = broker.wait_seen("b", 6);
        let data: Vec<&Value> = seen.iter().map(Seen::data).collect();
        assert_eq!(data, ["😀1", "2", "3", "4", "5", "6"], "{kind}");
    }
}

#[test]
fn a16_a_client_reads_cut_and_joined_frames() {
    let event = |data: u32| {
        format!(
            r#"{{"type":"event","topic":"t","event":{{"type":"é","runId":"r","data":{data}}}}}"#
        )
    };
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let peer = bus.start(kind);
        let subscribing = peer.begin_subscribe("t", "a", json!({}));
        let mut wire = broker.accept();
        wire.acknowledge();
        subscribing.wait();
        for byte in format!("{}\r\n", event(1)).bytes() {
            wire.send_bytes(&[byte]);
        }
        wire.send_bytes(format!("\n{}\n{}\n \n", event(2), event(3)).as_bytes());
        assert_eq!(numbers(&peer.wait_seen("a", 3)), [1, 2, 3], "{kind}");
    }
}
