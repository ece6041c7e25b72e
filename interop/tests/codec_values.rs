//! The values of the codec vectors, on their way between the languages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bowline_interop::roles::have_node;
use bowline_interop::values::reveal;
use bowline_interop::{Kind, Peer, Seen, bus};
use serde_json::{Map, Value, json};

const TAG: &str = "__m_codec__";

/// The texts of one kind of vector by name, those that stand for nothing left out.
fn vectors(kind: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/events/testdata/codec.json");
    let all: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let text = |vector: &Value, member: &str| vector[member].as_str().map(str::to_owned);
    all.iter()
        .filter(|vector| vector["kind"] == kind)
        .filter_map(|vector| Some((text(vector, "name")?, text(vector, "wire")?)))
        .collect()
}

/// What `peer` got up to the event of type `end`: data by type of event. Rust reads undefined data as no data.
fn by_type(peer: &Peer, end: &str) -> BTreeMap<String, Value> {
    let is_end = |seen: &Seen| seen.event()["type"] == end;
    let seen = peer.seen_until("all", |seen| seen.iter().any(is_end));
    let data = |one: &Seen| {
        one.event()
            .get("data")
            .cloned()
            .unwrap_or_else(|| json!({ TAG: "Undefined" }))
    };
    seen.iter()
        .map(|one| (one.event()["type"].as_str().unwrap().to_owned(), data(one)))
        .collect()
}

/// Publishes every vector under its name, then the end; what `readers` got.
fn through<const N: usize>(
    vectors: &[(String, String)],
    publish: impl Fn(&str, &str),
    end: &Peer,
    readers: [&Peer; N],
) -> [BTreeMap<String, Value>; N] {
    for (name, wire) in vectors {
        publish(name, wire);
    }
    end.publish_event("t", json!({ "type": "end", "runId": "r" }));
    readers.map(|reader| {
        let mut got = by_type(reader, "end");
        got.remove("end");
        got
    })
}

/// What a Node process is to have when `value` was sent and `got` arrived: its errors have stacks of their own where none were
/// sent, unregistered classes become their data, registered ones objects of the class, and `__proto__` is left out.
fn in_node(value: &Value, got: &Value) -> Value {
    let inner = |value: &Value, got: &Value| in_node(value, got);
    let members = |value: &Map<String, Value>| -> Value {
        value
            .iter()
            .map(|(key, member)| (key.clone(), inner(member, &got[key])))
            .collect()
    };
    match value {
        Value::Array(items) => (0..)
            .zip(items)
            .map(|(at, item): (usize, _)| inner(item, &got[at]))
            .collect(),
        Value::Object(object) => match value[TAG].as_str() {
            Some("Error") => {
                let mut error = members(object);
                if value["v"].get("stack").is_none() {
                    error["v"]["stack"] = got["v"]["stack"].clone();
                }
                error
            }
            Some("Class") if got[TAG] == "Class" => {
                assert_eq!(got["n"], value["n"]);
                assert_eq!(got["v"]["mediaType"], value["v"]["mediaType"]);
                got.clone()
            }
            Some("Class") => inner(&value["v"], got),
            Some("Plain") if got.get(TAG).is_none() => {
                let pairs = value["v"].as_array().unwrap().iter();
                let kept = pairs.filter(|pair| pair[0] != "__proto__");
                kept.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()))
                    .collect()
            }
            _ => members(object),
        },
        other => other.clone(),
    }
}

