//! Everybody publishes all the time while peers are killed, stopped and replaced: what was lost is allowed to be lost, but no Rust
//! peer sees an event twice, out of the order of its publisher, or in another order than others did.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bowline_interop::roles::{have_node, rounds, seed};
use bowline_interop::{Bus, Kind, Peer, Seen, bus};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

const PEERS: usize = 4;
/// Numbers of one publisher process; the next process begins at the next multiple.
const SPAN: u64 = 1_000_000;
/// Events that each process publishes, one per millisecond or so.
const EVENTS: u64 = 1000;
/// Size of each: what is published to a stopped broker is soon more than the kernel takes.
const BYTES: u64 = 1500;

#[derive(Debug, Clone)]
enum Trouble {
    Kill,
    Close,
    /// Stopped for so many milliseconds, so that others are in the middle of writing to it, and killed then.
    Freeze(u64),
    /// Stopped for so many milliseconds.
    Stop(u64),
}

/// Whom it hits, and how many milliseconds later the next comes.
fn script() -> impl Strategy<Value = Vec<(usize, Trouble, u64)>> {
    let trouble = prop_oneof![
        2 => Just(Trouble::Kill),
        1 => Just(Trouble::Close),
        2 => (50..400_u64).prop_map(Trouble::Freeze),
        1 => (10..150_u64).prop_map(Trouble::Stop),
    ];
    prop::collection::vec((0..PEERS, trouble, 0..250_u64), 3..8)
}

struct World {
    // Before the folder: a living broker would make its socket anew.
    peers: Vec<Peer>,
    bus: Bus,
    publishers: u64,
    /// What Rust peers that are gone have seen.
    past: Vec<(String, Vec<Seen>)>,
}

impl World {
    fn enter(&mut self, kind: Kind) -> Peer {
        let peer = self.bus.start(kind);
        while let Err(error) = peer.begin_subscribe("t", "all", json!({})).result() {
            assert_eq!(kind, Kind::Node, "{}: {error}", peer.name());
        }
        let from = self.publishers * SPAN;
        self.publishers += 1;
        // Not waited for: it goes on while things happen.
        let _ = peer.begin(
            "publishMany",
            json!({ "topic": "t", "count": EVENTS, "from": from, "bytes": BYTES, "everyMs": 1 }),
        );
        peer
    }

    fn strike(&mut self, at: usize, trouble: &Trouble) {
        match trouble {
            Trouble::Stop(millis) => {
                self.peers[at].stop();
                std::thread::sleep(Duration::from_millis(*millis));
                self.peers[at].cont();
            }
            Trouble::Freeze(millis) => {
                self.peers[at].stop();
                std::thread::sleep(Duration::from_millis(*millis));
                self.peers[at].kill();
                self.replace(at);
            }
            Trouble::Kill => {
                self.peers[at].kill();
                self.replace(at);
            }
            Trouble::Close => {
                self.peers[at].close();
                self.replace(at);
            }
        }
    }

    fn replace(&mut self, at: usize) {
        let peer = self.enter(self.peers[at].kind());
        let gone = std::mem::replace(&mut self.peers[at], peer);
        self.keep(&gone);
    }

    fn keep(&mut self, peer: &Peer) {
        if peer.kind() == Kind::Rust {
            assert!(
                peer.remarks().is_empty(),
                "{}: {:?}",
                peer.name(),
                peer.remarks()
            );
            self.past.push((peer.name().to_owned(), peer.seen("all")));
        }
    }
}

/// No id twice, and every publisher's numbers rising.
fn check_one(name: &str, log: &[Seen]) {
    let mut ids = HashSet::new();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for one in log {
        assert!(ids.insert(one.id()), "{name} saw {} twice", one.event());
        let Some(number) = one.data()["seq"].as_u64() else {
            continue;
        };
        let before = last.insert(number / SPAN, number);
        assert!(
            before < Some(number),
            "{name} saw {number} after {before:?}"
        );
    }
}

/// What both saw, both saw in the same order.
fn check_two(one: &(String, Vec<Seen>), two: &(String, Vec<Seen>)) {
    let place: HashMap<&str, usize> = two.1.iter().map(Seen::id).zip(0..).collect();
    let mut last = None;
    for event in &one.1 {
        let Some(at) = place.get(event.id()) else {
            continue;
        };
        assert!(
            last < Some(*at),
            "{} and {} disagree about {}",
            one.0,
            two.0,
            event.event()
        );
        last = Some(*at);
    }
}

fn run(kinds: [Kind; PEERS], troubles: &[(usize, Trouble, u64)]) {
    let mut world = World {
        bus: bus!(),
        peers: Vec::new(),
        publishers: 0,
        past: Vec::new(),
    };
    for kind in kinds {
        let peer = world.enter(kind);
        world.peers.push(peer);
    }
    for (at, trouble, pause) in troubles {
        world.strike(*at, trouble);
        std::thread::sleep(Duration::from_millis(*pause));
    }
    let readers: Vec<(&Peer, &str)> = world.peers.iter().map(|peer| (peer, "all")).collect();
    world.bus.reachable("t", &readers);
    for peer in std::mem::take(&mut world.peers) {
        world.keep(&peer);
    }
    for (at, one) in world.past.iter().enumerate() {
        check_one(&one.0, &one.1);
        for two in &world.past[at + 1..] {
            check_two(one, two);
        }
    }
}

#[test]
fn logs_of_rust_peers_never_contradict_each_other() {
    let tables = match have_node() {
        true => vec![
            [Kind::Rust; PEERS],
            [Kind::Rust, Kind::Node, Kind::Rust, Kind::Node],
        ],
        false => vec![[Kind::Rust; PEERS]],
    };
    let seed = seed();
    for round in 0..rounds(2) as u64 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed + round).to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let troubles = script().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng));
        let Ok(troubles) = troubles.map(|tree| tree.current()) else {
            panic!("no script")
        };
        for kinds in &tables {
            eprintln!("BOWLINE_SEED={}, {kinds:?}: {troubles:?}", seed + round);
            run(*kinds, &troubles);
        }
    }
}
