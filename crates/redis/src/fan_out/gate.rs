//! Wakes subscribers once per batch instead of once per event.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// Holds wake-ups back while a batch is handed over. On another thread a subscriber would otherwise be up after the first event
/// of the batch, and asleep again before the next.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shut: usize,
    waiting: Vec<Waker>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds wake-ups back until the guard is dropped.
    pub(super) fn shut(&self) -> Shut<'_> {
        self.lock().shut += 1;
        Shut(self)
    }
}

/// A gate that is shut.
#[must_use = "wake-ups are held back while this lives"]
#[derive(Debug)]
pub(super) struct Shut<'a>(&'a Gate);

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
pub(super) struct GatedWaker {
    gate: Arc<Gate>,
    made: Option<(Arc<Gated>, Waker)>,
}

impl GatedWaker {
    pub(super) fn new(gate: &Arc<Gate>) -> Self {
        Self {
            gate: Arc::clone(gate),
            made: None,
        }
    }

    /// A waker for the task of `cx` that obeys the gate.
    pub(super) fn of(&mut self, cx: &Context<'_>) -> Waker {
        if let Some((gated, waker)) = &self.made
            && gated.waker.will_wake(cx.waker())
        {
            return waker.clone();
        }
        let gated = Arc::new(Gated {
            gate: Arc::clone(&self.gate),
            waker: cx.waker().clone(),
        });
        let waker = Waker::from(Arc::clone(&gated));
        self.made = Some((gated, waker.clone()));
        waker
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn wake_ups_wait_for_the_end_of_the_batch() {
        let gate = Arc::new(Gate::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let gated = GatedWaker::new(&gate).of(&Context::from_waker(&waker));
        gated.wake_by_ref();
        assert_eq!(count.0.load(Relaxed), 1);
        let (one, other) = (gate.shut(), gate.shut());
        gated.wake_by_ref();
        drop(one);
        assert_eq!(count.0.load(Relaxed), 1);
        drop(other);
        assert_eq!(count.0.load(Relaxed), 2);
    }
}
