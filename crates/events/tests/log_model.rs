//! The log against a naive model: whatever happens, a reader sees every position once and in order or is told what is gone,
//! and a group settles every event exactly once.
#![allow(missing_docs)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::log::{
    Backlog, Grant, LogConfig, MemberId, Read, ReaderId, Redelivery, TopicLog,
};
use bowline_events::{
    Event, NewEvent, Payload, Retention, Settlement, StartFrom, Text, Timestamp, TopicFamily,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Append {
        size: usize,
    },
    Attach {
        start: Start,
    },
    Read {
        reader: usize,
        max: usize,
    },
    Detach {
        reader: usize,
    },
    Join {
        group: u8,
        start: Start,
        lease: bool,
    },
    Take {
        member: usize,
        max: usize,
    },
    Leave {
        member: usize,
    },
    Settle {
        grant: usize,
        how: u8,
    },
    Renew {
        grant: usize,
    },
    Wait {
        millis: u64,
    },
    Clear,
    Trim {
        back: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Latest,
    Earliest,
    Back(u64),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Latest),
        Just(Start::Earliest),
        (0..5_u64).prop_map(Start::Back)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..400_usize).prop_map(|size| Op::Append { size }),
        2 => start().prop_map(|start| Op::Attach { start }),
        6 => (any::<usize>(), 1..5_usize).prop_map(|(reader, max)| Op::Read { reader, max }),
        1 => any::<usize>().prop_map(|reader| Op::Detach { reader }),
        2 => (0..2_u8, start(), any::<bool>()).prop_map(|(group, start, lease)| Op::Join { group, start, lease }),
        8 => (any::<usize>(), 1..4_usize).prop_map(|(member, max)| Op::Take { member, max }),
        1 => any::<usize>().prop_map(|member| Op::Leave { member }),
        8 => (any::<usize>(), 0..4_u8).prop_map(|(grant, how)| Op::Settle { grant, how }),
        1 => any::<usize>().prop_map(|grant| Op::Renew { grant }),
        3 => (1..40_u64).prop_map(|millis| Op::Wait { millis }),
        1 => Just(Op::Clear),
        1 => (0..6_u64).prop_map(|back| Op::Trim { back }),
    ]
}

const LEASE: Duration = Duration::from_millis(25);
const MAX_DELIVERIES: u32 = 3;

fn config(retain: usize, refuse: bool) -> LogConfig {
    let mut config = LogConfig::for_family(TopicFamily::Plain);
    config.retention = Retention::new(4_000, retain, Duration::from_millis(200));
    config.refuse_when_full = refuse;
    config.redelivery = Redelivery::new(Some(MAX_DELIVERIES), Duration::from_millis(3));
    config.group_window = 2;
    let mut backlog = Backlog::default();
    backlog.max_bytes = 8_000;
    config.backlog = backlog;
    config
}

/// What the model knows of a reader: the next position, in which generation.
struct ModelReader {
    id: ReaderId,
    next: u64,
    generation: u64,
}

#[derive(Default)]
struct ModelGroup {
    acked: HashSet<u64>,
    dead: HashSet<u64>,
    /// Highest attempt handed out.
    attempts: BTreeMap<u64, u32>,
    live: HashMap<u64, Grant>,
}

struct World {
    log: TopicLog,
    config: LogConfig,
    begin: Instant,
    millis: u64,
    appended: Vec<Arc<Event>>,
    generation: u64,
    readers: Vec<ModelReader>,
    members: Vec<(u8, MemberId, bool)>,
    groups: HashMap<u8, ModelGroup>,
    /// Grants in hand: group, token, member's lease deadline if it has one.
    grants: Vec<(u8, MemberId, Grant, Option<u64>, u64)>,
    trimmed_to: u64,
}

impl World {
    fn new(config: LogConfig) -> Self {
        Self {
            log: TopicLog::new(config),
            config,
            begin: Instant::now(),
            millis: 0,
            appended: Vec::new(),
            generation: 0,
            readers: Vec::new(),
            members: Vec::new(),
            groups: HashMap::new(),
            grants: Vec::new(),
            trimmed_to: 0,
        }
    }

