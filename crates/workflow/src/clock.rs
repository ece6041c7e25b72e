//! Where engines and schedulers take the time of day from.

use std::fmt;

use bowline_events::Timestamp;

/// Tells the time of day. Engines and schedulers read no other clock, so that a test can simulate a year, or a clock that is
/// set back.
///
/// ```
/// use bowline_workflow::{Clock, SystemClock};
///
/// let clock: &dyn Clock = &SystemClock;
/// assert!(clock.now().as_millis() > 1_700_000_000_000);
/// ```
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
