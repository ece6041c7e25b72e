//! Random scripts over two Node and two Rust peers on one server: whatever the script, all logs agree with the streams.
//!
//! A script is a list of phases. In each, memberships change, at times a peer is killed and started anew, and then everybody
//! publishes at the same time. Members of groups refuse events. `BOWLINE_SEED` repeats a run, `BOWLINE_ROUNDS` sets how many
//! scripts there are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bowline_interop::roles::{have_node, rounds, seed};
use bowline_interop::{Kind, Peer, Redis, Seen, eventually, redis};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

const TOPICS: [&str; 2] = ["one", "two words:é\n"];
const GROUPS: [Option<&str>; 3] = [None, Some("g"), Some("h")];
const PEERS: usize = 4;

/// A peer, a topic and a group or none, by index.
type Place = (usize, usize, usize);

/// What tells one delivery from all others: the id of the event and the number of the attempt.
type Mark = (String, u64);

#[derive(Debug, Clone)]
struct Phase {
    killed: Option<usize>,
    /// Subscribes where there is no callback, unsubscribes where there is one; members refuse until this attempt.
    toggled: Vec<(Place, u64)>,
    /// Publisher and topic.
    published: Vec<(usize, usize)>,
}

fn phase() -> impl Strategy<Value = Phase> {
    let killed = prop_oneof![3 => Just(None), 1 => (0..PEERS).prop_map(Some)];
    let place = (0..PEERS, 0..TOPICS.len(), 0..GROUPS.len());
    (
        killed,
        prop::collection::vec((place, 1..4_u64), 0..8),
        prop::collection::vec((0..PEERS, 0..TOPICS.len()), 0..60),
    )
        .prop_map(|(killed, toggled, published)| Phase {
            killed,
            toggled,
            published,
        })
}

fn marks(seen: &[Seen]) -> Vec<Mark> {
    seen.iter()
        .map(|one| (one.id().to_owned(), one.attempt()))
        .collect()
}

/// An event of which the stream holds more entries than the group got. What a member that died had in hand counts as an attempt, so
/// an entry may come with a higher number than the one it holds.
fn missing(stream: &[Mark], got: &[Mark]) -> Option<String> {
    let by_id = |marks: &[Mark]| {
        let mut attempts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (id, attempt) in marks {
            attempts.entry(id.clone()).or_default().push(*attempt);
        }
        for attempts in attempts.values_mut() {
            attempts.sort_unstable_by(|a, b| b.cmp(a));
        }
        attempts
    };
    let got = by_id(got);
    by_id(stream).into_iter().find_map(|(id, entries)| {
        let deliveries = got.get(&id).map_or(&[][..], Vec::as_slice);
        let is_done = deliveries.len() >= entries.len()
            && entries
                .iter()
                .zip(deliveries)
                .all(|(entry, delivery)| delivery >= entry);
        (!is_done)
            .then(|| format!("{id} is in the stream as {entries:?}, it came as {deliveries:?}"))
    })
}

struct World {
    // Before the server, which the living ones would try to reach.
    peers: Vec<Peer>,
    redis: Redis,
    options: Value,
    places: BTreeMap<Place, String>,
    labels: usize,
    published: u64,
    deaths: usize,
    /// What members of each topic and group got that are gone now.
    done: BTreeMap<(usize, usize), Vec<Mark>>,
}

impl World {
    fn new(redis: Redis, kinds: [Kind; PEERS], options: Value) -> Self {
        Self {
            peers: redis.start_all_with(kinds, options.clone()).into(),
            redis,
            options,
            places: BTreeMap::new(),
            labels: 0,
            published: 0,
            deaths: 0,
            done: BTreeMap::new(),
        }
    }

    /// What the stream holds, in order.
    fn stream(&self, topic: usize) -> Vec<Mark> {
        let mark = |text: &String| {
            let event: Value = serde_json::from_str(text).unwrap();
            let attempt = event["deliveryAttempt"].as_u64().unwrap();
            (event["id"].as_str().unwrap().to_owned(), attempt)
        };
        self.redis.texts(TOPICS[topic]).iter().map(mark).collect()
    }

    fn seen(&self, place: Place) -> Vec<Mark> {
        marks(&self.peers[place.0].seen(&self.places[&place]))
    }

    /// Remembers what the callback got, and checks that an ungrouped one got the beginning of the stream.
    fn forget(&mut self, place: Place) {
        let seen = self.seen(place);
        self.places.remove(&place);
        if GROUPS[place.2].is_some() {
            self.done
                .entry((place.1, place.2))
                .or_default()
                .extend(seen);
        } else {
            let stream = self.stream(place.1);
            assert_eq!(seen, stream[..seen.len()], "at {place:?}");
        }
    }

    fn kill(&mut self, at: usize) {
        self.peers[at].kill();
        let places: Vec<Place> = self
            .places
            .keys()
            .copied()
            .filter(|place| place.0 == at)
            .collect();
        for place in places {
            self.forget(place);
        }
        self.peers[at] = self
            .redis
            .start_with(self.peers[at].kind(), self.options.clone());
        self.deaths += 1;
    }

