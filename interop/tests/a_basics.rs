//! Group A: two languages on one socket, both ways round. Names are those of the interop matrix.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_interop::roles::{both, pairs};
use bowline_interop::{Bus, Kind, Peer, Seen, bus, ids, numbers};
use serde_json::{Value, json};

/// A connected broker and client, the broker with label `b` and the client with label `c` on topic `t`.
fn meet([broker, client]: [Kind; 2]) -> (Bus, Peer, Peer) {
    eprintln!("{broker} broker, {client} client");
    let bus = bus!();
    // With a minute of patience for an acknowledgement, a subscribe that returns proves that the acknowledgement matched.
    let patient = json!({ "membershipAckTimeoutMs": 60_000 });
    let [first, second] = bus.start_all_with([broker, client], patient);
    first.subscribe("t", "b");
    second.subscribe("t", "c");
    (bus, first, second)
}

/// What both labels saw, which has to be the same; `publisher` marks the end.
fn agreed(bus: &Bus, broker: &Peer, client: &Peer, publisher: &Peer) -> Vec<Seen> {
    let mut seen = bus.settled(publisher, "t", &[(broker, "b"), (client, "c")]);
    let at_client = seen.remove(1);
    let at_broker = seen.remove(0);
    assert_eq!(
        ids(&at_broker),
        ids(&at_client),
        "broker and client saw different events"
    );
    let mut distinct = ids(&at_broker);
    distinct.sort();
    distinct.dedup();
    assert_eq!(
        distinct.len(),
        at_broker.len(),
        "an event was delivered twice"
    );
    at_client
}

#[test]
fn a1_the_first_is_the_broker_and_the_second_its_client() {
    for row in pairs() {
        let (_bus, broker, client) = meet(row);
        assert!(broker.is_broker());
        assert_eq!(broker.remote_clients(), 1);
        assert!(!client.is_broker());
        assert_eq!(client.remote_clients(), 0);
    }
}

#[test]
fn a2_a3_everybody_sees_one_copy_whoever_publishes() {
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        broker.publish("t", json!(1));
        client.publish("t", json!(2));
        let seen = agreed(&bus, &broker, &client, &client);
        let mut data = numbers(&seen);
        data.sort();
        assert_eq!(data, [1, 2]);
        assert!(seen.iter().all(Seen::has_date));
        assert!(broker.seen("b").iter().all(Seen::has_date));
        assert!(
            seen.iter()
                .all(|one| one.event()["createdAt"]["__m_codec__"] == "Date")
        );
    }
}

#[test]
fn a4_the_broker_stamps_over_what_the_publisher_claims() {
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        let mut raw = bus.connect();
        raw.send(
            r#"{"type":"publish","topic":"t","event":{"id":"mine","createdAt":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.005Z"},"deliveryAttempt":9,"index":7,"type":"claim","runId":"r","data":1,"extra":{"kept":true}}}"#,
        );
        client.seen_until("c", |seen| seen.len() == 1);
        for one in agreed(&bus, &broker, &client, &broker) {
            let event = one.event();
            assert_ne!(one.id(), "mine");
            assert_eq!(one.id().len(), 36);
            assert_eq!(one.attempt(), 1);
            assert_ne!(event["createdAt"]["v"], "1970-01-01T00:00:00.005Z");
            assert_eq!(event["index"], 7);
            assert_eq!(event["extra"], json!({ "kept": true }));
        }
    }
}

/// One of every kind, nested in each other.
fn values() -> Vec<Value> {
    let tag = |name: &str, v: Value| json!({ "__m_codec__": name, "v": v });
    let date = tag("Date", json!("2026-01-02T03:04:05.678Z"));
    let undefined = json!({ "__m_codec__": "Undefined" });
    let cause = tag(
        "Error",
        json!({ "name": "Inner", "message": "i", "stack": "si", "code": 2 }),
    );
    vec![
        json!({ "a": undefined, "b": null }),
        date.clone(),
        tag("BigInt", json!("-123456789012345678901234567890")),
        tag(
            "RegExp",
            json!({ "source": "a\\/b+(?<n>\\d)", "flags": "giu" }),
        ),
        tag("URL", json!("https://user:pw@example.com:8443/p%20a?q=1#h")),
        tag(
            "Map",
            json!([["a", 1], [date, { "in": tag("Set", json!([1, [undefined]])) }]]),
        ),
        tag("Set", json!([tag("Map", json!([])), "x", 1.5])),
        tag(
            "Error",
            json!({ "name": "TypeError", "message": "m", "stack": "s", "status": 404, "cause": cause }),
        ),
        json!([[], {}, "", 0, false, { "deep": [[[{ "x": date }]]] }]),
    ]
}

