//! Which topics are read by which of two connections.
//!
//! All topics are read by the main lane, in one blocking read. A topic that joins while that read is blocked must not wait for its
//! end, and the read must not be given up, or what the server has just assigned to it would have to be looked up. So the
//! newcomer is read by the late lane, in reads that are short enough for the next newcomer. When the main read ends, its next
//! ones are short as well, until there is a moment in which neither lane reads: then all topics are in the main lane again, and
//! the late one rests.
//!
//! Unblocking the read with `CLIENT UNBLOCK` would spare the second connection, but needs two permissions that the reference does
//! not ask for.
//!
//! A topic is never in two reads at once, so its entries keep their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The lane that reads everything.
pub(super) const MAIN: usize = 0;
/// The lane that reads what came while the main one was blocked.
pub(super) const LATE: usize = 1;

/// How long a read of the late lane blocks: newcomers wait so long at most.
const LATE_BLOCK: Duration = Duration::from_millis(20);

/// How long a read of the main lane blocks while topics wait to come back to it.
const MERGE_BLOCK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In no read; the next lane that may takes it.
    Waiting,
    In(usize),
    /// Not to be read now.
    Paused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    No,
    /// For a short while.
    Short,
    /// As long as nothing happens.
    Long,
}

/// The topics that are read, by key.
#[derive(Debug)]
pub(super) struct Roster<T> {
    members: HashMap<Arc<str>, (T, Place)>,
    busy: [Busy; 2],
    /// How long a read of the main lane may block.
    block: Duration,
}

/// What a lane is to do.
#[derive(Debug)]
pub(super) enum Turn<T> {
    Read {
        topics: Vec<T>,
        block: Duration,
    },
    /// Nothing until it is woken.
    Rest,
}

/// Who is to be woken after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Nobody,
    Main,
    /// The late lane, if the main one is still blocked in a moment.
    Late,
}

impl<T: Clone> Roster<T> {
    pub(super) fn new(block: Duration) -> Self {
        Self {
            members: HashMap::new(),
            busy: [Busy::No; 2],
            block,
        }
    }

    /// Adds a topic, or puts another in the place of an ended one.
    pub(super) fn add(&mut self, key: &Arc<str>, topic: T) -> Wake {
        self.members
            .insert(Arc::clone(key), (topic, Place::Waiting));
        self.wake()
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.members.remove(key);
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.members.get(key).map(|(topic, _)| topic)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.members.values().map(|(topic, _)| topic)
    }

    /// Takes a topic out of the reads for a while.
    pub(super) fn pause(&mut self, key: &str) {
        if let Some((_, place)) = self.members.get_mut(key) {
            *place = Place::Paused;
        }
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self, key: &str) -> Wake {
        match self.members.get_mut(key) {
            Some((_, place)) if *place == Place::Paused => {
                *place = Place::Waiting;
                self.wake()
            }
            _ => Wake::Nobody,
        }
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        self.members.drain().map(|(_, (topic, _))| topic).collect()
    }

    /// What `lane`, whose read has ended, does next; and whether the main lane is to be woken.
    pub(super) fn next(&mut self, lane: usize) -> (Turn<T>, Wake) {
        self.busy[lane] = Busy::No;
        if lane == LATE && self.busy[MAIN] != Busy::Long {
            return (Turn::Rest, self.hand_back());
        }
        let late_is_free = self.busy[LATE] == Busy::No;
        let mut topics = Vec::new();
        for (topic, place) in self.members.values_mut() {
            let mine = match *place {
                Place::Waiting => true,
                Place::In(other) => other == lane || (lane == MAIN && late_is_free),
                Place::Paused => false,
            };
            if mine {
                *place = Place::In(lane);
                topics.push(topic.clone());
            }
        }
        if topics.is_empty() {
            return (Turn::Rest, Wake::Nobody);
        }
        let (busy, block) = match (lane, late_is_free) {
            (MAIN, true) => (Busy::Long, self.block),
            (MAIN, false) => (Busy::Short, MERGE_BLOCK.min(self.block)),
            _ => (Busy::Short, LATE_BLOCK.min(self.block)),
        };
        self.busy[lane] = busy;
        (Turn::Read { topics, block }, Wake::Nobody)
    }

    /// Gives what the late lane had to the main one.
    fn hand_back(&mut self) -> Wake {
        let mut any = false;
        for (_, place) in self.members.values_mut() {
            if *place == Place::In(LATE) {
                *place = Place::Waiting;
            }
            any |= *place == Place::Waiting;
        }
        if any { self.wake() } else { Wake::Nobody }
    }

