//! The decisions, against a naive list of occurrences: every occurrence fires once or is skipped as the policies say.

use std::collections::HashSet;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_workflow::schedule::core::{Decision, MANY, SkipReason, asks_for_run, decide};
use bowline_workflow::schedule::*;
use proptest::prelude::*;

use crate::support::{DAY, HOUR, MINUTE, NEW_YEAR, at, occurrences};

/// What happens to a schedule.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, and a scheduler looks.
    Pass(i64),
    /// The clock is set back, and a scheduler looks.
    SetBack(i64),
    /// The last run ends, and a scheduler looks.
    End,
    Pause,
    Resume,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..4 * HOUR).prop_map(Event::Pass),
        3 => (1..20 * DAY).prop_map(Event::Pass),
        1 => (1..3 * DAY).prop_map(Event::SetBack),
        3 => Just(Event::End),
        1 => Just(Event::Pause),
        1 => Just(Event::Resume),
    ]
}

fn cadence() -> impl Strategy<Value = Cadence> {
    let crons = prop::sample::select(vec![
        "*/30 * * * *",
        "*/20 1-3 * * *",
        "30 2 * * *",
        "30 1 * * *",
        "0 9 * * MON-FRI",
        "0 0 L * *",
        "0 0 0 1 * * 2026",
        "2026-05-01T12:00:00",
    ]);
    let zones = prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe"]);
    prop_oneof![
        5 => (crons, zones).prop_map(|(cron, zone)| Cadence::cron(cron, Some(zone)).unwrap()),
        1 => (20 * MINUTE..9 * DAY).prop_map(|every| {
            Cadence::every(Duration::from_millis(every as u64), at(NEW_YEAR + 12_345)).unwrap()
        }),
    ]
}

fn catch_up() -> impl Strategy<Value = CatchUp> {
    prop_oneof![
        Just(CatchUp::Latest),
        (0..2 * HOUR).prop_map(|millis| CatchUp::None {
            tolerance: Duration::from_millis(millis as u64)
        }),
        (1_u32..=MAX_CATCH_UP).prop_map(|at_most| CatchUp::All { at_most }),
        Just(CatchUp::All { at_most: 2 }),
    ]
}

/// One schedule in its year.
struct Life {
    schedule: Schedule,
    now: i64,
    latest: i64,
    active: bool,
    /// Occurrences that are accounted for, by firing or by being skipped.
    handled: HashSet<i64>,
    fired: HashSet<i64>,
}