#[test]
fn a5_every_value_arrives_as_it_was() {
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        for publisher in [&broker, &client] {
            let before = agreed(&bus, &broker, &client, publisher).len();
            for value in values() {
                publisher.publish("t", value);
            }
            agreed(&bus, &broker, &client, publisher);
            for (peer, label) in [(&broker, "b"), (&client, "c")] {
                let mut seen = peer.seen(label);
                seen.retain(|one| one.data().get("mark").is_none());
                let data: Vec<&Value> = seen[before..].iter().map(Seen::data).collect();
                assert_eq!(
                    data,
                    values().iter().collect::<Vec<_>>(),
                    "{} to {}",
                    publisher.name(),
                    peer.name()
                );
            }
        }
    }
}

#[test]
fn a5_undefined_null_and_absent_data_are_told_apart() {
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        for publisher in [&broker, &client] {
            let before = agreed(&bus, &broker, &client, publisher).len();
            let undefined = json!({ "__m_codec__": "Undefined" });
            publisher.publish_event("t", json!({ "type": "x", "runId": "r", "data": undefined }));
            publisher.publish_event("t", json!({ "type": "x", "runId": "r", "data": null }));
            publisher.publish_event("t", json!({ "type": "x", "runId": "r" }));
            agreed(&bus, &broker, &client, publisher);
            for (peer, label) in [(&broker, "b"), (&client, "c")] {
                let mut seen = peer.seen(label);
                seen.retain(|one| one.data().get("mark").is_none());
                let data: Vec<Option<&Value>> = seen[before..]
                    .iter()
                    .map(|one| one.event().get("data"))
                    .collect();
                // Rust has no undefined: there it may also be absent, and it is never null.
                let is_undefined =
                    data[0] == Some(&undefined) || (peer.kind() == Kind::Rust && data[0].is_none());
                assert!(
                    is_undefined,
                    "{} to {}: {data:?}",
                    publisher.name(),
                    peer.name()
                );
                assert_eq!(
                    data[1..],
                    [Some(&Value::Null), None],
                    "{} to {}",
                    publisher.name(),
                    peer.name()
                );
            }
        }
    }
}

#[test]
fn a6_awkward_strings_arrive_as_data_and_as_topic() {
    let lone = json!({ "__m_codec__": "Utf16", "v": [0x61, 0xd800, 0x62, 0xdc00] });
    let strings = [
        "",
        "a\nb \"\\",
        "\u{0}\u{1f}\u{7f}",
        "\u{2028}\u{2029}",
        "😀é✓",
        " padded ",
    ];
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        for text in strings {
            broker.subscribe(text, "odd");
            client.subscribe(text, "odd");
            broker.publish(text, json!(text));
            client.publish(text, lone.clone());
        }
        for peer in [&broker, &client] {
            let seen = peer.wait_seen("odd", strings.len() * 2);
            for text in strings {
                let count = seen.iter().filter(|one| one.data() == text).count();
                assert_eq!(count, 1, "{text:?} at {}", peer.name());
            }
            assert_eq!(
                seen.iter().filter(|one| *one.data() == lone).count(),
                strings.len()
            );
        }
        assert!(agreed(&bus, &broker, &client, &client).is_empty());
    }
}