fn holds_class(wire: &str) -> bool {
    wire.contains(r#""Class""#)
}

/// How the peer shows an object with a member of this name says nothing about the value.
const SHOWN_AS_CLASS: &str = "constructor-key";

#[test]
fn what_node_publishes_arrives_in_rust() {
    if !have_node() {
        return;
    }
    // Instances of a class cannot be made from outside; raw clients send them below.
    let vectors: Vec<_> = vectors("encode")
        .into_iter()
        .filter(|(_, wire)| !holds_class(wire))
        .collect();
    assert!(vectors.len() > 80);
    for broker in [Kind::Rust, Kind::Node] {
        let bus = bus!();
        let [broker, node, rust] = bus.start_all([broker, Kind::Node, Kind::Rust]);
        broker.subscribe("t", "all");
        rust.subscribe("t", "all");
        let publish = |name: &str, wire: &str| {
            let data = reveal(wire.as_bytes());
            node.publish_event("t", json!({ "type": name, "runId": "r", "data": data }));
        };
        let [got] = through(&vectors, publish, &node, [&rust]);
        for (name, wire) in &vectors {
            let sent = reveal(wire.as_bytes());
            let error_without_stack = sent[TAG] == "Error" && broker.kind() == Kind::Node;
            let wanted = if error_without_stack {
                in_node(&sent, &got[name])
            } else {
                sent
            };
            assert_eq!(
                got[name],
                wanted,
                "{name} through a broker in {}",
                broker.kind()
            );
        }
        assert_eq!(got.len(), vectors.len());
    }
}

#[test]
fn what_rust_publishes_arrives_in_node() {
    if !have_node() {
        return;
    }
    let vectors = vectors("encode");
    for broker in [Kind::Rust, Kind::Node] {
        let bus = bus!();
        let [broker, rust, node] = bus.start_all([broker, Kind::Rust, Kind::Node]);
        broker.subscribe("t", "all");
        node.subscribe("t", "all");
        let publish = |name: &str, wire: &str| {
            let data = reveal(wire.as_bytes());
            rust.publish_event("t", json!({ "type": name, "runId": "r", "data": data }));
        };
        let [got] = through(&vectors, publish, &rust, [&node]);
        for (name, wire) in vectors.iter().filter(|(name, _)| name != SHOWN_AS_CLASS) {
            assert_eq!(
                got[name],
                in_node(&reveal(wire.as_bytes()), &got[name]),
                "{name} through a broker in {}",
                broker.kind()
            );
        }
        assert_eq!(got.len(), vectors.len());
    }
}

/// Values that the reference cannot decode: our broker keeps them from everybody.
const DROPPED: [&str; 5] = [
    "decode-date-invalid",
    "decode-bigint-bad",
    "decode-url-bad",
    "decode-map-bad-entry",
    "decode-class-bad-data",
];

/// Regular expressions that JavaScript refuses; they arrive as the empty one.
const EMPTY_IN_NODE: [&str; 2] = ["decode-regexp-uv", "decode-regexp-bad-source"];

#[test]
fn odd_values_are_read_alike() {
    if !have_node() {
        return;
    }
    let vectors: Vec<_> = vectors("decode")
        .into_iter()
        .chain(vectors("encode"))
        .collect();
    let bus = bus!();
    let [broker, node, rust] = bus.start_all([Kind::Rust, Kind::Node, Kind::Rust]);
    for peer in [&broker, &node, &rust] {
        peer.subscribe("t", "all");
    }
    let raw = RefCell::new(bus.connect());
    raw.borrow_mut().subscribe("last");
    let publish = |name: &str, wire: &str| {
        let name = json!(name);
        let mut raw = raw.borrow_mut();
        raw.send(&format!(r#"{{"type":"publish","topic":"t","event":{{"type":{name},"runId":"r","data":{wire}}}}}"#));
        if name == vectors[vectors.len() - 1].0 {
            // Waits for its own turn, so that the end comes after everything.
            raw.publish("last", "0");
            raw.frame();
        }
    };
    let [in_broker, at_node, at_rust] =
        through(&vectors, publish, &broker, [&broker, &node, &rust]);
    assert_eq!(in_broker, at_rust);
    for (name, wire) in vectors
        .iter()
        .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
    {
        let sent = reveal(wire.as_bytes());
        assert_eq!(at_rust[name], sent, "{name}");
        if EMPTY_IN_NODE.contains(&name.as_str()) {
            assert_eq!(at_node[name]["v"]["source"], "(?:)", "{name}");
        } else if name != SHOWN_AS_CLASS {
            assert_eq!(at_node[name], in_node(&sent, &at_node[name]), "{name}");
        }
    }
    for got in [at_node, at_rust] {
        assert_eq!(got.len(), vectors.len() - DROPPED.len());
    }
}
