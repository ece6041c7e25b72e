//! Where the scheduler takes the time from.

use std::fmt;

use bowline_events::Timestamp;

/// Tells the time of day. The scheduler reads no other clock, so a test can simulate a year, or a clock that is set back.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant. It may go backwards, as clocks that are set do.
    fn now(&self) -> Timestamp;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
