//! The commands of one connection that wait for their replies: a state machine without I/O and without a clock of its own.

use std::task::Waker;

/// Ticks that a command may be silent before it is found out whether its connection still stands.
///
/// A command may begin anywhere in a tick, so at least one tick less has passed for it.
const TICKS_OF_SILENCE: u64 = 3;

/// The commands that wait for their replies.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    places: Vec<Option<Waiting>>,
    free: Vec<usize>,
    /// Commands that ever waited; the last one has this number.
    begun: u64,
    ticks: u64,
    /// Whether a command began since the last tick.
    busy: bool,
    /// Whether somebody lets the ticks pass.
    watched: bool,
    ended: bool,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    since: u64,
    waker: Waker,
    verdict: Option<Verdict>,
}

/// Why a command is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its connection ended, or what came behind it was answered.
    Forgotten,
    /// Its time is up.
    TimedOut,
}

/// What is to be done after a tick.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing waits: no more ticks are needed until a command begins.
    Rest,
    /// All is well so far.
    Wait,
    /// Something has been silent for long. Commands up to this number were handed over.
    Probe(u64),
}

impl InFlight {
    /// Adds a command that was handed over; its place, and whether somebody is needed who lets the ticks pass.
    pub(super) fn begin(&mut self, waker: &Waker) -> (usize, bool) {
        self.begun += 1;
        self.busy = true;
        let waiting = Waiting {
            number: self.begun,
            since: self.ticks,
            waker: waker.clone(),
            verdict: self.ended.then_some(Verdict::Forgotten),
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(waiting);
                place
            }
            None => {
                self.places.push(Some(waiting));
                self.places.len() - 1
            }
        };
        (place, !std::mem::replace(&mut self.watched, true))
    }

    /// The verdict on the command at `place`, whose task is woken as soon as there is one.
    pub(super) fn verdict(&mut self, place: usize, waker: &Waker) -> Option<Verdict> {
        let waiting = self.places.get_mut(place)?.as_mut()?;
        waiting.waker.clone_from(waker);
        waiting.verdict
    }

    /// The command at `place` waits no more.
    pub(super) fn finish(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    /// Commands that wait.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Lets a tick pass. Commands that have waited for `limit` ticks are given up; who waits for them is put into `woken`.
    pub(super) fn tick(&mut self, limit: u64, woken: &mut Vec<Waker>) -> Next {
        self.ticks += 1;
        let busy = std::mem::take(&mut self.busy);
        if self.len() == 0 {
            return match busy {
                true => Next::Wait,
                false => {
                    // A burst does not keep its memory.
                    (self.places, self.free) = (Vec::new(), Vec::new());
                    self.watched = false;
                    Next::Rest
                }
            };
        }
        let ticks = self.ticks;
        self.judge(Verdict::TimedOut, woken, |waiting| {
            ticks - waiting.since > limit
        });
        let mut waiting = self.places.iter().flatten();
        let is_silent = |waiting: &Waiting| {
            waiting.verdict.is_none() && ticks - waiting.since >= TICKS_OF_SILENCE
        };
        match waiting.any(is_silent) {
            true => Next::Probe(self.begun),
            false => Next::Wait,
        }
    }

    /// What came behind the commands up to `number` is over.
    pub(super) fn passed(&mut self, number: u64, woken: &mut Vec<Waker>) {
        self.judge(Verdict::Forgotten, woken, |waiting| {
            waiting.number <= number
        });
    }

    /// The connection ended, or nobody lets the ticks pass any more.
    pub(super) fn end(&mut self, woken: &mut Vec<Waker>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.judge(Verdict::Forgotten, woken, |_| true);
        }
    }

    fn judge(
        &mut self,
        verdict: Verdict,
        woken: &mut Vec<Waker>,
        concerns: impl Fn(&Waiting) -> bool,
    ) {
        for waiting in self.places.iter_mut().flatten() {
            if waiting.verdict.is_none() && concerns(waiting) {
                waiting.verdict = Some(verdict);
                woken.push(waiting.waker.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const LIMIT: u64 = 20;

    fn begin(commands: &mut InFlight) -> usize {
        commands.begin(Waker::noop()).0
    }

    fn verdict(commands: &mut InFlight, place: usize) -> Option<Verdict> {
        commands.verdict(place, Waker::noop())
    }

    fn tick(commands: &mut InFlight) -> (Next, usize) {
        let mut woken = Vec::new();
        let next = commands.tick(LIMIT, &mut woken);
        (next, woken.len())
    }

    #[test]
    fn ticks_are_needed_while_something_waits_and_no_longer() {
        let mut commands = InFlight::default();
        let (place, needed) = commands.begin(Waker::noop());
        assert!(needed);
        let (other, needed) = commands.begin(Waker::noop());
        assert!(!needed, "there is somebody already");
        commands.finish(place);
        assert_eq!(tick(&mut commands), (Next::Wait, 0));
        assert_eq!(tick(&mut commands), (Next::Wait, 0));
        commands.finish(other);
        assert_eq!(tick(&mut commands), (Next::Rest, 0));
        assert!(commands.begin(Waker::noop()).1);
    }

    #[test]
    fn between_two_ticks_nothing_is_noticed() {
        let mut commands = InFlight::default();
        for _ in 0..100 {
            let place = begin(&mut commands);
            commands.finish(place);
            assert_eq!(tick(&mut commands), (Next::Wait, 0));
        }
        assert_eq!(tick(&mut commands), (Next::Rest, 0));
    }

    #[test]
    fn only_what_was_handed_over_before_the_probe_is_judged_by_it() {
        let mut commands = InFlight::default();
        let (old, answered) = (begin(&mut commands), begin(&mut commands));
        assert_eq!(tick(&mut commands), (Next::Wait, 0));
        assert_eq!(tick(&mut commands), (Next::Wait, 0));
        assert_eq!(tick(&mut commands), (Next::Probe(2), 0));
        commands.finish(answered);
        let new = begin(&mut commands);
        let mut woken = Vec::new();
        commands.passed(2, &mut woken);
        assert_eq!(woken.len(), 1);
        assert_eq!(verdict(&mut commands, old), Some(Verdict::Forgotten));
        assert_eq!(verdict(&mut commands, new), None);
    }

    #[test]
    fn a_silent_connection_ends_each_command_at_its_own_limit() {
        let mut commands = InFlight::default();
        let first = begin(&mut commands);
        assert_eq!(tick(&mut commands), (Next::Wait, 0));
        let second = begin(&mut commands);
        for _ in 1..LIMIT {
            assert_eq!(tick(&mut commands).1, 0);
        }
        assert_eq!(tick(&mut commands), (Next::Probe(2), 1));
        assert_eq!(verdict(&mut commands, first), Some(Verdict::TimedOut));
        assert_eq!(verdict(&mut commands, second), None);
        assert_eq!(tick(&mut commands), (Next::Wait, 1));
        assert_eq!(verdict(&mut commands, second), Some(Verdict::TimedOut));
    }

    #[test]
    fn on_a_connection_that_ended_nothing_is_waited_for() {
        let mut commands = InFlight::default();
        let before = begin(&mut commands);
        let mut woken = Vec::new();
        commands.end(&mut woken);
        let after = begin(&mut commands);
        assert_eq!(woken.len(), 1);
        for place in [before, after] {
            assert_eq!(verdict(&mut commands, place), Some(Verdict::Forgotten));
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin,
        Finish(usize),
        Tick,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Begin),
            3 => any::<usize>().prop_map(Step::Finish),
            2 => Just(Step::Tick),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a list of commands with their ages.
        #[test]
        fn every_command_is_judged_at_its_age_and_leaves_nothing(steps in steps()) {
            let mut commands = InFlight::default();
            let mut model: Vec<(usize, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Begin => model.push((begin(&mut commands), 0)),
                    Step::Finish(_) if model.is_empty() => {}
                    Step::Finish(which) => {
                        let (place, _) = model.swap_remove(which % model.len());
                        commands.finish(place);
                    }
                    Step::Tick => {
                        model.iter_mut().for_each(|(_, age)| *age += 1);
                        let silent = |age: u64| (TICKS_OF_SILENCE..=LIMIT).contains(&age);
                        let probes = model.iter().any(|(_, age)| silent(*age));
                        let late = model.iter().filter(|(_, age)| *age == LIMIT + 1).count();
                        let (next, woken) = tick(&mut commands);
                        prop_assert_eq!(matches!(next, Next::Probe(_)), probes);
                        prop_assert_eq!(woken, late);
                    }
                }
                prop_assert_eq!(commands.len(), model.len());
                for (place, age) in &model {
                    let expected = (*age > LIMIT).then_some(Verdict::TimedOut);
                    prop_assert_eq!(verdict(&mut commands, *place), expected);
                }
            }
            for (place, _) in model {
                commands.finish(place);
            }
            tick(&mut commands);
            prop_assert_eq!(tick(&mut commands).0, Next::Rest);
            prop_assert_eq!(commands.places.capacity() + commands.free.capacity(), 0);
        }
    }
}
