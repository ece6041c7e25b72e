//! Group F: peers of other protocol generations, played by bare sockets.

use bowline_interop::roles::both;
use bowline_interop::{Kind, RawConnection, bus, numbers};
use serde_json::json;

use Kind::{Node, Rust};

#[test]
fn f1_a_client_without_groups_gets_its_acknowledgement_and_its_echo() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.start(kind);
        broker.join("t", "member", "g");
        let (mut old, mut other) = (bus.connect(), bus.connect());
        for wire in [&mut old, &mut other] {
            wire.send(r#"{"type":"subscribe","topic":"t"}"#);
            assert_eq!(
                wire.line(),
                r#"{"type":"subscribed","topic":"t"}"#,
                "{kind}"
            );
        }
        old.send(r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":1},"localOnly":true}"#);
        assert_eq!(old.frame()["event"]["data"], 1, "{kind}");
        broker.publish("t", json!(2));
        assert_eq!(
            other.frame()["event"]["data"],
            2,
            "{kind}: the echo is for the sender alone"
        );
        assert_eq!(
            numbers(&broker.wait_seen("member", 1)),
            [2],
            "{kind}: an echo is not for groups"
        );
    }
}

/// What a broker of the first generation does with a membership frame.
fn acknowledge_without_groups(wire: &mut RawConnection) {
    let frame = wire.frame();
    if frame["type"] == "subscribe" {
        wire.send_frame(&json!({ "type": "subscribed", "topic": frame["topic"] }));
    }
}

#[test]
fn f2_a_broker_without_groups_serves_fan_out_and_grouped_subscribes_fail() {
    let bus = bus!();
    let broker = bus.raw_broker();
    let client = bus.start_with(Rust, json!({ "membershipAckTimeoutMs": 500 }));
    let subscribing = client.begin_subscribe("t", "c", json!({}));
    let mut wire = broker.accept();
    acknowledge_without_groups(&mut wire);
    subscribing.wait();
    wire.send(r#"{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":1}}"#);
    assert_eq!(numbers(&client.wait_seen("c", 1)), [1]);

    let leaving = client.begin("unsubscribe", json!({ "topic": "t", "as": "c" }));
    acknowledge_without_groups(&mut wire);
    leaving.wait();

    let joining = client.begin_subscribe("jobs", "member", json!({ "group": "g" }));
    acknowledge_without_groups(&mut wire);
    let error = joining
        .result()
        .expect_err("a group on a broker without groups");
    assert!(error.contains("not supported"), "{error}");
}

#[test]
fn f3_a_broker_that_never_acknowledges_delays_nothing_for_long() {
    const TOPICS: usize = 20;
    let bus = bus!();
    let broker = bus.raw_broker();
    let client = bus.start_with(Rust, json!({ "membershipAckTimeoutMs": 100 }));
    let pending: Vec<_> = (0..TOPICS)
        .map(|at| client.begin_subscribe(&format!("t{at}"), "c", json!({})))
        .collect();
    let mut wire = broker.accept();
    for one in pending {
        one.wait();
    }
    for _ in 0..TOPICS {
        assert_eq!(wire.frame()["type"], "subscribe");
    }
    wire.send(r#"{"type":"event","topic":"t7","event":{"type":"x","runId":"r","data":1}}"#);
    assert_eq!(numbers(&client.wait_seen("c", 1)), [1]);
}

#[test]
fn f3_all_memberships_are_replayed_at_once() {
    const TOPICS: usize = 20;
    let bus = bus!();
    let broker = bus.raw_broker();
    let client = bus.start_with(Rust, json!({ "membershipAckTimeoutMs": 60_000 }));
    let pending: Vec<_> = (0..TOPICS)
        .map(|at| client.begin_subscribe(&format!("t{at}"), "c", json!({})))
        .collect();
    let mut wire = broker.accept();
    for _ in 0..TOPICS {
        wire.acknowledge();
    }
    for one in pending {
        one.wait();
    }
    drop(wire);
    // All of them come although not one is acknowledged.
    let mut wire = broker.accept();
    let mut topics: Vec<_> = (0..TOPICS)
        .map(|_| wire.frame()["topic"].to_string())
        .collect();
    topics.sort();
    topics.dedup();
    assert_eq!(topics.len(), TOPICS);
}

#[test]
fn f4_a_connection_that_closes_before_the_acknowledgement() {
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let client = bus.start(kind);
        let pending = client.begin_subscribe("t", "c", json!({}));
        let mut wire = broker.accept();
        wire.frame();
        drop(wire);
        if kind == Node {
            let error = pending.result().expect_err("Node does not try again");
            assert!(error.contains("broker connection closed"), "{error}");
            continue;
        }
        let mut wire = broker.accept();
        wire.acknowledge();
        pending.wait();
        wire.send(r#"{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":1}}"#);
        assert_eq!(numbers(&client.wait_seen("c", 1)), [1]);
    }
}

#[test]
fn f4_a_subscribe_that_never_succeeds_ends_with_an_error() {
    let bus = bus!();
    let broker = bus.raw_broker();
    let client = bus.start_with(
        Rust,
        json!({ "publishDeadlineMs": 300, "membershipAckTimeoutMs": 300 }),
    );
    let pending = client.begin_subscribe("t", "c", json!({}));
    while !pending.is_done() {
        if let Some(wire) = broker.try_accept() {
            drop(wire);
        }
    }
    let error = pending.result().expect_err("no broker ever acknowledged");
    assert!(
        error.contains("timed out") || error.contains("unavailable"),
        "{error}"
    );
}

#[test]
fn f5_frames_of_the_future_are_ignored() {
    let strange = [
        r#"{"type":"hello","version":7}"#,
        r#"{"type":"ack","id":"x"}"#,
        r#"{"type":"subscribed","topic":"never"}"#,
        r#"{"type":"unsubscribed","topic":"t","group":"never"}"#,
        r#"{"type":"event","topic":"t"}"#,
        r#"{"type":"event","topic":"t","event":{"type":"x"},"group":"never"}"#,
        r#"{"type":["event"],"topic":"t"}"#,
        r#"{"type":"subscribe","topic":7}"#,
        r#"[1,2]"#,
        "null",
        "{",
    ];
    for kind in both() {
        let bus = bus!();
        let broker = bus.raw_broker();
        let client = bus.start(kind);
        let subscribing = client.begin_subscribe("t", "c", json!({}));
        let mut wire = broker.accept();
        wire.acknowledge();
        subscribing.wait();
        // An event without a body may be delivered as an empty one, as Node does, or dropped.
        for line in strange {
            wire.send(line);
        }
        wire.send(r#"{"type":"event","topic":"t","event":{"type":"x","runId":"r","data":1,"confirm":true},"hop":2}"#);
        client.seen_until("c", |seen| numbers(seen) == [1]);
        drop((wire, broker));
    }
    for kind in both() {
        let bus = bus!();
        let broker = bus.start(kind);
        broker.subscribe("t", "b");
        let mut wire = bus.connect();
        for line in strange {
            wire.send(line);
        }
        wire.send(r#"{"type":"publish","topic":"t","event":{"type":"x","runId":"r","data":1},"confirm":9}"#);
        assert_eq!(numbers(&broker.wait_seen("b", 1)), [1], "{kind}");
        assert_eq!(broker.remote_clients(), 1, "{kind}");
    }
}
