//! Random scripts over two Node and two Rust peers: whatever the script, all logs have to agree.
//!
//! A script is a list of phases. In each, memberships change, at times the broker or a client is killed and started anew, and
//! then everybody publishes at the same time. `BOWLINE_SEED` repeats a run, `BOWLINE_ROUNDS` sets how many scripts there are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_interop::roles::{have_node, rounds, seed};
use bowline_interop::{Bus, Kind, Peer, bus, eventually, numbers};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

const TOPICS: [&str; 3] = ["one", "two words", "drei\n"];
const GROUPS: [Option<&str>; 3] = [None, Some("g"), Some("")];
const PEERS: usize = 4;
/// Everybody reads it from the start; marks and probes go here.
const COMMON: &str = "common";
/// For half a second after a failover a broker in Rust gives a new membership what it may have missed. The model subscribes
/// after that time, where a subscription begins with what is published next.
const HORIZON: Duration = Duration::from_millis(600);

/// One callback at most: a peer, a topic and a group or none, by index.
type Place = (usize, usize, usize);

#[derive(Debug, Clone)]
enum Death {
    Nobody,
    Client,
    Broker,
}

#[derive(Debug, Clone)]
struct Phase {
    death: Death,
    /// Subscribes where there is no callback, unsubscribes where there is one.
    toggled: Vec<Place>,
    /// Publisher and topic.
    published: Vec<(usize, usize)>,
}

fn phase() -> impl Strategy<Value = Phase> {
    let death =
        prop_oneof![4 => Just(Death::Nobody), 1 => Just(Death::Client), 1 => Just(Death::Broker)];
    let place = (0..PEERS, 0..TOPICS.len(), 0..GROUPS.len());
    let publish = (0..PEERS, 0..TOPICS.len());
    (
        death,
        prop::collection::vec(place, 0..12),
        prop::collection::vec(publish, 0..60),
    )
        .prop_map(|(death, toggled, published)| Phase {
            death,
            toggled,
            published,
        })
}

/// Who starts first, and what happens then.
fn script() -> impl Strategy<Value = (usize, Vec<Phase>)> {
    (0..PEERS, prop::collection::vec(phase(), 2..6))
}

fn label((_, topic, group): Place) -> String {
    format!("{topic}/{group}")
}

struct World {
    // Before the folder: a living broker would make its socket anew.
    peers: Vec<Peer>,
    bus: Bus,
    places: BTreeSet<Place>,
    /// Events that each callback has got in the phases before, counted since its process started.
    got: BTreeMap<Place, usize>,
    next: u64,
}

impl World {
    fn new(kinds: &[Kind; PEERS], first: usize) -> Self {
        let bus = bus!();
        let mut peers: Vec<Peer> = bus.start_all(*kinds).into();
        peers.rotate_left(first);
        for peer in &peers {
            peer.subscribe(COMMON, "common");
        }
        Self {
            bus,
            peers,
            places: BTreeSet::new(),
            got: BTreeMap::new(),
            next: 0,
        }
    }

    fn seen(&self, place: Place) -> Vec<u64> {
        numbers(&self.peers[place.0].seen(&label(place)))
    }

    /// Kills a peer, starts another in its place and waits until everybody is connected and has all memberships again.
    fn replace(&mut self, at: usize) {
        let kind = self.peers[at].kind();
        self.peers[at].kill();
        self.places.retain(|place| place.0 != at);
        self.got.retain(|place, _| place.0 != at);
        self.converged(|peer| peer != at);
        self.peers[at] = self.bus.start(kind);
        self.peers[at].subscribe(COMMON, "common");
        self.converged(|_| true);
    }

    fn converged(&self, takes_part: impl Fn(usize) -> bool) {
        let peers: Vec<&Peer> = (0..)
            .zip(&self.peers)
            .filter(|(at, _)| takes_part(*at))
            .map(|(_, peer)| peer)
            .collect();
        self.bus.converged(&peers);
        // A peer that publishes has replayed its memberships before.
        let readers: Vec<(&Peer, &str)> = peers.iter().map(|peer| (*peer, "common")).collect();
        self.bus.reachable(COMMON, &readers);
    }

    fn kill(&mut self, death: &Death) {
        let everybody: Vec<&Peer> = self.peers.iter().collect();
        let broker = self.bus.converged(&everybody);
        match death {
            Death::Nobody => {}
            Death::Client => self.replace((broker + 1) % PEERS),
            Death::Broker => {
                self.replace(broker);
                std::thread::sleep(HORIZON);
            }
        }
    }

    fn toggle(&mut self, place: Place) {
        let (peer, topic) = (&self.peers[place.0], TOPICS[place.1]);
        if self.places.remove(&place) {
            peer.unsubscribe(topic, &label(place));
            return;
        }
        match GROUPS[place.2] {
            None => peer.subscribe(topic, &label(place)),
            Some(group) => peer.join(topic, &label(place), group),
        }
        self.places.insert(place);
        self.got.entry(place).or_insert(0);
    }

