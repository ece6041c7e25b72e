//! Leases between the languages.

use bowline_interop::roles::all_pairs;
use bowline_interop::{Peer, eventually, redis};
use serde_json::{Value, json};

const LONG: u64 = 60_000;

fn acquire(peer: &Peer, key: &str, owner: &str, ttl: u64) -> Value {
    let mut reply = peer.call(
        "acquire",
        json!({ "key": key, "owner": owner, "ttlMs": ttl }),
    );
    json!({ "acquired": reply["acquired"].take(), "owner": reply["owner"].take() })
}

fn owner(peer: &Peer, key: &str) -> Value {
    peer.call("owner", json!({ "key": key }))["owner"].clone()
}

fn renew(peer: &Peer, key: &str, owner: &str) -> bool {
    peer.call(
        "renew",
        json!({ "key": key, "owner": owner, "ttlMs": LONG }),
    )["held"]
        == true
}

fn transfer(peer: &Peer, key: &str, owner: &str, to: &str) -> bool {
    let command = json!({ "key": key, "owner": owner, "to": to, "ttlMs": LONG });
    peer.call("transfer", command)["held"] == true
}

#[test]
fn one_language_respects_the_lease_of_the_other() {
    for row in all_pairs() {
        let redis = redis!();
        let [a, b] = redis.start_all(row);
        // The key of a thread has a NUL in it.
        for key in ["thread-1", "user-1\0t-2", "ключ {x}:*"] {
            assert_eq!(owner(&b, key), json!(null));
            assert_eq!(
                acquire(&a, key, "A", LONG),
                json!({ "acquired": true, "owner": "A" })
            );
            assert_eq!(
                acquire(&a, key, "A", LONG),
                json!({ "acquired": true, "owner": "A" })
            );
            assert_eq!(
                acquire(&b, key, "B", LONG),
                json!({ "acquired": false, "owner": "A" })
            );
            assert_eq!(owner(&b, key), "A");
            assert!(!renew(&b, key, "B"));
            assert!(renew(&b, key, "A"), "the owner counts, not the process");
            assert!(!transfer(&b, key, "B", "C"));
            assert!(transfer(&a, key, "A", "B"));
            assert!(!renew(&a, key, "A"));
            assert!(renew(&b, key, "B"));
            a.call("release", json!({ "key": key, "owner": "A" }));
            assert_eq!(owner(&a, key), "B");
            b.call("release", json!({ "key": key, "owner": "B" }));
            assert_eq!(owner(&a, key), json!(null));
        }
    }
}

#[test]
fn a_race_has_one_winner() {
    for row in all_pairs() {
        let redis = redis!();
        let peers = redis.start_all(row);
        for round in 0..50 {
            let key = format!("race-{round}");
            let begin = |at: usize| {
                let command = json!({ "key": key, "owner": format!("owner-{at}"), "ttlMs": LONG });
                peers[at].begin("acquire", command)
            };
            let replies = [begin(0), begin(1)].map(|pending| pending.wait());
            let winners: Vec<&Value> = replies
                .iter()
                .filter(|reply| reply["acquired"] == true)
                .collect();
            assert_eq!(winners.len(), 1, "{replies:?}");
            assert_eq!(replies[0]["owner"], replies[1]["owner"]);
        }
    }
}

#[test]
fn an_expired_lease_is_free_for_the_other() {
    for row in all_pairs() {
        let redis = redis!();
        let [a, b] = redis.start_all(row);
        acquire(&a, "k", "A", 50);
        let taken = eventually("the lease has expired", || {
            let got = acquire(&b, "k", "B", LONG);
            if got["acquired"] == true {
                Ok(got)
            } else {
                Err(got.to_string())
            }
        });
        assert_eq!(taken["owner"], "B");
        assert!(!renew(&a, "k", "A"));
        assert!(!transfer(&a, "k", "A", "C"));
    }
}