impl Life {
    fn apply(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Pass(millis) => self.now += millis,
            Event::SetBack(millis) => self.now -= millis,
            Event::End => self.active = false,
            Event::Pause => {
                self.schedule.status = Status::Paused;
                self.schedule.next_fire_at = None;
                self.handled
                    .extend(self.schedule.queued_at.take().map(Timestamp::as_millis));
            }
            Event::Resume if self.schedule.status == Status::Paused => {
                self.now = self.now.max(self.latest);
                self.schedule.status = Status::Active;
                self.schedule.next_fire_at = self.schedule.cadence.next_after(at(self.now));
            }
            Event::Resume => {}
        }
        self.latest = self.latest.max(self.now);
        self.settle()
    }

    /// Lets the scheduler decide until there is nothing to do.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        loop {
            let asks = asks_for_run(&self.schedule, at(self.now));
            let known = decide(&self.schedule, at(self.now), asks && self.active);
            // What does not matter does not change the decision, either.
            prop_assert!(asks || known == decide(&self.schedule, at(self.now), false));
            let due = self.due();
            let Some(decision) = known else {
                prop_assert!(due.is_empty(), "occurrences are left: {due:?}");
                prop_assert!(
                    self.schedule.queued_at.is_none()
                        || self.active
                        || self.schedule.status == Status::Paused
                );
                return Ok(());
            };
            self.check(&decision, &due, asks && self.active)?;
            self.schedule.next_fire_at = decision.next;
            self.schedule.queued_at = decision.queued;
            if let Some(fire) = decision.fire {
                prop_assert!(
                    self.fired.insert(fire.at.as_millis()),
                    "{:?} fires twice",
                    fire.at
                );
                self.schedule.last_run_id = Some(run_id(&self.schedule.id, fire.at));
                self.active = true;
            }
        }
    }

    /// The occurrences that are due, naively.
    fn due(&self) -> Vec<i64> {
        match self.schedule.next_fire_at {
            Some(next) => occurrences(&self.schedule.cadence, next.as_millis() - 1, self.now),
            None => Vec::new(),
        }
    }

    fn check(
        &mut self,
        decision: &Decision,
        due: &[i64],
        active: bool,
    ) -> Result<(), TestCaseError> {
        let Schedule {
            overlap, catch_up, ..
        } = self.schedule;
        let before = self.schedule.queued_at;
        if let Some(waiting) = before
            && !active
        {
            let fire = decision.fire.map(|fire| (fire.at, fire.kind));
            prop_assert_eq!(fire, Some((waiting, TriggerKind::QueueDrain)));
            prop_assert_eq!(decision.next, self.schedule.next_fire_at);
            prop_assert_eq!((decision.queued, decision.skipped.len()), (None, 0));
            return Ok(());
        }
        let places = due
            .iter()
            .take_while(|due| decision.next.is_none_or(|next| at(**due) < next));
        let consumed: Vec<i64> = places.copied().collect();
        let last = *consumed.last().expect("a decision takes something");
        prop_assert_eq!(decision.next, self.schedule.cadence.next_after(at(last)));
        self.account(decision, &consumed)?;
        let left = due.len() - consumed.len();
        match catch_up {
            CatchUp::Latest | CatchUp::None { .. } => prop_assert_eq!(left, 0),
            CatchUp::All { at_most } => prop_assert_eq!(left, due.len().min(at_most as usize) - 1),
        }
        let too_late = matches!(catch_up, CatchUp::None { tolerance } if (self.now - last) as u128 > tolerance.as_millis());
        let fires = decision
            .fire
            .is_some_and(|fire| fire.at == at(last) && fire.kind == TriggerKind::ScheduleFire);
        let holds = active && overlap != Overlap::Allow;
        prop_assert_eq!(fires, !too_late && !holds);
        let queues = active && overlap == Overlap::Queue && !too_late && before.is_none();
        prop_assert_eq!(
            decision.queued,
            if queues { Some(at(last)) } else { before }
        );
        let reason = decision
            .skipped
            .iter()
            .find(|skipped| skipped.last == at(last))
            .map(|skipped| skipped.reason);
        let wanted = match (too_late, holds && !queues, overlap) {
            (true, ..) => Some(SkipReason::Missed),
            (false, true, Overlap::Skip) => Some(SkipReason::Overlap),
            (false, true, _) => Some(SkipReason::QueueFull),
            (false, false, _) => None,
        };
        prop_assert_eq!(reason, wanted);
        Ok(())
    }

    /// Each of `consumed` fires, waits or is skipped, and nothing else does.
    fn account(&mut self, decision: &Decision, consumed: &[i64]) -> Result<(), TestCaseError> {
        let queued = decision
            .queued
            .filter(|_| decision.queued != self.schedule.queued_at);
        let single = decision.fire.map(|fire| fire.at).or(queued);
        let mut places = consumed.iter().copied().peekable();
        for skipped in &decision.skipped {
            let (first, last) = (skipped.first.as_millis(), skipped.last.as_millis());
            prop_assert_eq!(
                places.peek(),
                Some(&first),
                "skipped ranges follow each other"
            );
            let mut count = 0;
            while let Some(place) = places.next_if(|place| *place <= last) {
                prop_assert!(self.handled.insert(place), "{place} was handled before");
                count += 1;
            }
            prop_assert_eq!(skipped.count, count.min(MANY));
        }
        if let Some(single) = single {
            prop_assert_eq!(places.next(), Some(single.as_millis()));
            prop_assert!(
                self.handled.insert(single.as_millis()),
                "{:?} was handled before",
                single
            );
        }
        prop_assert_eq!(places.next(), None, "an occurrence got lost");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_occurrence_fires_once_or_is_skipped_for_a_reason(
        cadence in cadence(),
        catch_up in catch_up(),
        overlap in prop::sample::select(vec![Overlap::Allow, Overlap::Skip, Overlap::Queue]),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let new = NewSchedule::new(Target::workflow("w"), cadence).id("s").catch_up(catch_up).overlap(overlap);
        let mut life = Life {
            schedule: new.build(at(NEW_YEAR)).unwrap(),
            now: NEW_YEAR,
            latest: NEW_YEAR,
            active: false,
            handled: HashSet::new(),
            fired: HashSet::new(),
        };
        for event in &events {
            life.apply(event)?;
        }
    }
}

#[test]
fn a_paused_schedule_decides_nothing() {
    let cadence = Cadence::cron("@hourly", None).unwrap();
    let new = NewSchedule::new(Target::workflow("w"), cadence);
    let mut schedule = new.paused().build(at(NEW_YEAR)).unwrap();
    assert_eq!(
        (schedule.status, schedule.next_fire_at),
        (Status::Paused, None)
    );
    schedule.next_fire_at = Some(at(NEW_YEAR));
    schedule.queued_at = Some(at(NEW_YEAR));
    assert_eq!(decide(&schedule, at(NEW_YEAR + DAY), false), None);
}

#[test]
fn a_schedule_keeps_its_json_form() {
    let target: Target =
        serde_json::from_str(r#"{"type":"agent","agentId":"a","prompt":"p","x":[1.50]}"#).unwrap();
    for (cadence, catch_up) in [
        (
            Cadence::cron("0 9 * * *", Some("Asia/Tokyo")).unwrap(),
            CatchUp::All { at_most: 7 },
        ),
        (Cadence::cron("@daily", None).unwrap(), CatchUp::Latest),
        (
            Cadence::every(Duration::from_secs(90), at(5)).unwrap(),
            CatchUp::None {
                tolerance: Duration::from_millis(1500),
            },
        ),
    ] {
        let new = NewSchedule::new(target.clone(), cadence)
            .id("s")
            .owner("me")
            .catch_up(catch_up);
        let mut schedule = new
            .metadata(Json::parse("{\"a\": 1.0}").unwrap())
            .build(at(NEW_YEAR))
            .unwrap();
        schedule.queued_at = Some(at(1));
        schedule.last_fire_at = Some(at(2));
        schedule.last_run_id = Some("sched_s_1".into());
        schedule.overlap = Overlap::Queue;
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(
            serde_json::from_str::<Schedule>(&text).unwrap(),
            schedule,
            "{text}"
        );
        assert!(
            text.contains(r#""target":{"type":"agent","agentId":"a","prompt":"p","x":[1.50]}"#),
            "{text}"
        );
        assert!(text.contains(r#""nextFireAt":1767"#), "{text}");
    }
}