    /// Everybody publishes at the same time, each one its own in order. What was published on each topic, by publisher.
    fn publish(&mut self, published: &[(usize, usize)]) -> Vec<Vec<Vec<u64>>> {
        let mut by_topic = vec![vec![Vec::new(); PEERS]; TOPICS.len()];
        let mut queues = vec![Vec::new(); PEERS];
        for &(peer, topic) in published {
            by_topic[topic][peer].push(self.next);
            queues[peer].push((topic, self.next));
            self.next += 1;
        }
        std::thread::scope(|scope| {
            for (peer, queue) in self.peers.iter().zip(queues) {
                scope.spawn(move || {
                    for (topic, number) in queue {
                        peer.publish(TOPICS[topic], json!(number));
                    }
                });
            }
        });
        by_topic
    }

    /// All fan-out callbacks of the topic got everything, in one order, which keeps that of every publisher.
    fn check_fan_out(&mut self, topic: usize, published: &[Vec<u64>]) {
        let total = published.concat().len();
        let places: Vec<Place> = self
            .places
            .iter()
            .copied()
            .filter(|place| place.1 == topic && place.2 == 0)
            .collect();
        let mut order: Option<Vec<u64>> = None;
        for place in places {
            let before = self.got[&place];
            self.peers[place.0].wait_seen(&label(place), before + total);
            let phase = self.seen(place)[before..].to_vec();
            for own in published {
                let kept: Vec<u64> = phase
                    .iter()
                    .copied()
                    .filter(|number| own.contains(number))
                    .collect();
                assert_eq!(kept, *own, "not in the order of its publisher at {place:?}");
            }
            assert_eq!(phase.len(), total, "more than was published at {place:?}");
            let order = order.get_or_insert_with(|| phase.clone());
            assert_eq!(*order, phase, "another order at {place:?}");
            self.got.insert(place, before + total);
        }
    }

    /// The members of the group share everything, as evenly as possible.
    fn check_group(&mut self, topic: usize, group: usize, published: &[Vec<u64>]) {
        let places: Vec<Place> = self
            .places
            .iter()
            .copied()
            .filter(|place| place.1 == topic && place.2 == group)
            .collect();
        if places.is_empty() {
            return;
        }
        let mut wanted = published.concat();
        wanted.sort_unstable();
        let shares = eventually("the group has everything", || {
            let shares: Vec<Vec<u64>> = places
                .iter()
                .map(|place| self.seen(*place)[self.got[place]..].to_vec())
                .collect();
            match shares.concat().len() >= wanted.len() {
                true => Ok(shares),
                false => Err(format!("{shares:?} of {wanted:?}")),
            }
        });
        let mut all = shares.concat();
        all.sort_unstable();
        assert_eq!(all, wanted, "shares of {places:?}: {shares:?}");
        let sizes = || shares.iter().map(Vec::len);
        assert!(
            sizes().max().unwrap() - sizes().min().unwrap() <= 1,
            "uneven shares of {places:?}: {shares:?}"
        );
        for (place, share) in places.iter().zip(&shares) {
            *self.got.get_mut(place).unwrap() += share.len();
        }
    }

    /// After marks from everybody to everybody nothing more may have come.
    fn check_nothing_more(&self) {
        let readers: Vec<(&Peer, &str)> = self.peers.iter().map(|peer| (peer, "common")).collect();
        for peer in &self.peers {
            self.bus.settled(peer, COMMON, &readers);
        }
        for (place, count) in &self.got {
            assert_eq!(self.seen(*place).len(), *count, "at {place:?}");
        }
    }
}

fn run(first: usize, phases: &[Phase], kinds: &[Kind; PEERS]) {
    let mut world = World::new(kinds, first);
    for phase in phases {
        world.kill(&phase.death);
        for place in &phase.toggled {
            world.toggle(*place);
        }
        let published = world.publish(&phase.published);
        for (topic, published) in published.iter().enumerate() {
            world.check_fan_out(topic, published);
            for group in 1..GROUPS.len() {
                world.check_group(topic, group, published);
            }
        }
    }
    world.check_nothing_more();
}

#[test]
fn all_logs_agree() {
    let kinds = match have_node() {
        true => [Kind::Node, Kind::Rust, Kind::Node, Kind::Rust],
        false => [Kind::Rust; PEERS],
    };
    let seed = seed();
    for round in 0..rounds(3) as u64 {
        eprintln!("BOWLINE_SEED={}", seed + round);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed + round).to_le_bytes());
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
        );
        let (first, phases) = script().new_tree(&mut runner).unwrap().current();
        eprintln!("first {first}, {phases:#?}");
        run(first, &phases, &kinds);
    }
}
