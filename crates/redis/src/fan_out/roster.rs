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
//! A read names all its topics, so it costs the more the more there are, however few of them have something. Where there are
//! many, those that have something move to the late lane and stay there until they are quiet: the long read is sent again only
//! when a quiet topic wakes up.
//!
//! A topic is never in two reads at once, so its entries keep their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The lane that reads everything.
pub(super) const MAIN: usize = 0;
/// The lane that reads what came while the main one was blocked.
pub(super) const LATE: usize = 1;

/// How long a read of the late lane blocks: newcomers wait so long at most.
const LATE_BLOCK: Duration = Duration::from_millis(20);

/// How long a read of the main lane blocks while topics wait to come back to it.
const MERGE_BLOCK: Duration = Duration::from_millis(5);

/// So many topics are many.
pub(super) const MANY_TOPICS: usize = 64;

/// A topic is active for so long after an entry.
const ACTIVE: Duration = Duration::from_secs(1);

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
    members: HashMap<Arc<str>, Member<T>>,
    busy: [Busy; 2],
    /// How long a read of the main lane may block.
    block: Duration,
    many: usize,
}

#[derive(Debug)]
struct Member<T> {
    topic: T,
    place: Place,
    /// When the last entry came.
    entry_at: Option<Instant>,
}

impl<T> Member<T> {
    fn is_active(&self, now: Instant) -> bool {
        self.entry_at
            .is_some_and(|at| now.saturating_duration_since(at) < ACTIVE)
    }
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
    /// The late lane, at once.
    LateNow,
}

impl<T: Clone> Roster<T> {
    pub(super) fn new(block: Duration) -> Self {
        Self {
            members: HashMap::new(),
            busy: [Busy::No; 2],
            block,
            many: MANY_TOPICS,
        }
    }

    /// Adds a topic, or puts another in the place of an ended one.
    pub(super) fn add(&mut self, key: &Arc<str>, topic: T) -> Wake {
        let member = Member {
            topic,
            place: Place::Waiting,
            entry_at: None,
        };
        self.members.insert(Arc::clone(key), member);
        self.wake()
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.members.remove(key);
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.members.get(key).map(|member| &member.topic)
    }

    /// As [`get`](Self::get), for a topic that has an entry.
    pub(super) fn get_active(&mut self, key: &str, now: Instant) -> Option<&T> {
        let member = self.members.get_mut(key)?;
        member.entry_at = Some(now);
        Some(&member.topic)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.members.values().map(|member| &member.topic)
    }

    /// Takes a topic out of the reads for a while.
    pub(super) fn pause(&mut self, key: &str) {
        if let Some(member) = self.members.get_mut(key) {
            member.place = Place::Paused;
        }
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self, key: &str) -> Wake {
        match self.members.get_mut(key) {
            Some(member) if member.place == Place::Paused => {
                member.place = Place::Waiting;
                self.wake()
            }
            _ => Wake::Nobody,
        }
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        self.members
            .drain()
            .map(|(_, member)| member.topic)
            .collect()
    }

    /// What `lane`, whose read has ended, does next; and whom to wake.
    pub(super) fn next(&mut self, lane: usize, now: Instant) -> (Turn<T>, Wake) {
        self.busy[lane] = Busy::No;
        match lane {
            MAIN => self.next_main(now),
            _ => self.next_late(now),
        }
    }

    fn next_main(&mut self, now: Instant) -> (Turn<T>, Wake) {
        let many = self.members.len() > self.many;
        let late_is_free = self.busy[LATE] == Busy::No;
        let mut topics = Vec::new();
        let (mut comes_back, mut leaves) = (false, false);
        for member in self.members.values_mut() {
            let stays_away = many && member.is_active(now);
            match member.place {
                Place::Paused => continue,
                Place::In(LATE) if stays_away => continue,
                Place::In(LATE) if !late_is_free => {
                    comes_back = true;
                    continue;
                }
                _ if stays_away => {
                    member.place = Place::Waiting;
                    leaves = true;
                    continue;
                }
                _ => {}
            }
            member.place = Place::In(MAIN);
            topics.push(member.topic.clone());
        }
        let wake = match leaves && late_is_free {
            true => Wake::LateNow,
            false => Wake::Nobody,
        };
        if topics.is_empty() {
            return (Turn::Rest, wake);
        }
        let (busy, block) = match comes_back {
            true => (Busy::Short, MERGE_BLOCK.min(self.block)),
            false => (Busy::Long, self.block),
        };
        self.busy[MAIN] = busy;
        (Turn::Read { topics, block }, wake)
    }

