//! The Upstash protocol: the stand-in is as the real client expects it, and histories behind it are shared with everybody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bowline_interop::roles::{all_pairs, both, have_node};
use bowline_interop::{Peer, Redis, Seen};
use bowline_testkit::UpstashServer;
use serde_json::{Value, json};

const TOKEN: &str = "the token";
const LIST: &str = "mastra:cache:pubsub:s";

struct Meeting {
    upstash: UpstashServer,
    redis: Redis,
}

impl Meeting {
    fn begin() -> Option<Self> {
        let redis = Redis::start_server(env!("CARGO_BIN_EXE_bowline-interop-peer"))?;
        let upstash = redis.wait(UpstashServer::start(redis.server().address(), TOKEN));
        Some(Self {
            upstash: upstash.unwrap(),
            redis,
        })
    }

    fn over_rest(&self, token: &str) -> Value {
        json!({ "cache": { "kind": "upstash", "url": self.upstash.url(), "token": token } })
    }

    fn over_redis(&self) -> Value {
        json!({ "cache": { "kind": "redis", "url": self.redis.server().url() } })
    }
}

fn indices(seen: &[Seen]) -> Vec<u64> {
    seen.iter()
        .map(|one| one.event()["index"].as_u64().unwrap())
        .collect()
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// What the real client made of each call.
fn calls(meeting: &Meeting) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("node")
        .arg(folder.join("upstash-calls.mjs"))
        .args([&meeting.upstash.url(), TOKEN])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let outcome = |line: &str| {
        let mut outcome: Value = serde_json::from_str(line).unwrap();
        let name = outcome["name"].take();
        outcome.as_object_mut().unwrap().remove("name");
        (name.as_str().unwrap().to_owned(), outcome)
    };
    text.lines().map(outcome).collect()
}

#[test]
fn the_real_client_finds_what_it_expects() {
    let Some(meeting) = have_node().then(Meeting::begin).flatten() else {
        return;
    };
    let mut calls = calls(&meeting);
    for (name, result) in [
        ("set", json!("OK")),
        ("get", json!("plain")),
        ("missing", json!(null)),
        ("odd", json!(true)),
        ("lone", json!(0xd800)),
        ("object", json!({ "a": [1, "x", null] })),
        ("expires", json!(true)),
        ("counter", json!([1, 2, 1, 2])),
        ("list", json!([3, [{ "a": 1 }, "text", 2], 3])),
        ("nothing", json!([])),
        ("script", json!([1, "two", "v"])),
        ("scan", json!(["0", ["l", "lone"]])),
        ("removed", json!(2)),
        ("pipeline", json!(["OK", 2, 2])),
        ("transaction", json!(["OK", 2, 2])),
        ("together", json!(["OK", 2, 2])),
    ] {
        assert_eq!(
            calls.remove(name),
            Some(json!({ "result": result })),
            "{name}"
        );
    }
    for (name, message) in [
        (
            "wrongType",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("scriptError", "WRONGTYPE"),
        (
            "pipelineError",
            "ERR value is not an integer or out of range",
        ),
        ("stranger", "WRONGPASS"),
    ] {
        let outcome = calls.remove(name).unwrap();
        assert_eq!(outcome["kind"], "UpstashError", "{name}: {outcome}");
        let error = outcome["error"].as_str().unwrap();
        assert!(error.contains(message), "{name}: {error}");
    }
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_history_over_rest_is_the_one_over_redis() {
    for row in all_pairs() {
        let Some(meeting) = Meeting::begin() else {
            return;
        };
        eprintln!("{} over REST, {} over Redis", row[0], row[1]);
        let rest = meeting.redis.start_with(row[0], meeting.over_rest(TOKEN));
        let direct = meeting.redis.start_with(row[1], meeting.over_redis());
        let peers = [&rest, &direct];
        let command = |from: u64| json!({ "topic": "s", "count": 50, "from": from });
        let floods = [
            rest.begin("publishMany", command(0)),
            direct.begin("publishMany", command(1000)),
        ];
        for flood in floods {
            assert_eq!(flood.wait()["rejected"], 0);
        }
        let stored = meeting.redis.command(&["LRANGE", LIST, "0", "-1"]).texts();
        for (at, text) in stored.iter().enumerate() {
            assert!(text.starts_with(&format!(r#"{{"index":{at},"#)), "{text}");
        }
        for peer in peers {
            let history = peer.call("history", json!({ "topic": "s" }));
            assert_eq!(history["indices"], json!(all(100)), "at {}", peer.name());
            peer.subscribe_with("s", "all", json!({ "offset": 40 }));
        }
        for peer in peers {
            peer.publish_many("s", 10);
        }
        for peer in peers {
            assert_eq!(
                indices(&peer.wait_seen("all", 80)),
                all(120)[40..],
                "at {}",
                peer.name()
            );
        }
        let ttl = meeting.redis.command(&["TTL", LIST]).int().unwrap();
        assert!((1..=300).contains(&ttl), "{ttl}");
        rest.clear("s");
        assert_eq!(direct.call("history", json!({ "topic": "s" }))["count"], 0);
    }
}

#[test]
fn without_the_right_token_events_are_live_only() {
    for kind in both() {
        let Some(meeting) = Meeting::begin() else {
            return;
        };
        let peer: Peer = meeting.redis.start_with(kind, meeting.over_rest("another"));
        peer.subscribe("s", "all");
        peer.publish("s", json!(1));
        let seen = peer.wait_seen("all", 1);
        assert_eq!(seen[0].event().get("index"), None, "at {kind}");
        let size = meeting.redis.command(&["EXISTS", LIST]).int();
        assert_eq!(size, Some(0));
    }
}
