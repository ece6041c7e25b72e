//! What a subscriber is told beside the events of the local log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bowline_events::Event;
use tokio::time::Instant;

use super::ledger::Mark;
use super::track::Marks;
use crate::wire::Failure;

/// Events of this process only that wait for a subscriber that still reads the history.
const MOST_WAITING: usize = 4096;

/// Why a subscription ends.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The bus was closed.
    Closed,
    /// The server refuses the stream.
    Failed(Failure),
}

/// What one subscriber is told.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Whether there is anything, so that looking costs no lock.
    mail: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    marks: Marks,
    waiting: VecDeque<Arc<Event>>,
    overflowed: bool,
    again: Vec<Again>,
    end: Option<End>,
    waker: Option<Waker>,
}

/// An event that its subscriber refused and gets again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) at: Instant,
    pub(super) position: Option<u64>,
    pub(super) event: Arc<Event>,
}

/// What was in an inbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Events of this process only, for a subscriber that is not attached to the local log.
    pub(super) waiting: VecDeque<Arc<Event>>,
    /// There were more of them than may wait.
    pub(super) overflowed: bool,
    pub(super) again: Vec<Again>,
    pub(super) end: Option<End>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        put(&mut state);
        // Seen by whoever reads an event that is appended to the local log after this.
        self.mail.store(true, Ordering::Release);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn mark(&self, mark: Mark) {
        self.put(|state| state.marks.push(mark));
    }

    pub(super) fn end(&self, end: End) {
        self.put(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Keeps an event for a subscriber that is not attached to the local log.
    pub(super) fn event(&self, event: &Arc<Event>) {
        self.put(|state| {
            if state.waiting.len() >= MOST_WAITING {
                state.overflowed = true;
            } else {
                state.waiting.push_back(Arc::clone(event));
            }
        });
    }

    /// Brings an event to its subscriber again.
    pub(super) fn again(&self, again: Again) {
        self.put(|state| state.again.push(again));
    }

    /// Takes everything out, the marks behind those in `marks`.
    pub(super) fn take(&self, marks: &mut Marks) -> Option<Mail> {
        if !self.mail.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        self.mail.store(false, Ordering::Release);
        state.marks.move_to(marks);
        Some(Mail {
            waiting: std::mem::take(&mut state.waiting),
            overflowed: std::mem::take(&mut state.overflowed),
            again: std::mem::take(&mut state.again),
            end: state.end.clone(),
        })
    }

    /// Asks for a wake-up by the next mail; false when there is some already.
    pub(super) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if self.mail.load(Ordering::Acquire) {
            return false;
        }
        match &mut state.waker {
            Some(parked) => parked.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }
}