    fn now(&self) -> Instant {
        self.begin + Duration::from_millis(self.millis)
    }

    fn end(&self) -> u64 {
        self.appended.len() as u64
    }

    fn position(&self, start: Start) -> (StartFrom, u64) {
        match start {
            Start::Latest => (StartFrom::Latest, self.end()),
            Start::Earliest => (StartFrom::Earliest, self.log.stats().first),
            Start::Back(back) => {
                let offset = self.end().saturating_sub(back);
                (StartFrom::Offset(offset), offset)
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append { size } => self.append(size),
            Op::Attach { start } => {
                let (from, next) = self.position(start);
                let id = self.log.attach(from, false, self.now());
                self.readers.push(ModelReader {
                    id,
                    next,
                    generation: self.generation,
                });
            }
            Op::Read { reader, max } => self.read(reader, max),
            Op::Detach { reader } => {
                if !self.readers.is_empty() {
                    let place = reader % self.readers.len();
                    let gone = self.readers.swap_remove(place);
                    self.log.detach(gone.id);
                    assert_eq!(self.log.read(gone.id, self.now(), 1, |_, _| ()), Read::Gone);
                }
            }
            Op::Join {
                group,
                start,
                lease,
            } => {
                let (from, _) = self.position(start);
                let name = Text::from(format!("g{group}"));
                let member = self.log.join(&name, from, lease.then_some(LEASE));
                self.members.push((group, member, lease));
                self.groups.entry(group).or_default();
            }
            Op::Take { member, max } => self.take(member, max),
            Op::Leave { member } => {
                if !self.members.is_empty() {
                    let place = member % self.members.len();
                    let (name, gone, _) = self.members.swap_remove(place);
                    self.log.leave(gone);
                    let last = !self.members.iter().any(|(other, ..)| *other == name);
                    if last && self.config.retention.events == 0 {
                        self.forget_group(name);
                    }
                }
            }
            Op::Settle { grant, how } => self.settle(grant, how),
            Op::Renew { grant } => self.renew(grant),
            Op::Wait { millis } => {
                self.millis += millis;
                self.tick();
                self.log.expire(Timestamp::from_millis(self.millis as i64));
            }
            Op::Clear => {
                self.log.clear();
                self.appended.clear();
                self.generation += 1;
                self.trimmed_to = 0;
                self.grants.clear();
                for group in self.groups.values_mut() {
                    *group = ModelGroup::default();
                }
            }
            Op::Trim { back } => {
                let before = self.end().saturating_sub(back);
                self.log.trim_before(before);
                self.trimmed_to = self.trimmed_to.max(before);
            }
        }
        self.bury();
        self.check();
    }

    fn append(&mut self, size: usize) {
        let mut event = NewEvent::new("n", "r").stamp();
        event.created_at = Timestamp::from_millis(self.millis as i64);
        event.data =
            Payload::from_valid_json(vec![b'1'; size].into(), bowline_events::Dialect::Plain);
        let event = Arc::new(event);
        match self.log.append(Arc::clone(&event)) {
            Ok(seq) => {
                assert_eq!(seq, self.end(), "positions are contiguous");
                self.appended.push(event);
            }
            Err(error) => assert!(self.config.refuse_when_full, "{error:?}"),
        }
    }

    fn read(&mut self, reader: usize, max: usize) {
        if self.readers.is_empty() {
            return;
        }
        let now = self.now();
        let place = reader % self.readers.len();
        let model = &mut self.readers[place];
        let mut got = Vec::new();
        let read = self.log.read(model.id, now, max, |seq, event| {
            got.push((seq, Arc::clone(event)));
        });
        let stats = self.log.stats();
        if model.generation != self.generation {
            assert_eq!(read, Read::Cleared, "a clear is told first");
            (model.generation, model.next) = (self.generation, stats.first);
            return;
        }
        if model.next < stats.first {
            let Read::Truncated(missed) = read else {
                panic!("a gap is told, got {read:?}")
            };
            assert_eq!((missed.wanted, missed.first), (model.next, stats.first));
            model.next = stats.first;
            return;
        }
        let expected = (stats.end - model.next).min(max as u64) as usize;
        assert_eq!(got.len(), expected);
        assert_eq!(
            read,
            if expected == 0 {
                Read::Empty
            } else {
                Read::Some(expected)
            }
        );
        for (seq, event) in got {
            assert_eq!(seq, model.next);
            assert!(
                Arc::ptr_eq(&event, &self.appended[seq as usize]),
                "the very event that was appended"
            );
            model.next += 1;
        }
    }

    fn take(&mut self, member: usize, max: usize) {
        if self.members.is_empty() {
            return;
        }
        let now = self.now();
        let (name, id, leased) = self.members[member % self.members.len()];
        let mut got = Vec::new();
        let read = self.log.take(id, now, max, |grant| got.push(grant));
        match read {
            Read::Some(count) => assert_eq!(count, got.len()),
            Read::Empty | Read::Truncated(_) => assert!(got.is_empty()),
            other => panic!("{other:?}"),
        }
        let group = self.groups.get_mut(&name).expect("a joined group");
        for grant in got {
            let attempt = grant.event.delivery_attempt;
            assert!(
                !group.acked.contains(&grant.seq),
                "acked events never come again"
            );
            assert!(
                !group.dead.contains(&grant.seq),
                "dead events never come again"
            );
            assert!((1..=MAX_DELIVERIES).contains(&attempt));
            let before = group.attempts.insert(grant.seq, attempt).unwrap_or(0);
            assert!(
                attempt == before + 1 || attempt == before,
                "attempts count up: {before} then {attempt}"
            );
            assert!(
                group.live.insert(grant.seq, grant.clone()).is_none(),
                "one live grant per event"
            );
            let deadline = leased.then(|| self.millis + LEASE.as_millis() as u64);
            self.grants
                .push((name, id, grant, deadline, self.generation));
        }
        let outstanding = self
            .grants
            .iter()
            .filter(|(_, holder, ..)| *holder == id)
            .count();
        assert!(
            outstanding <= self.config.group_window,
            "no member holds more than its window"
        );
    }

    fn settle(&mut self, grant: usize, how: u8) {
        if self.grants.is_empty() {
            return;
        }
        let place = grant % self.grants.len();
        let (name, member, grant, ..) = self.grants.swap_remove(place);
        let settlement = [
            Settlement::Ack,
            Settlement::Nack,
            Settlement::Release,
            Settlement::Dropped,
        ][how as usize];
        let group = self.groups.get_mut(&name).expect("a joined group");
        group.live.remove(&grant.seq);
        if settlement == Settlement::Ack {
            group.acked.insert(grant.seq);
        }
        self.log
            .settle(member.group, grant.token, settlement, self.now());
        self.log
            .settle(member.group, grant.token, Settlement::Nack, self.now());
        assert!(
            !self.log.renew(member.group, grant.token, self.now()),
            "a settled grant is gone"
        );
    }

    fn renew(&mut self, grant: usize) {
        if self.grants.is_empty() {
            return;
        }
        let place = grant % self.grants.len();
        let now = self.now();
        let millis = self.millis;
        let (_, member, grant, deadline, _) = &mut self.grants[place];
        assert!(self.log.renew(member.group, grant.token, now));
        if let Some(deadline) = deadline {
            *deadline = millis + LEASE.as_millis() as u64;
        }
    }

    fn tick(&mut self) {
        self.log.tick(self.now());
        let (millis, groups) = (self.millis, &mut self.groups);
        self.grants.retain(|(name, _, grant, deadline, _)| {
            let expired = deadline.is_some_and(|deadline| deadline <= millis);
            if expired {
                groups
                    .get_mut(name)
                    .expect("a joined group")
                    .live
                    .remove(&grant.seq);
            }
            !expired
        });
    }

    fn bury(&mut self) {
        self.log.take_ready().for_each(drop);
        for letter in self.log.take_dead() {
            assert_eq!(letter.event.delivery_attempt, MAX_DELIVERIES);
            let name = letter.group.as_bytes()[1] - b'0';
            let group = self.groups.get_mut(&name).expect("a joined group");
            assert!(group.dead.insert(letter.seq), "an event dies once");
        }
    }

    /// A topic that keeps nothing forgets a group with its last member, and what the member held.
    fn forget_group(&mut self, name: u8) {
        self.groups.insert(name, ModelGroup::default());
        self.grants.retain(|(other, member, grant, ..)| {
            let forgotten = *other == name;
            assert!(!forgotten || !self.log.renew(member.group, grant.token, self.begin));
            !forgotten
        });
    }

    /// What must be kept is kept, and what is kept is bounded.
    fn check(&self) {
        let stats = self.log.stats();
        assert_eq!(stats.end, self.end());
        let mut bytes = 0;
        for (kept, (position, event)) in self.appended.iter().enumerate().rev().enumerate() {
            bytes += event.weight();
            let retention = &self.config.retention;
            let aged = event.created_at.as_millis() + (retention.age.as_millis() as i64)
                < self.millis as i64;
            if kept + 1 > retention.events
                || bytes > retention.bytes
                || aged
                || (position as u64) < self.trimmed_to
            {
                break;
            }
            assert!(
                stats.first <= position as u64,
                "position {position} is within the retention"
            );
        }
        let biggest = self
            .appended
            .iter()
            .map(|event| event.weight())
            .max()
            .unwrap_or(0);
        let bound = self
            .config
            .retention
            .bytes
            .max(self.config.backlog.max_bytes)
            + biggest;
        assert!(
            stats.bytes <= bound,
            "{} bytes kept, the bound is {bound}",
            stats.bytes
        );
    }

    /// With a patient member everything that a group was owed is settled in the end.
    fn drain_group(&mut self, name: u8) {
        self.grants.retain(|(other, ..)| *other != name);
        let text = Text::from(format!("g{name}"));
        for (_, member, _) in self.members.iter().filter(|(other, ..)| *other == name) {
            self.log.leave(*member);
        }
        self.members.retain(|(other, ..)| *other != name);
        let live: Vec<Grant> = self.groups[&name].live.values().cloned().collect();
        let member = self.log.join(&text, StartFrom::Latest, None);
        for grant in live {
            self.log
                .settle(member.group, grant.token, Settlement::Ack, self.now());
        }
        for _ in 0..10_000 {
            self.millis += 10;
            self.log.tick(self.now());
            let mut got = Vec::new();
            match self
                .log
                .take(member, self.now(), 8, |grant| got.push(grant))
            {
                Read::Truncated(_) => continue,
                Read::Empty
                    if self.log.stats().unsettled == 0
                        || got.is_empty() && self.log.next_timer().is_none() =>
                {
                    break;
                }
                _ => {}
            }
            for grant in got {
                let group = self.groups.get_mut(&name).expect("a joined group");
                assert!(
                    group.acked.insert(grant.seq),
                    "event {} was acked before",
                    grant.seq
                );
                self.log
                    .settle(member.group, grant.token, Settlement::Ack, self.now());
            }
        }
        self.log.leave(member);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_log_behaves_like_the_model(
        ops in prop::collection::vec(op(), 1..80),
        retain in prop_oneof![Just(0_usize), Just(3), Just(20)],
        refuse in any::<bool>(),
    ) {
        let mut world = World::new(config(retain, refuse && retain > 0));
        for op in &ops {
            world.apply(op);
        }
        let names: Vec<u8> = world.groups.keys().copied().collect();
        for name in names {
            world.drain_group(name);
        }
        prop_assert_eq!(world.log.stats().unsettled, 0, "nothing is stuck");
    }
}

#[test]
fn members_that_are_ready_take_turns() {
    let mut log = TopicLog::new(LogConfig::for_family(TopicFamily::Work));
    let now = Instant::now();
    let group = Text::from("g");
    let members: Vec<MemberId> = (0..3)
        .map(|_| log.join(&group, StartFrom::Latest, None))
        .collect();
    for _ in 0..6 {
        log.append(Arc::new(NewEvent::new("n", "r").stamp()))
            .expect("open");
    }
    for (place, member) in members.iter().enumerate() {
        let mut got = Vec::new();
        log.take(*member, now, 10, |grant| got.push(grant.seq));
        assert_eq!(got, [place as u64, place as u64 + 3]);
    }
}
