//! Peers that form one bus, in the topic `t` that all of them read with the label `all`.

use serde_json::json;

use crate::{Bus, Kind, Peer, eventually, numbers};

const TOPIC: &str = "t";
const LABEL: &str = "all";

impl Bus {
    /// Starts a peer of each kind and subscribes them one after the other: the first becomes the broker.
    #[track_caller]
    pub fn meet<const N: usize>(&self, row: [Kind; N]) -> [Peer; N] {
        eprintln!("{row:?}");
        let peers = self.start_all(row);
        for peer in &peers {
            peer.subscribe(TOPIC, LABEL);
        }
        peers
    }

    /// Subscribes all at the same time. Peers in Node may be refused because of a running election, which is a known defect, and
    /// try again; peers in Rust may not.
    #[track_caller]
    pub fn meet_at_once(&self, peers: &[&Peer]) {
        let subscribe = |peer: &Peer| peer.begin_subscribe(TOPIC, LABEL, json!({})).result();
        std::thread::scope(|scope| {
            for peer in peers {
                scope.spawn(move || {
                    while let Err(error) = subscribe(peer) {
                        let may_fail = peer.kind() == Kind::Node && error.contains("election");
                        assert!(may_fail, "{}: {error}", peer.name());
                    }
                });
            }
        });
    }

    /// Checks that every publish of everybody reaches everybody exactly once.
    #[track_caller]
    pub fn whole(&self, peers: &[&Peer]) {
        let readers: Vec<(&Peer, &str)> = peers.iter().map(|peer| (*peer, LABEL)).collect();
        self.reachable(TOPIC, &readers);
        let seen = |peer: &Peer| numbers(&peer.seen(LABEL));
        let before: Vec<usize> = peers.iter().map(|peer| seen(peer).len()).collect();
        let mut sent = Vec::new();
        for round in 0..3 {
            for (at, peer) in (0..).zip(peers) {
                peer.publish(TOPIC, json!(1000 + round * 10 + at));
                sent.push(1000 + round * 10 + at);
            }
        }
        // The mark of a publisher comes behind its events.
        for publisher in peers {
            self.settled(publisher, TOPIC, &readers);
        }
        sent.sort_unstable();
        for (peer, before) in peers.iter().zip(before) {
            let mut got = seen(peer)[before..].to_vec();
            got.sort_unstable();
            assert_eq!(got, sent, "at {}", peer.name());
        }
    }

    /// Checks that no election is left behind.
    #[track_caller]
    pub fn lock_is_gone(&self) {
        eventually("the election lock is gone", || match self.lock().exists() {
            false => Ok(()),
            true => Err("still there".into()),
        });
    }
}