    fn toggle(&mut self, place: Place, refuses_until: u64) {
        let topic = TOPICS[place.1];
        if let Some(label) = self.places.get(&place) {
            self.peers[place.0].unsubscribe(topic, label);
            self.forget(place);
            return;
        }
        let label = format!("callback {}", self.labels);
        self.labels += 1;
        let more = match GROUPS[place.2] {
            None => json!({}),
            Some(group) => json!({ "group": group, "nackUntil": refuses_until }),
        };
        self.peers[place.0].subscribe_with(topic, &label, more);
        self.places.insert(place, label);
    }

    /// Everybody publishes at the same time.
    fn publish(&mut self, published: &[(usize, usize)]) {
        let mut queues = vec![Vec::new(); PEERS];
        for &(peer, topic) in published {
            queues[peer].push((topic, self.published));
            self.published += 1;
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
    }

    /// Every group gets a member that accepts everything, so that none is left with work that nobody does.
    fn attend_to_all_groups(&mut self) {
        for topic in 0..TOPICS.len() {
            for group in 1..GROUPS.len() {
                let peer = (topic + group) % PEERS;
                if !self.places.contains_key(&(peer, topic, group)) {
                    self.toggle((peer, topic, group), 1);
                }
            }
        }
    }

    /// What the members of a group got, those that are gone included.
    fn got(&self, topic: usize, group: usize) -> Vec<Mark> {
        let mut got = self.done.get(&(topic, group)).cloned().unwrap_or_default();
        let places = self.places.keys().copied();
        let places = places.filter(|place| (place.1, place.2) == (topic, group));
        got.extend(places.flat_map(|place| self.seen(place)));
        got
    }

    /// The stream when nobody adds to it any more. What one group refuses comes again in the stream, for all groups: so it is done
    /// when every group got all of it, none has anything pending, and it is still the same afterwards.
    fn at_rest(&self, topic: usize) -> Result<Vec<Mark>, String> {
        let stream = self.stream(topic);
        for group in 1..GROUPS.len() {
            if let Some(missing) = missing(&stream, &self.got(topic, group)) {
                return Err(missing);
            }
        }
        for name in GROUPS.into_iter().flatten() {
            let pending = self.redis.pending(TOPICS[topic], name);
            if pending > 0 {
                return Err(format!("{pending} pending in {name}"));
            }
        }
        match self.stream(topic).len() == stream.len() {
            true => Ok(stream),
            false => Err("the stream goes on".to_owned()),
        }
    }

    /// Every group has settled every entry, and its members got each of them: once, unless somebody died in between.
    fn check_groups(&self) {
        for (topic, topic_name) in TOPICS.iter().enumerate() {
            let stream = eventually("all groups have done everything", || self.at_rest(topic));
            if self.deaths > 0 {
                continue;
            }
            for (group, name) in GROUPS.iter().enumerate().skip(1) {
                let mut got = self.got(topic, group);
                for mark in &stream {
                    let place = got.iter().position(|other| other == mark);
                    got.swap_remove(
                        place
                            .unwrap_or_else(|| panic!("{name:?} of {topic_name:?} lacks {mark:?}")),
                    );
                }
                assert!(
                    got.is_empty(),
                    "{name:?} of {topic_name:?} got too much: {got:?}"
                );
            }
        }
    }

    /// Every ungrouped callback got the whole stream in its order, and nothing else.
    fn check_fan_out(&self) {
        for &place in self.places.keys().filter(|place| place.2 == 0) {
            eventually("the callback has the whole stream", || {
                let (seen, stream) = (self.seen(place), self.stream(place.1));
                match seen == stream {
                    true => Ok(()),
                    false => Err(format!("{place:?}: {seen:?} of {stream:?}")),
                }
            });
        }
    }
}

/// Where somebody dies the others soon take over; where nobody does, not even what is very slow is taken.
fn options(phases: &[Phase]) -> Value {
    let dies = phases.iter().any(|phase| phase.killed.is_some());
    let idle = if dies { 3_000 } else { 60_000 };
    json!({ "reclaimIntervalMs": 500, "reclaimIdleMs": idle })
}

#[test]
fn all_logs_agree_with_the_streams() {
    let kinds = match have_node() {
        true => [Kind::Node, Kind::Rust, Kind::Node, Kind::Rust],
        false => [Kind::Rust; PEERS],
    };
    let seed = seed();
    for round in 0..rounds(3) as u64 {
        eprintln!("BOWLINE_SEED={}", seed + round);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed + round).to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let phases = prop::collection::vec(phase(), 2..6);
        let phases = phases.new_tree(&mut runner).unwrap().current();
        eprintln!("{phases:#?}");
        let mut world = World::new(redis!(), kinds, options(&phases));
        for phase in phases {
            if let Some(at) = phase.killed {
                world.kill(at);
            }
            for (place, refuses_until) in phase.toggled {
                world.toggle(place, refuses_until);
            }
            world.publish(&phase.published);
        }
        world.attend_to_all_groups();
        world.check_groups();
        world.check_fan_out();
    }
}
