//! Groups that both languages have members of.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_interop::roles::{all_pairs, both};
use bowline_interop::{Kind, Peer, Redis, Seen, eventually, numbers, redis};
use serde_json::{Value, json};

const TOPIC: &str = "t";

/// Options under which others take over quickly what a member left.
fn quick() -> Value {
    json!({ "reclaimIntervalMs": 300, "reclaimIdleMs": 500 })
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

/// What the members got together, once it is `count` events.
#[track_caller]
fn together(members: &[&Peer], count: usize) -> Vec<u64> {
    eventually("the group has everything", || {
        let got: Vec<u64> = members
            .iter()
            .flat_map(|peer| numbers(&peer.seen("member")))
            .collect();
        match got.len() >= count {
            true => Ok(sorted(got)),
            false => Err(format!("{} of {count}", got.len())),
        }
    })
}

#[track_caller]
fn publish(peer: &Peer, range: std::ops::Range<u64>) {
    for number in range {
        peer.publish(TOPIC, json!(number));
    }
}

#[test]
fn each_event_is_handled_once() {
    for row in all_pairs() {
        let redis = redis!();
        let [a, b] = redis.start_all_with(row, quick());
        for peer in [&a, &b] {
            peer.join(TOPIC, "member", "g");
        }
        for start in [0, 20, 40, 60, 80] {
            publish(&a, start..start + 10);
            publish(&b, start + 10..start + 20);
        }
        assert_eq!(together(&[&a, &b], 100), (0..100).collect::<Vec<_>>());
        redis.all_settled(TOPIC, "g");
        // Longer than an entry may be idle: nothing that was settled comes again.
        std::thread::sleep(Duration::from_millis(1000));
        assert_eq!(together(&[&a, &b], 100).len(), 100);
    }
}

#[test]
fn a_killed_member_leaves_its_work_to_the_others() {
    for row in all_pairs() {
        let redis = redis!();
        let [victim, heir] = redis.start_all_with(row, quick());
        victim.join(TOPIC, "member", "g");
        publish(&victim, 0..20);
        victim.wait_seen("member", 20);
        redis.all_settled(TOPIC, "g");
        victim.call("configure", json!({ "as": "member", "ack": false }));
        publish(&heir, 20..60);
        victim.wait_seen("member", 60);
        victim.kill();
        heir.join(TOPIC, "member", "g");
        publish(&heir, 60..100);
        assert_eq!(together(&[&heir], 80), (20..100).collect::<Vec<_>>());
        redis.all_settled(TOPIC, "g");
        assert_eq!(together(&[&heir], 80).len(), 80);
    }
}

#[test]
fn nobody_takes_over_its_own_work() {
    for kind in both() {
        let redis = redis!();
        let busy = redis.start_with(kind, quick());
        busy.subscribe_with(TOPIC, "member", json!({ "group": "g", "ack": false }));
        publish(&busy, 0..3);
        busy.wait_seen("member", 3);
        // Long enough for several reclaims.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(numbers(&busy.seen("member")), [0, 1, 2]);
        assert_eq!(redis.pending(TOPIC, "g"), 3);
    }
}

/// Members in Node do not say that they are still at work; ours do.
#[test]
fn what_a_member_of_ours_works_on_is_left_with_it() {
    for kind in both() {
        let redis = redis!();
        let options = json!({ "reclaimIntervalMs": 500, "reclaimIdleMs": 2000 });
        let [busy, other] = redis.start_all_with([Kind::Rust, kind], options);
        busy.subscribe_with(TOPIC, "member", json!({ "group": "g", "ack": false }));
        publish(&other, 0..3);
        busy.wait_seen("member", 3);
        other.join(TOPIC, "member", "g");
        // Longer than an entry may be idle.
        std::thread::sleep(Duration::from_millis(4000));
        assert_eq!(numbers(&busy.seen("member")), [0, 1, 2]);
        assert!(other.seen("member").is_empty());
        busy.kill();
        assert_eq!(together(&[&other], 3), [0, 1, 2]);
        redis.all_settled(TOPIC, "g");
    }
}

fn attempts(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(Seen::attempt).collect()
}

fn ids(seen: &[Seen]) -> BTreeSet<&str> {
    seen.iter().map(Seen::id).collect()
}

#[test]
fn a_refused_event_comes_again_to_everybody() {
    for row in all_pairs() {
        let redis = redis!();
        let [refuses, other] = redis.start_all(row);
        other.join(TOPIC, "content", "B");
        other.subscribe(TOPIC, "all");
        let until_second = json!({ "group": "A", "nackUntil": 2 });
        refuses.subscribe_with(TOPIC, "member", until_second.clone());
        other.subscribe_with(TOPIC, "member", until_second);
        other.publish(TOPIC, json!({ "n": 1 }));
        for label in ["content", "all"] {
            let seen = other.wait_seen(label, 2);
            assert_eq!(attempts(&seen), [1, 2], "{label}");
            assert_eq!(ids(&seen).len(), 1, "{label}");
            assert_eq!(seen[0].event()["createdAt"], seen[1].event()["createdAt"]);
            assert_eq!(seen[0].data(), seen[1].data());
        }
        let members = eventually("both attempts", || {
            let seen = [refuses.seen("member"), other.seen("member")].concat();
            match seen.len() {
                2 => Ok(seen),
                _ => Err(format!("{:?}", attempts(&seen))),
            }
        });
        assert_eq!(sorted(attempts(&members)), [1, 2]);
        for group in ["A", "B"] {
            redis.all_settled(TOPIC, group);
        }
    }
}

#[test]
fn an_event_that_everybody_refuses_comes_five_times() {
    for row in all_pairs() {
        let redis = redis!();
        let peers = redis.start_all(row);
        let [a, b] = &peers;
        for peer in &peers {
            peer.subscribe_with(TOPIC, "member", json!({ "group": "g", "nackUntil": 100 }));
        }
        a.publish(TOPIC, json!(0));
        let seen = eventually("five attempts", || {
            let seen = [a.seen("member"), b.seen("member")].concat();
            match seen.len() {
                5 => Ok(seen),
                _ => Err(format!("{:?}", attempts(&seen))),
            }
        });
        assert_eq!(sorted(attempts(&seen)), [1, 2, 3, 4, 5]);
        assert_eq!(ids(&seen).len(), 1);
        redis.all_settled(TOPIC, "g");
        assert_eq!(redis.texts(TOPIC).len(), 5);
    }
}

#[test]
fn unknown_members_survive_a_refusal() {
    for row in all_pairs() {
        let redis = redis!();
        let [refuses, reader] = redis.start_all(row);
        reader.subscribe(TOPIC, "all");
        refuses.subscribe_with(TOPIC, "member", json!({ "group": "g", "nackUntil": 5 }));
        let text = r#"{"z":1,"type":"x","runId":"r","data":{"b":"\ud800","a":1e+21,"__m_codec__":"Date"},"id":"i","createdAt":"2026-01-01T00:00:00.000Z","index":7,"deliveryAttempt":3,"y":{"q":[null]}}"#;
        redis.add(TOPIC, &[("event", text)]);
        assert_eq!(attempts(&reader.wait_seen("all", 3)), [3, 4, 5]);
        let texts = redis.texts(TOPIC);
        for (text, attempt) in texts.iter().zip([3, 4, 5]) {
            let mut wanted = json!({
                "z": 1, "type": "x", "runId": "r", "data": { "b": "lone", "a": 1e21, "__m_codec__": "Date" }, "id": "i",
                "createdAt": "2026-01-01T00:00:00.000Z", "index": 7, "y": { "q": [null] },
            });
            wanted["deliveryAttempt"] = json!(attempt);
            assert!(text.contains(r#""b":"\ud800""#), "{text}");
            let got: Value =
                serde_json::from_str(&text.replace(r"\ud800", "lone")).unwrap_or_default();
            assert_eq!(got, wanted);
        }
    }
}

/// A peer of the line before shared readers, and one of today.
fn with_older(redis: &Redis, kind: Kind) -> Option<[Peer; 2]> {
    if !bowline_interop::roles::have_node() {
        return None;
    }
    eprintln!("an older Node and {kind}");
    let mut options = quick();
    let other = redis.start_with(kind, options.clone());
    options["older"] = json!(true);
    Some([redis.start_with(Kind::Node, options), other])
}

#[test]
fn an_older_peer_shares_events_and_work() {
    for kind in [Kind::Rust, Kind::Node] {
        let redis = redis!();
        let Some([older, other]) = with_older(&redis, kind) else {
            return;
        };
        for peer in [&older, &other] {
            peer.subscribe(TOPIC, "all");
            peer.subscribe(TOPIC, "again");
            peer.join(TOPIC, "member", "g");
        }
        // The older one has a private group per callback, the other one for both.
        assert_eq!(redis.groups(TOPIC).len(), 4);
        publish(&older, 0..20);
        publish(&other, 20..40);
        for peer in [&older, &other] {
            for label in ["all", "again"] {
                assert_eq!(
                    numbers(&peer.wait_seen(label, 40)),
                    (0..40).collect::<Vec<_>>()
                );
            }
        }
        assert_eq!(together(&[&older, &other], 40), (0..40).collect::<Vec<_>>());
        redis.all_settled(TOPIC, "g");
    }
}

#[test]
fn an_older_peer_and_one_of_today_inherit_from_each_other() {
    for kind in [Kind::Rust, Kind::Node] {
        for older_dies in [false, true] {
            let redis = redis!();
            let Some([older, other]) = with_older(&redis, kind) else {
                return;
            };
            let (victim, heir) = if older_dies {
                (older, other)
            } else {
                (other, older)
            };
            victim.subscribe_with(TOPIC, "member", json!({ "group": "g", "ack": false }));
            publish(&heir, 0..10);
            victim.wait_seen("member", 10);
            victim.kill();
            heir.join(TOPIC, "member", "g");
            assert_eq!(together(&[&heir], 10), (0..10).collect::<Vec<_>>());
            redis.all_settled(TOPIC, "g");
        }
    }
}
