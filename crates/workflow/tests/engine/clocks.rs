//! Clocks that are set while somebody looks at them.

use std::sync::atomic::{AtomicI64, Ordering};

use bowline_events::Timestamp;
use bowline_workflow::Clock;
use tokio::time::Instant;

/// An instant, by the clock of Tokio and by the one on the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    begun: Instant,
    at: i64,
}

impl Origin {
    /// Now.
    pub(crate) fn now() -> Self {
        Self {
            begun: Instant::now(),
            at: Timestamp::now().as_millis(),
        }
    }
}

/// A clock that goes too fast or too slow, and is set.
#[derive(Debug)]
pub(crate) struct JumpyClock {
    origin: Origin,
    /// Milliseconds that it is ahead, apart from its drift.
    ahead: AtomicI64,
    /// Milliseconds that it gains in a thousand seconds.
    drift: AtomicI64,
}

impl JumpyClock {
    /// A clock that shows what it is.
    pub(crate) fn right() -> Self {
        Self::since(Origin::now())
    }

    /// A clock that has been right since `origin`.
    pub(crate) fn since(origin: Origin) -> Self {
        Self {
            origin,
            ahead: AtomicI64::new(0),
            drift: AtomicI64::new(0),
        }
    }

    /// Sets it to be this many milliseconds ahead.
    pub(crate) fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::SeqCst);
    }

    /// Lets it gain this many milliseconds in a thousand seconds.
    pub(crate) fn drifts(&self, millis: i64) {
        self.drift.store(millis, Ordering::SeqCst);
    }
}

impl Clock for JumpyClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.origin.begun.elapsed().as_millis()).unwrap();
        let gained = passed * self.drift.load(Ordering::SeqCst) / 1_000_000;
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_millis(self.origin.at + passed + gained + ahead)
    }
}