    fn wake(&self) -> Wake {
        match self.busy {
            [Busy::No, _] => Wake::Main,
            [Busy::Long, Busy::No] => Wake::Late,
            // Whoever reads a short while takes it next.
            _ => Wake::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: Duration = Duration::from_secs(30);

    fn read(roster: &mut Roster<u32>, lane: usize) -> Option<(Vec<u32>, Duration)> {
        match roster.next(lane).0 {
            Turn::Read { mut topics, block } => {
                topics.sort_unstable();
                Some((topics, block))
            }
            Turn::Rest => None,
        }
    }

    fn key(topic: u32) -> Arc<str> {
        Arc::from(topic.to_string())
    }

    #[test]
    fn one_connection_is_enough_while_nobody_joins() {
        let mut roster = Roster::new(BLOCK);
        assert_eq!(roster.add(&key(1), 1), Wake::Main);
        assert_eq!(read(&mut roster, MAIN), Some((vec![1], BLOCK)));
        assert_eq!(read(&mut roster, MAIN), Some((vec![1], BLOCK)));
        roster.remove("1");
        assert_eq!(read(&mut roster, MAIN), None);
    }

    #[test]
    fn a_newcomer_waits_for_no_blocked_read_and_comes_back_to_the_main_lane() {
        let mut roster = Roster::new(BLOCK);
        roster.add(&key(1), 1);
        read(&mut roster, MAIN);
        assert_eq!(roster.add(&key(2), 2), Wake::Late);
        assert_eq!(read(&mut roster, LATE), Some((vec![2], LATE_BLOCK)));
        assert_eq!(roster.add(&key(3), 3), Wake::Nobody);
        assert_eq!(read(&mut roster, LATE), Some((vec![2, 3], LATE_BLOCK)));
        // The main read ends while the late one is under way.
        assert_eq!(read(&mut roster, MAIN), Some((vec![1], MERGE_BLOCK)));
        assert_eq!(read(&mut roster, LATE), None);
        assert_eq!(read(&mut roster, MAIN), Some((vec![1, 2, 3], BLOCK)));
    }

    #[test]
    fn a_paused_topic_is_left_out() {
        let mut roster = Roster::new(BLOCK);
        roster.add(&key(1), 1);
        roster.add(&key(2), 2);
        roster.pause("1");
        assert_eq!(read(&mut roster, MAIN), Some((vec![2], BLOCK)));
        assert_eq!(roster.resume("1"), Wake::Late);
        assert_eq!(roster.resume("1"), Wake::Nobody);
        assert_eq!(read(&mut roster, LATE), Some((vec![1], LATE_BLOCK)));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Add(u32),
        Remove(u32),
        Pause(u32),
        Resume(u32),
        Ends(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u32).prop_map(Step::Add),
            (0..6_u32).prop_map(Step::Remove),
            (0..6_u32).prop_map(Step::Pause),
            (0..6_u32).prop_map(Step::Resume),
            (0..2_usize).prop_map(Step::Ends),
        ]
    }

    /// Lanes as their tasks run them: they rest until they are woken.
    struct World {
        roster: Roster<u32>,
        reads: [Option<Vec<u32>>; 2],
    }

    impl World {
        fn wake(&mut self, wake: Wake) {
            match wake {
                Wake::Nobody => {}
                Wake::Main => self.turn(MAIN),
                Wake::Late => self.turn(LATE),
            }
        }

        fn turn(&mut self, lane: usize) {
            let (turn, wake) = self.roster.next(lane);
            self.reads[lane] = match turn {
                Turn::Read { topics, .. } => Some(topics),
                Turn::Rest => None,
            };
            self.wake(wake);
        }
    }

    proptest! {
        #[test]
        fn a_topic_is_in_one_read_at_a_time_and_none_is_forgotten(steps in prop::collection::vec(step(), 1..200)) {
            let mut world = World { roster: Roster::new(BLOCK), reads: [None, None] };
            let mut present = std::collections::BTreeMap::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Add(topic) => {
                        // As a new incarnation: reads under way may still name the old one.
                        number += 10;
                        present.entry(topic).or_insert_with(|| {
                            let wake = world.roster.add(&key(topic), topic + number);
                            world.wake(wake);
                            (topic + number, false)
                        });
                    }
                    Step::Remove(topic) => {
                        present.remove(&topic);
                        world.roster.remove(&topic.to_string());
                    }
                    Step::Pause(topic) => {
                        let reading = world.reads.iter().flatten().any(|read| {
                            present.get(&topic).is_some_and(|(name, _)| read.contains(name))
                        });
                        // Only the one who reads a topic pauses it, between two reads.
                        if !reading && let Some((_, paused)) = present.get_mut(&topic) {
                            *paused = true;
                            world.roster.pause(&topic.to_string());
                        }
                    }
                    Step::Resume(topic) => {
                        if let Some((_, paused)) = present.get_mut(&topic) {
                            *paused = false;
                        }
                        let wake = world.roster.resume(&topic.to_string());
                        world.wake(wake);
                    }
                    Step::Ends(lane) => {
                        if world.reads[lane].is_some() {
                            world.turn(lane);
                        }
                    }
                }
                let [main, late] = &world.reads;
                for topic in main.iter().flatten() {
                    prop_assert!(late.iter().flatten().all(|other| other != topic), "{topic} is in both reads");
                }
            }
            // A short read ends by itself.
            for _ in 0..4 {
                for lane in [LATE, MAIN] {
                    if world.reads[lane].is_some() && world.roster.busy[lane] == Busy::Short {
                        world.turn(lane);
                    }
                }
            }
            let [main, late] = &world.reads;
            for (name, paused) in present.values() {
                let read = main.iter().chain(late).flatten().any(|topic| topic == name);
                prop_assert!(read || *paused, "{name} is never read");
            }
        }
    }
}
