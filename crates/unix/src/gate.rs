//! Wakes subscribers once per run of events instead of once per event.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// Holds wake-ups back while a run of events is delivered. On another thread the subscriber would otherwise be up after the
/// first event of the run, and asleep again before the next.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Runs under way.
    shut: usize,
    waiting: Vec<Waker>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds wake-ups back until the guard is dropped.
    pub(crate) fn shut(&self) -> Shut<'_> {
        self.lock().shut += 1;
        Shut(self)
    }
}

/// A gate that is shut.
#[must_use = "wake-ups are held back while this lives"]
pub(crate) struct Shut<'a>(&'a Gate);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.shut -= 1;
        if state.shut > 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }
}

struct Gated {
    gate: Arc<Gate>,
    waker: Waker,
}

impl Wake for Gated {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.gate.lock();
        if state.shut > 0 {
            state.waiting.push(self.waker.clone());
            return;
        }
        drop(state);
        self.waker.wake_by_ref();
    }
}

/// The waker of one subscriber, behind the gate.
pub(crate) struct GatedWaker {
    gate: Arc<Gate>,
    made: Option<(Arc<Gated>, Waker)>,
}

impl GatedWaker {
    pub(crate) fn new(gate: &Arc<Gate>) -> Self {
        Self {
            gate: Arc::clone(gate),
            made: None,
        }
    }

    /// A waker for the task of `cx` that obeys the gate.
    pub(crate) fn of(&mut self, cx: &Context<'_>) -> &Waker {
        let gate = &self.gate;
        let same = self
            .made
            .as_ref()
            .is_some_and(|(gated, _)| gated.waker.will_wake(cx.waker()));
        if !same {
            self.made = None;
        }
        let (_, waker) = self.made.get_or_insert_with(|| {
            let gated = Arc::new(Gated {
                gate: Arc::clone(gate),
                waker: cx.waker().clone(),
            });
            let waker = Waker::from(Arc::clone(&gated));
            (gated, waker)
        });
        waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn wake_ups_wait_until_the_last_run_is_over_and_none_is_lost() {
        let gate = Arc::new(Gate::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut gated = GatedWaker::new(&gate);
        let gated = gated.of(&Context::from_waker(&waker)).clone();
        gated.wake_by_ref();
        assert_eq!(count.0.load(Relaxed), 1);
        let (first, second) = (gate.shut(), gate.shut());
        gated.wake_by_ref();
        drop(first);
        assert_eq!(count.0.load(Relaxed), 1);
        drop(second);
        assert_eq!(count.0.load(Relaxed), 2);
        gated.wake();
        assert_eq!(count.0.load(Relaxed), 3);
    }
}