#[test]
fn a7_numbers_are_rounded_by_node_alone() {
    let beyond = json!(9_007_199_254_740_993_u64);
    let minus_zero = json!({ "__m_codec__": "Number", "v": "-0" });
    let big = json!({ "__m_codec__": "BigInt", "v": "9007199254740993" });
    for row in pairs().into_iter().filter(|row| row[1] == Kind::Rust) {
        let (bus, broker, client) = meet(row);
        client.publish("t", json!([beyond, minus_zero, big, 1e21, 0.1]));
        client.wait_seen("c", 1);
        let seen = agreed(&bus, &broker, &client, &client);
        let expected = match row[0] {
            Kind::Rust => json!([beyond, minus_zero, big, 1e21, 0.1]),
            Kind::Node => json!([9_007_199_254_740_992_u64, 0, big, 1e21, 0.1]),
        };
        assert_eq!(*seen[0].data(), expected, "through a broker in {}", row[0]);
    }
}

#[test]
fn a8_what_looks_like_an_envelope_is_passed_on() {
    let class = r#"{"__m_codec__":"Class","n":"Nope","v":{"a":1}}"#;
    let others = [
        r#"{"__m_codec__":"Future","v":1}"#,
        r#"{"__m_codec__":"Date","v":5}"#,
        r#"{"__m_codec__":7,"v":[1]}"#,
        r#"{"__m_codec__":"Map","v":{}}"#,
    ];
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        let mut raw = bus.connect();
        raw.subscribe("t");
        for text in others.iter().chain([&class]) {
            raw.publish("t", text);
            let data = raw.frame()["event"]["data"].clone();
            let sent: Value = serde_json::from_str(text).unwrap();
            let flattened = row[0] == Kind::Node && *text == class;
            assert_eq!(data, if flattened { json!({ "a": 1 }) } else { sent });
        }
        assert_eq!(
            agreed(&bus, &broker, &client, &client).len(),
            others.len() + 1
        );
    }
}

#[test]
fn a9_one_membership_however_many_callbacks() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let peer = bus.start(kind);
        let first = peer.begin_subscribe("t", "one", json!({}));
        let mut wire = broker.accept();
        assert_eq!(wire.acknowledge()["type"], "subscribe");
        first.wait();
        peer.subscribe("t", "two");
        peer.subscribe("t", "two");
        wire.send(r#"{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":1}}"#);
        peer.wait_seen("one", 1);
        peer.wait_seen("two", 1);
        peer.unsubscribe("t", "one");
        wire.send(r#"{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":2}}"#);
        assert_eq!(numbers(&peer.wait_seen("two", 2)), [1, 2]);
        let last = peer.begin("unsubscribe", json!({ "topic": "t", "as": "two" }));
        let frame = wire.acknowledge();
        assert_eq!(
            (&frame["type"], &frame["topic"]),
            (&json!("unsubscribe"), &json!("t")),
            "{kind}"
        );
        last.wait();
        assert_eq!(numbers(&peer.seen("one")), [1]);
    }
}

#[test]
fn a10_nothing_is_delivered_after_unsubscribe() {
    for row in pairs() {
        let (bus, broker, client) = meet(row);
        for (leaver, label, stayer) in [(&client, "gone", &broker), (&broker, "gone", &client)] {
            leaver.subscribe("u", label);
            stayer.subscribe("u", "stays");
            stayer.publish("u", json!(1));
            leaver.wait_seen(label, 1);
            leaver.unsubscribe("u", label);
            stayer.publish("u", json!(2));
            assert_eq!(
                numbers(&bus.settled(stayer, "u", &[(stayer, "stays")])[0]),
                [1, 2]
            );
            agreed(&bus, &broker, &client, stayer);
            assert_eq!(numbers(&leaver.seen(label)), [1], "{}", leaver.name());
            stayer.unsubscribe("u", "stays");
        }
    }
}

#[test]
fn a11_local_only_stays_in_the_process() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let peer = bus.start(kind);
        let subscribing = peer.begin_subscribe("t", "own", json!({}));
        let mut wire = broker.accept();
        wire.acknowledge();
        subscribing.wait();
        let joining = peer.begin_subscribe("t", "member", json!({ "group": "g" }));
        wire.acknowledge();
        joining.wait();
        peer.publish_local("t", json!(1));
        assert_eq!(numbers(&peer.wait_seen("own", 1)), [1]);
        assert_eq!(numbers(&peer.wait_seen("member", 1)), [1]);
        peer.publish("t", json!(2));
        let frame = wire.frame();
        assert_eq!(frame["event"]["data"], 2, "{kind} wrote {frame}");
    }
}
