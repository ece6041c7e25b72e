//! What one language writes into a stream the other one reads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_interop::roles::{all_pairs, both};
use bowline_interop::{Redis, Seen, eventually, redis};
use serde_json::{Value, json};

fn tagged(tag: &str, payload: &Value) -> Value {
    json!({ "__m_codec__": tag, "v": payload })
}

fn undefined() -> Value {
    json!({ "__m_codec__": "Undefined" })
}

/// Data as a publisher has it, and as readers get it: JSON knows less than the languages do.
fn data() -> [(&'static str, Value, Value); 15] {
    let lone = tagged("Utf16", &json!([0x61, 0xd800, 0x62]));
    let error = json!({ "name": "E", "message": "m", "stack": "s", "code": 7 });
    [
        (
            "text",
            json!("a\"\\\n\u{2028}\u{7f}é😀"),
            json!("a\"\\\n\u{2028}\u{7f}é😀"),
        ),
        ("lone", json!({ "a": lone }), json!({ "a": lone })),
        ("large", json!(1e21), json!(1e21)),
        ("small", json!(-1.5e-7), json!(-1.5e-7)),
        (
            "whole",
            json!(9_007_199_254_740_991_u64),
            json!(9_007_199_254_740_991_u64),
        ),
        ("zero", tagged("Number", &json!("-0")), json!(0)),
        (
            "nan",
            json!([tagged("Number", &json!("NaN"))]),
            json!([null]),
        ),
        (
            "date",
            json!({ "at": tagged("Date", &json!("2026-01-02T03:04:05.678Z")) }),
            json!({ "at": "2026-01-02T03:04:05.678Z" }),
        ),
        (
            "undefined",
            json!({ "a": undefined(), "b": [undefined()] }),
            json!({ "b": [null] }),
        ),
        (
            "map",
            json!({ "m": tagged("Map", &json!([["k", 1]])) }),
            json!({ "m": {} }),
        ),
        (
            "set",
            json!({ "s": tagged("Set", &json!([1])) }),
            json!({ "s": {} }),
        ),
        (
            "error",
            json!({ "e": tagged("Error", &error) }),
            json!({ "e": { "code": 7 } }),
        ),
        (
            "regexp",
            json!({ "r": tagged("RegExp", &json!({ "source": "a", "flags": "g" })) }),
            json!({ "r": {} }),
        ),
        (
            "url",
            json!({ "u": tagged("URL", &json!("https://example.com/a")) }),
            json!({ "u": "https://example.com/a" }),
        ),
        ("null", json!(null), json!(null)),
    ]
}

fn without(event: &Value, names: &[&str]) -> Value {
    let mut event = event.clone();
    for name in names {
        event.as_object_mut().unwrap().remove(*name);
    }
    event
}

#[test]
fn values_arrive_as_what_json_makes_of_them() {
    for row in all_pairs() {
        let redis = redis!();
        let [writer, reader] = redis.start_all(row);
        reader.subscribe("t", "all");
        for (name, sent, _) in data() {
            writer.publish_event("t", json!({ "type": name, "runId": "r", "data": sent }));
        }
        let seen = reader.wait_seen("all", data().len());
        for ((name, _, wanted), seen) in data().into_iter().zip(seen) {
            assert_eq!(seen.event()["type"], name);
            assert_eq!(*seen.data(), wanted, "{name}");
        }
    }
}

#[test]
fn the_bus_sets_its_members_and_keeps_the_others() {
    for row in all_pairs() {
        let redis = redis!();
        let [writer, reader] = redis.start_all(row);
        reader.subscribe("t", "all");
        let event = json!({
            "future": { "a": [1, { "b": null }] }, "type": "x", "runId": "r", "data": [1],
            "index": 7, "id": "mine", "createdAt": "yesterday",
        });
        writer.publish_event("t", event.clone());
        writer.publish_event("t", json!({ "type": "x", "runId": "r" }));
        let seen = reader.wait_seen("all", 2);
        let bus_sets = ["id", "createdAt", "deliveryAttempt"];
        assert_eq!(
            without(seen[0].event(), &bus_sets),
            without(&event, &bus_sets)
        );
        assert_eq!(
            without(seen[1].event(), &bus_sets),
            json!({ "type": "x", "runId": "r" })
        );
        for one in &seen {
            assert!(one.has_date());
            assert_eq!(one.attempt(), 1);
            assert_eq!(one.id().len(), 36, "{}", one.id());
        }
        assert_ne!(seen[0].id(), seen[1].id());
        // What is stored is plain JSON with the time in its one form.
        let stored: Value = serde_json::from_str(&redis.texts("t")[0]).unwrap();
        assert_eq!(stored["id"], seen[0].id());
        assert_eq!(stored["createdAt"], seen[0].event()["createdAt"]["v"]);
        assert_eq!(
            stored["createdAt"].as_str().unwrap().len(),
            "2026-01-01T00:00:00.000Z".len()
        );
    }
}

/// Entries that no bus of today writes, then a last one that any would.
fn add_odd_entries(redis: &Redis) {
    redis.add("t", &[("event", r#"{"type":"cut"#)]);
    redis.add("t", &[("event", "null")]);
    redis.add("t", &[("event", "")]);
    redis.add("t", &[("other", "field")]);
    redis.add("t", &[("event", r#"{"type":"bare"}"#)]);
    redis.add("t", &[("event", r#"{"type":"old","runId":"r","data":"\ud800","id":"any text","createdAt":"2026-01-01T00:00:00.000Z"}"#), ("more", "fields")]);
    redis.add("t", &[("event", r#"{"type":"last","runId":"r","data":{"n":1e+21},"id":"i","createdAt":"2026-01-01T00:00:00.000Z","deliveryAttempt":4}"#)]);
}

#[test]
fn odd_entries_stop_nobody_and_are_read_alike() {
    for kind in both() {
        let redis = redis!();
        add_odd_entries(&redis);
        let reader = redis.start(kind);
        reader.join("t", "member", "g");
        reader.subscribe("t", "all");
        for label in ["member", "all"] {
            let is_last = |one: &Seen| one.event()["type"] == "last";
            let seen = reader.seen_until(label, |seen| seen.iter().any(is_last));
            let types: Vec<&str> = seen
                .iter()
                .map(|one| one.event()["type"].as_str().unwrap_or_default())
                .collect();
            assert_eq!(types, ["", "bare", "old", "last"], "{label} at {kind}");
            assert_eq!(seen[2].id(), "any text");
            assert_eq!(*seen[2].data(), tagged("Utf16", &json!([0xd800])));
            assert_eq!(seen[3].data()["n"], json!(1e21));
            assert_eq!(seen[3].attempt(), 4);
            assert_eq!(
                seen[3].event()["createdAt"]["v"],
                "2026-01-01T00:00:00.000Z"
            );
        }
        for group in redis.groups("t") {
            redis.all_settled("t", &group);
        }
    }
}

#[test]
fn large_events_pass() {
    for row in all_pairs() {
        let redis = redis!();
        let [writer, reader] = redis.start_all(row);
        reader.subscribe("t", "all");
        let sent = writer.call("publishBig", json!({ "topic": "t", "chars": 8_000_000 }));
        let seen = reader.wait_seen("all", 1);
        assert_eq!(seen[0].digest()["sha256"], sent["sha256"]);
    }
}

#[test]
fn whoever_leaves_takes_its_private_group_along() {
    for row in all_pairs() {
        let redis = redis!();
        let [a, b] = redis.start_all(row);
        for peer in [&a, &b] {
            peer.subscribe("t", "all");
            peer.subscribe("t", "again");
            peer.join("t", "member", "g");
        }
        assert_eq!(redis.groups("t").len(), 3);
        a.publish("t", json!(1));
        b.wait_seen("again", 1);
        b.unsubscribe("t", "all");
        b.unsubscribe("t", "again");
        a.close();
        eventually("only the named group is left", || {
            match &redis.groups("t")[..] {
                [group] if group == "g" => Ok(()),
                groups => Err(format!("{groups:?}")),
            }
        });
    }
}
