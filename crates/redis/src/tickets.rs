//! Counts work under way, so that somebody can wait for what was begun before.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Work under way.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    rounds: Mutex<Rounds>,
    /// Notified when an ended round is over.
    over: Notify,
}

/// Work by when it was begun. A round ends when somebody wants to wait for it, so that usually there is only one.
#[derive(Debug, Default)]
struct Rounds {
    /// The number of the present round.
    number: u64,
    /// How much of the present round is under way.
    present: usize,
    /// How much of ended rounds is, by their numbers; rounds that are over are not in here.
    ended: BTreeMap<u64, usize>,
}

/// A piece of work under way; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket<T: Deref<Target = Tickets>> {
    tickets: T,
    round: u64,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a piece of work.
    pub(crate) fn draw<T: Deref<Target = Self>>(tickets: T) -> Ticket<T> {
        let mut rounds = tickets.lock();
        rounds.present += 1;
        let round = rounds.number;
        drop(rounds);
        Ticket { tickets, round }
    }

    /// How much is under way.
    pub(crate) fn out(&self) -> usize {
        let rounds = self.lock();
        rounds.present + rounds.ended.values().sum::<usize>()
    }

    /// Waits until everything that was begun before this call is over, whatever is begun meanwhile.
    pub(crate) async fn settled(&self) {
        let next = self.lock().end_present();
        loop {
            let mut over = pin!(self.over.notified());
            over.as_mut().enable();
            let oldest = self.lock().ended.keys().next().copied();
            if oldest.is_none_or(|oldest| oldest >= next) {
                return;
            }
            over.await;
        }
    }
}

impl Rounds {
    /// Ends the present round, unless nothing of it is under way; the number of the next one.
    fn end_present(&mut self) -> u64 {
        if self.present > 0 {
            let present = std::mem::take(&mut self.present);
            self.ended.insert(self.number, present);
            self.number += 1;
        }
        self.number
    }

    /// Something of `round` is over; whether all of an ended round is.
    fn finish(&mut self, round: u64) -> bool {
        if round == self.number {
            self.present -= 1;
            return false;
        }
        let left = self.ended.get_mut(&round).map(|left| {
            *left -= 1;
            *left
        });
        left == Some(0) && self.ended.remove(&round).is_some()
    }
}

impl<T: Deref<Target = Tickets>> Drop for Ticket<T> {
    fn drop(&mut self) {
        let over = self.tickets.lock().finish(self.round);
        if over {
            self.tickets.over.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use proptest::prelude::*;

    use super::*;

    fn is_over(waiting: &mut Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        waiting.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn what_is_begun_later_is_not_waited_for() {
        let tickets = Tickets::default();
        let before = Tickets::draw(&tickets);
        let mut waiting: Pin<Box<dyn Future<Output = ()>>> = Box::pin(tickets.settled());
        assert!(!is_over(&mut waiting));
        let _after = Tickets::draw(&tickets);
        assert!(!is_over(&mut waiting));
        drop(before);
        assert!(is_over(&mut waiting));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin,
        Finish(usize),
        Wait,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Begin),
            4 => any::<usize>().prop_map(Step::Finish),
            1 => Just(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn everyone_waits_for_exactly_what_was_begun_before(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let tickets = Tickets::default();
            let mut out = Vec::new();
            let mut waiting = Vec::new();
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Begin => out.push((at, Tickets::draw(&tickets))),
                    Step::Finish(_) if out.is_empty() => {}
                    Step::Finish(which) => drop(out.swap_remove(which % out.len())),
                    Step::Wait => {
                        let mut settled: Pin<Box<dyn Future<Output = ()>>> =
                            Box::pin(tickets.settled());
                        if !is_over(&mut settled) {
                            waiting.push((at, settled));
                        } else {
                            prop_assert!(out.is_empty());
                        }
                    }
                }
                prop_assert_eq!(tickets.out(), out.len());
                let mut still = Vec::new();
                for (since, mut settled) in waiting {
                    let waits = out.iter().any(|(begun, _)| *begun < since);
                    prop_assert_eq!(is_over(&mut settled), !waits);
                    if waits {
                        still.push((since, settled));
                    }
                }
                waiting = still;
                let rounds = tickets.lock().ended.len();
                prop_assert!(rounds <= out.len(), "{} rounds", rounds);
            }
        }
    }
}
