//! The work against a model that is too simple to be wrong: a list of events, and where each of them is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bowline_events::NewEvent;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push {
        entry: bool,
    },
    Take {
        member: usize,
        max: usize,
    },
    Ack {
        grant: usize,
    },
    Release {
        grant: usize,
    },
    /// Refuses; comes again after so many milliseconds.
    Retry {
        grant: usize,
        after: u64,
    },
    /// Refuses for good.
    Forget {
        grant: usize,
    },
    Renew {
        grant: usize,
    },
    Lose {
        grant: usize,
    },
    Join {
        lease: Option<u64>,
    },
    Leave {
        member: usize,
    },
    Pass {
        millis: u64,
    },
    Overdue {
        millis: u64,
    },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let grant = 0..200_usize;
    let member = 0..8_usize;
    let step = prop_oneof![
        12 => any::<bool>().prop_map(|entry| Step::Push { entry }),
        12 => (member.clone(), 1..6_usize).prop_map(|(member, max)| Step::Take { member, max }),
        6 => grant.clone().prop_map(|grant| Step::Ack { grant }),
        3 => grant.clone().prop_map(|grant| Step::Release { grant }),
        3 => (grant.clone(), 0..50_u64).prop_map(|(grant, after)| Step::Retry { grant, after }),
        1 => grant.clone().prop_map(|grant| Step::Forget { grant }),
        1 => grant.clone().prop_map(|grant| Step::Renew { grant }),
        1 => grant.prop_map(|grant| Step::Lose { grant }),
        2 => prop::option::of(1..100_u64).prop_map(|lease| Step::Join { lease }),
        1 => member.prop_map(|member| Step::Leave { member }),
        3 => (1..1_500_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (1..500_u64).prop_map(|millis| Step::Overdue { millis }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    Waits,
    /// In the hands of somebody, by this token.
    Held(u64),
    /// Refused, and to come at this time.
    Later(Instant),
}

#[derive(Debug)]
struct Naive {
    is_entry: bool,
    attempt: u32,
    whereabouts: Whereabouts,
    since: Instant,
    lost: bool,
}

struct Run {
    work: Work,
    now: Instant,
    members: Vec<MemberId>,
    /// By the number in the event.
    naive: BTreeMap<u64, Naive>,
    pushed: u64,
    /// Every token that was ever handed out, with its event.
    grants: Vec<(u64, u64)>,
}

fn id(number: u64) -> StreamId {
    StreamId { millis: 1, number }
}

fn number(event: &Event) -> u64 {
    event.data.parse().expect("a number")
}

impl Run {
    fn new() -> Self {
        Self {
            work: Work::default(),
            now: Instant::now(),
            members: Vec::new(),
            naive: BTreeMap::new(),
            pushed: 0,
            grants: Vec::new(),
        }
    }

    fn grant(&self, choice: usize) -> Option<(u64, u64)> {
        let choice = choice.checked_rem(self.grants.len())?;
        Some(self.grants[choice])
    }

    fn member(&self, choice: usize) -> Option<MemberId> {
        let choice = choice.checked_rem(self.members.len())?;
        Some(self.members[choice])
    }

    fn is_valid(&self, (token, n): (u64, u64)) -> bool {
        let held = self.naive.get(&n).map(|naive| naive.whereabouts);
        held == Some(Whereabouts::Held(token))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { entry } => self.push(entry),
            Step::Take { member, max } => {
                if let Some(member) = self.member(member) {
                    self.take(member, max);
                }
            }
            Step::Join { lease } => {
                let lease = lease.map(Duration::from_millis);
                self.members.push(self.work.join(lease));
            }
            Step::Leave { member } => {
                if let Some(id) = self.member(member) {
                    self.members.retain(|other| *other != id);
                    self.work.leave(id, self.now);
                }
            }
            Step::Pass { millis } => self.pass(millis),
            Step::Overdue { millis } => self.overdue(millis),
            Step::Clear => {
                self.work.clear();
                self.naive.clear();
                for member in &self.members {
                    assert_eq!(self.work.take_notice(*member), Some(Notice::Cleared));
                    assert_eq!(self.work.take_notice(*member), None);
                }
            }
            Step::Ack { grant }
            | Step::Release { grant }
            | Step::Retry { grant, .. }
            | Step::Forget { grant }
            | Step::Renew { grant }
            | Step::Lose { grant } => {
                if let Some(grant) = self.grant(grant) {
                    self.settle(&step, grant);
                }
            }
        }
        self.work.offer(self.now);
        self.check();
    }

    fn push(&mut self, is_entry: bool) {
        let n = self.pushed;
        self.pushed += 1;
        let event = NewEvent::new("x", "r")
            .with_json(n.to_string())
            .expect("JSON");
        let item = NewItem {
            id: is_entry.then(|| id(n)),
            event: Arc::new(event.stamp()),
            counted: 1,
        };
        self.work.push(item, self.now);
        let naive = Naive {
            is_entry,
            attempt: 1,
            whereabouts: Whereabouts::Waits,
            since: self.now,
            lost: false,
        };
        self.naive.insert(n, naive);
    }

    fn take(&mut self, member: MemberId, max: usize) -> usize {
        let mut taken = Vec::new();
        let count = self.work.take(member, max, self.now, |event, token| {
            taken.push((event, token))
        });
        assert_eq!(count, taken.len());
        for (event, token) in taken {
            let n = number(&event);
            let naive = self.naive.get_mut(&n).expect("an event that is there");
            assert_eq!(naive.whereabouts, Whereabouts::Waits, "event {n}");
            assert_eq!(naive.attempt, event.delivery_attempt, "event {n}");
            (naive.whereabouts, naive.since) = (Whereabouts::Held(token), self.now);
            assert!(self.grants.iter().all(|(other, _)| *other != token));
            self.grants.push((token, n));
        }
        count
    }

    fn settle(&mut self, step: &Step, (token, n): (u64, u64)) {
        let valid = self.is_valid((token, n));
        match step {
            Step::Ack { .. } => {
                let acked = self.work.ack(token);
                let is_entry = self.naive.get(&n).is_some_and(|naive| naive.is_entry);
                assert_eq!(acked, valid.then_some(is_entry.then(|| id(n))));
                if valid {
                    self.naive.remove(&n);
                }
            }
            Step::Release { .. } => {
                assert_eq!(self.work.release(token), valid);
                if valid {
                    self.put(n, Whereabouts::Waits, 0);
                }
            }
            Step::Retry { after, .. } => {
                let refused = self.work.refuse(token);
                assert_eq!(refused.is_some(), valid);
                let Some(refused) = refused else { return };
                assert!(self.work.refuse(token).is_none(), "settled once");
                assert_eq!(self.work.ack(token), None, "settled once");
                let at = self.now + Duration::from_millis(*after);
                let later = (*after > 0).then_some(at);
                self.work.retry(refused.serial, later);
                self.put(n, later.map_or(Whereabouts::Waits, Whereabouts::Later), 1);
            }
            Step::Forget { .. } => {
                let refused = self.work.refuse(token);
                assert_eq!(refused.is_some(), valid);
                if let Some(refused) = refused {
                    self.work.forget(refused.serial);
                    self.naive.remove(&n);
                }
            }
            Step::Renew { .. } => {
                assert_eq!(self.work.renew(token, self.now).is_some(), valid);
                if let Some(naive) = self.naive.get_mut(&n)
                    && valid
                {
                    naive.since = self.now;
                }
            }
            _ => self.lose(n),
        }
    }

    fn put(&mut self, n: u64, whereabouts: Whereabouts, attempts: u32) {
        let naive = self.naive.get_mut(&n).expect("an event that is there");
        naive.whereabouts = whereabouts;
        naive.attempt += attempts;
    }

    fn lose(&mut self, n: u64) {
        self.work.lost(&[id(n)]);
        let Some(naive) = self.naive.get_mut(&n) else {
            return;
        };
        match naive.whereabouts {
            _ if !naive.is_entry => {}
            Whereabouts::Held(_) => naive.lost = true,
            _ => drop(self.naive.remove(&n)),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        for refused in self.work.tick(self.now) {
            // What a lease takes away was held.
            let n = number(&refused.event);
            let naive = &self.naive[&n];
            assert!(matches!(naive.whereabouts, Whereabouts::Held(_)));
            assert_eq!(naive.lost, refused.lost);
            self.work.retry(refused.serial, None);
            self.put(n, Whereabouts::Waits, 1);
        }
        for naive in self.naive.values_mut() {
            if matches!(naive.whereabouts, Whereabouts::Later(at) if at <= self.now) {
                naive.whereabouts = Whereabouts::Waits;
            }
        }
    }

    fn overdue(&mut self, millis: u64) {
        let limit = Duration::from_millis(millis);
        let late = self.naive.iter().filter(|(_, naive)| {
            naive.is_entry
                && matches!(naive.whereabouts, Whereabouts::Held(_))
                && self.now - naive.since >= limit
        });
        let mut wanted: Vec<u64> = late.map(|(n, _)| *n).collect();
        let overdue = self.work.overdue(limit, self.now);
        let mut seen: Vec<u64> = overdue
            .iter()
            .map(|refused| number(&refused.event))
            .collect();
        (seen.sort_unstable(), wanted.sort_unstable());
        assert_eq!(seen, wanted);
        for refused in overdue {
            self.work.retry(refused.serial, None);
            self.put(number(&refused.event), Whereabouts::Waits, 1);
        }
    }

    fn count(&self, which: impl Fn(&Naive) -> bool) -> usize {
        self.naive.values().filter(|naive| which(naive)).count()
    }

    fn check(&self) {
        let work = &self.work;
        let waits = |naive: &Naive| naive.whereabouts == Whereabouts::Waits;
        assert_eq!(work.waiting(), self.count(waits));
        let held = |naive: &Naive| matches!(naive.whereabouts, Whereabouts::Held(_));
        assert_eq!(work.in_hand(), self.count(held));
        assert_eq!(work.entries(), self.count(|naive| naive.is_entry));
        assert_eq!(work.local(), self.count(|naive| !naive.is_entry));
        assert_eq!(work.bytes() == 0, self.naive.is_empty());
        let ids = self.naive.iter().filter(|(_, naive)| naive.is_entry);
        assert_eq!(work.ids(), ids.map(|(n, _)| id(*n)).collect());
    }

    /// Every event that waits reaches a member that asks, after each of those that stand still has had its chance.
    fn finish(mut self) {
        self.step(Step::Pass { millis: 10_000 });
        let member = self.work.join(None);
        self.members.push(member);
        for _ in 0..=self.members.len() {
            while self.take(member, 3) > 0 {}
            self.step(Step::Pass { millis: 1_000 });
        }
        while self.take(member, 3) > 0 {}
        let offered = self.count(|naive| naive.whereabouts == Whereabouts::Waits);
        assert_eq!(offered, 0, "{:?}", self.work);
        let drained = self.work.drain_held();
        let entries = self.count(|naive| naive.is_entry && !naive.lost);
        assert_eq!(drained.len(), entries);
        assert_eq!((self.work.in_hand(), self.work.entries()), (0, 0));
    }
}

proptest! {
    #[test]
    fn every_event_is_in_one_place(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.finish();
    }
}

#[test]
fn members_that_wait_get_work_in_turn() {
    let mut run = Run::new();
    let members: Vec<MemberId> = (0..3).map(|_| run.work.join(None)).collect();
    run.members.clone_from(&members);
    let mut shares = [0; 3];
    for _ in 0..30 {
        // All look again and again, as in a loop over all of them: that changes nobody's turn.
        for _ in 0..2 {
            for member in &members {
                assert_eq!(run.take(*member, 16), 0);
            }
        }
        run.step(Step::Push { entry: true });
        for (share, member) in shares.iter_mut().zip(&members) {
            *share += run.take(*member, 16);
        }
    }
    assert_eq!(shares, [10, 10, 10]);
}

#[test]
fn a_member_takes_no_more_than_its_part() {
    let mut run = Run::new();
    let members: Vec<MemberId> = (0..4).map(|_| run.work.join(None)).collect();
    for _ in 0..40 {
        run.step(Step::Push { entry: true });
    }
    let parts: Vec<usize> = members.iter().map(|member| run.take(*member, 16)).collect();
    assert_eq!(parts, [10, 8, 6, 4]);
}

#[test]
fn an_offer_that_nobody_takes_goes_to_others() {
    let mut run = Run::new();
    let (stands, works) = (run.work.join(None), run.work.join(None));
    assert_eq!((run.take(stands, 1), run.take(works, 1)), (0, 0));
    run.step(Step::Push { entry: true });
    assert_eq!(run.take(works, 1), 0, "it is offered to the other");
    let due = run.work.next_timer().expect("a timer");
    assert_eq!(due, run.now + OFFER);
    run.step(Step::Pass { millis: 1_000 });
    assert_eq!(run.work.take_woken().last(), Some(&works));
    assert_eq!(run.take(works, 1), 1);
    // The one that stands still is the last choice until it asks again.
    run.step(Step::Push { entry: true });
    assert_eq!(run.take(works, 1), 1);
}