    fn next_late(&mut self, now: Instant) -> (Turn<T>, Wake) {
        let many = self.members.len() > self.many;
        let main_is_blocked = self.busy[MAIN] == Busy::Long;
        let mut topics = Vec::new();
        let mut left = false;
        for member in self.members.values_mut() {
            if !matches!(member.place, Place::Waiting | Place::In(LATE)) {
                continue;
            }
            if main_is_blocked || (many && member.is_active(now)) {
                member.place = Place::In(LATE);
                topics.push(member.topic.clone());
            } else {
                member.place = Place::Waiting;
                left = true;
            }
        }
        let wake = match left && self.busy[MAIN] == Busy::No {
            true => Wake::Main,
            false => Wake::Nobody,
        };
        if topics.is_empty() {
            return (Turn::Rest, wake);
        }
        self.busy[LATE] = Busy::Short;
        let block = LATE_BLOCK.min(self.block);
        (Turn::Read { topics, block }, wake)
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
        match roster.next(lane, Instant::now()).0 {
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

    #[test]
    fn of_many_topics_the_active_ones_are_read_alone() {
        let mut roster = Roster {
            many: 2,
            ..Roster::new(BLOCK)
        };
        let now = Instant::now();
        for topic in 1..=4 {
            roster.add(&key(topic), topic);
        }
        assert_eq!(read(&mut roster, MAIN), Some((vec![1, 2, 3, 4], BLOCK)));
        roster.get_active("3", now);
        let (turn, wake) = roster.next(MAIN, now);
        assert!(matches!(turn, Turn::Read { topics, block: BLOCK } if topics.len() == 3));
        assert_eq!(wake, Wake::LateNow);
        let late = |roster: &mut Roster<u32>, now| match roster.next(LATE, now).0 {
            Turn::Read { topics, .. } => topics,
            Turn::Rest => Vec::new(),
        };
        assert_eq!(late(&mut roster, now), [3]);
        // A quiet one wakes up: the others are not disturbed.
        roster.get_active("1", now);
        let (turn, _) = roster.next(MAIN, now);
        assert!(matches!(turn, Turn::Read { topics, block: BLOCK } if topics.len() == 2));
        assert_eq!(late(&mut roster, now).len(), 2);
        // All quiet: they come back when the main lane is there to take them.
        let later = now + ACTIVE;
        assert_eq!(late(&mut roster, later).len(), 2);
        let (turn, _) = roster.next(MAIN, later);
        assert!(matches!(
            turn,
            Turn::Read {
                block: MERGE_BLOCK,
                ..
            }
        ));
        assert!(late(&mut roster, later).is_empty());
        let (turn, _) = roster.next(MAIN, later);
        assert!(matches!(turn, Turn::Read { topics, block: BLOCK } if topics.len() == 4));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Add(u32),
        Remove(u32),
        Pause(u32),
        Resume(u32),
        Ends(usize),
        /// Every so-manieth of the topics of a read has an entry.
        Entries(usize, u32),
        Later,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u32).prop_map(Step::Add),
            (0..6_u32).prop_map(Step::Remove),
            (0..6_u32).prop_map(Step::Pause),
            (0..6_u32).prop_map(Step::Resume),
            (0..2_usize).prop_map(Step::Ends),
            (0..2_usize).prop_map(Step::Ends),
            (0..2_usize, 1..4_u32).prop_map(|(lane, each)| Step::Entries(lane, each)),
            Just(Step::Later),
        ]
    }

    /// Lanes as their tasks run them: they rest until they are woken.
    struct World {
        roster: Roster<u32>,
        reads: [Option<Vec<u32>>; 2],
        now: Instant,
    }

    impl World {
        fn wake(&mut self, wake: Wake) {
            match wake {
                Wake::Nobody => {}
                Wake::Main => self.turn(MAIN),
                Wake::Late | Wake::LateNow => self.turn(LATE),
            }
        }

        fn turn(&mut self, lane: usize) {
            let (turn, wake) = self.roster.next(lane, self.now);
            self.reads[lane] = match turn {
                Turn::Read { topics, .. } => Some(topics),
                Turn::Rest => None,
            };
            self.wake(wake);
        }
    }

    proptest! {
        #[test]
        fn a_topic_is_in_one_read_at_a_time_and_none_is_forgotten(
            steps in prop::collection::vec(step(), 1..200),
            many in 0..6_usize,
        ) {
            let mut world = World {
                roster: Roster { many, ..Roster::new(BLOCK) },
                reads: [None, None],
                now: Instant::now(),
            };
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
                    Step::Entries(lane, each) => {
                        let topics = world.reads[lane].clone().unwrap_or_default();
                        for topic in topics.iter().filter(|topic| **topic % each == 0) {
                            world.roster.get_active(&(topic % 10).to_string(), world.now);
                        }
                    }
                    Step::Later => world.now += ACTIVE / 2,
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
