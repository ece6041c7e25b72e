//! Histories that both languages append to and replay.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_interop::roles::{all_pairs, both};
use bowline_interop::{Kind, Peer, Redis, Seen};
use serde_json::{Value, json};

const LIST: &str = "mastra:cache:pubsub:s";
const COUNTER: &str = "mastra:cache:pubsub:s:counter";

fn cached(redis: &Redis) -> Value {
    json!({ "cache": { "kind": "redis", "url": redis.server().url() } })
}

fn meet(row: [Kind; 2]) -> Option<(Redis, [Peer; 2])> {
    let redis = Redis::start_server(env!("CARGO_BIN_EXE_bowline-interop-peer"))?;
    let peers = redis.start_all_with(row, cached(&redis));
    Some((redis, peers))
}

fn indices(seen: &[Seen]) -> Vec<u64> {
    seen.iter()
        .map(|one| one.event()["index"].as_u64().unwrap())
        .collect()
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// Publishes `count` events at the same time from each peer.
fn publish_together(peers: &[Peer; 2], count: u64) {
    let command = |from: u64| json!({ "topic": "s", "count": count, "from": from });
    let first = peers[0].begin("publishMany", command(0));
    let second = peers[1].begin("publishMany", command(1000));
    for pending in [first, second] {
        assert_eq!(pending.wait()["rejected"], 0);
    }
}

fn observe(peer: &Peer, label: &str, offset: u64) {
    peer.subscribe_with("s", label, json!({ "offset": offset }));
}

#[test]
fn interleaved_appends_are_one_history() {
    for row in all_pairs() {
        let Some((redis, peers)) = meet(row) else {
            return;
        };
        publish_together(&peers, 100);
        let stored = redis.command(&["LRANGE", LIST, "0", "-1"]).texts();
        assert_eq!(stored.len(), 200);
        for (at, text) in stored.iter().enumerate() {
            assert!(text.starts_with(&format!(r#"{{"index":{at},"#)), "{text}");
            let event: Value = serde_json::from_str(text).unwrap();
            assert_eq!(event["type"], "flood");
            assert!(
                event["id"].is_string() && event["createdAt"].is_string(),
                "{text}"
            );
        }
        assert_eq!(redis.command(&["GET", COUNTER]).int(), Some(200));
        for key in [LIST, COUNTER] {
            let ttl = redis.command(&["TTL", key]).int().unwrap();
            assert!((1..=300).contains(&ttl), "{key}: {ttl}");
        }
        let histories = peers
            .each_ref()
            .map(|peer| peer.call("history", json!({ "topic": "s" })));
        for history in &histories {
            assert_eq!(history["indices"], json!(all(200)));
        }
        let numbers = |history: &Value| -> Vec<Value> {
            let events = history["events"].as_array().unwrap();
            events
                .iter()
                .map(|event| event["data"]["seq"].clone())
                .collect()
        };
        assert_eq!(numbers(&histories[0]), numbers(&histories[1]));
    }
}

#[test]
fn each_language_replays_what_the_other_appended_and_goes_on_live() {
    for row in all_pairs() {
        let Some((_redis, peers)) = meet(row) else {
            return;
        };
        publish_together(&peers, 30);
        for peer in &peers {
            observe(peer, "whole", 0);
            observe(peer, "part", 45);
        }
        // One after the other: an observer in Node drops what comes live out of the order of the indices.
        for peer in &peers {
            peer.publish_many("s", 20);
        }
        for peer in &peers {
            let whole = peer.wait_seen("whole", 100);
            assert_eq!(indices(&whole), all(100), "at {}", peer.name());
            assert_eq!(
                indices(&peer.wait_seen("part", 55)),
                all(100)[45..],
                "at {}",
                peer.name()
            );
        }
        let [a, b] = peers.each_ref().map(|peer| peer.seen("whole"));
        let numbers = |seen: &[Seen]| -> Vec<Value> {
            seen.iter().map(|one| one.data()["seq"].clone()).collect()
        };
        assert_eq!(numbers(&a), numbers(&b));
    }
}

#[test]
fn an_observer_that_comes_in_the_middle_misses_nothing() {
    for row in all_pairs() {
        let Some((_redis, [writer, reader])) = meet(row) else {
            return;
        };
        let flood = writer.begin("publishMany", json!({ "topic": "s", "count": 300 }));
        for label in ["a", "b", "c"] {
            observe(&reader, label, 0);
        }
        flood.wait();
        for label in ["a", "b", "c"] {
            assert_eq!(indices(&reader.wait_seen(label, 300)), all(300), "{label}");
        }
    }
}

#[test]
fn an_observer_of_ours_sorts_what_two_writers_publish_at_once() {
    for kind in both() {
        let Some((redis, peers)) = meet([kind, Kind::Rust]) else {
            return;
        };
        let reader = redis.start_with(Kind::Rust, cached(&redis));
        observe(&reader, "whole", 0);
        publish_together(&peers, 100);
        let whole = reader.wait_seen("whole", 200);
        assert_eq!(indices(&whole), all(200));
    }
}

#[test]
fn an_index_of_the_caller_is_replaced() {
    for row in all_pairs() {
        let Some((redis, peers)) = meet(row) else {
            return;
        };
        for peer in &peers {
            let event = json!({ "index": 99, "type": "x", "runId": "r", "data": { "index": 98 }, "future": [1] });
            peer.publish_event("s", event);
        }
        for (at, text) in redis
            .command(&["LRANGE", LIST, "0", "-1"])
            .texts()
            .iter()
            .enumerate()
        {
            assert_eq!(text.matches(r#""index":"#).count(), 2, "{text}");
            let event: Value = serde_json::from_str(text).unwrap();
            assert_eq!(event["index"], at);
            assert_eq!(event["data"]["index"], 98);
            assert_eq!(event["future"], json!([1]));
        }
        for peer in &peers {
            observe(peer, "all", 0);
            assert_eq!(indices(&peer.wait_seen("all", 2)), [0, 1]);
        }
    }
}

#[test]
fn values_are_replayed_as_what_json_makes_of_them() {
    for row in all_pairs() {
        let Some((_redis, [writer, reader])) = meet(row) else {
            return;
        };
        let date = json!({ "__m_codec__": "Date", "v": "2026-01-02T03:04:05.678Z" });
        let lone = json!({ "__m_codec__": "Utf16", "v": [0xd800] });
        let map = json!({ "__m_codec__": "Map", "v": [[1, 2]] });
        writer.publish(
            "s",
            json!({ "date": date, "lone": lone, "map": map, "large": 1e21 }),
        );
        observe(&reader, "all", 0);
        let seen = reader.wait_seen("all", 1);
        let wanted =
            json!({ "date": "2026-01-02T03:04:05.678Z", "lone": lone, "map": {}, "large": 1e21 });
        assert_eq!(*seen[0].data(), wanted);
    }
}

#[test]
fn a_cleared_history_begins_at_0_again() {
    for row in all_pairs() {
        let Some((redis, [clears, other])) = meet(row) else {
            return;
        };
        other.publish_many("s", 3);
        clears.clear("s");
        assert_eq!(redis.command(&["EXISTS", LIST, COUNTER]).int(), Some(0));
        other.publish_many("s", 2);
        clears.publish_many("s", 2);
        for peer in [&clears, &other] {
            observe(peer, "all", 0);
            assert_eq!(
                indices(&peer.wait_seen("all", 4)),
                all(4),
                "at {}",
                peer.name()
            );
        }
    }
}

/// A Node observer drops what comes after a clear by somebody else, because its indices begin again; one of ours does not.
#[test]
fn an_attached_observer_of_ours_survives_a_clear_by_the_other() {
    for kind in both() {
        let Some((_redis, [clears, reader])) = meet([kind, Kind::Rust]) else {
            return;
        };
        observe(&reader, "all", 0);
        clears.publish_many("s", 3);
        assert_eq!(indices(&reader.wait_seen("all", 3)), [0, 1, 2]);
        clears.clear("s");
        clears.publish_many("s", 2);
        let seen = reader.wait_seen("all", 5);
        let events: Vec<_> = seen.iter().map(Seen::event).collect();
        assert_eq!(indices(&seen), [0, 1, 2, 0, 1], "{kind:?}: {events:#?}");
    }
}
