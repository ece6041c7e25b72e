//! Arithmetic on instants that cannot fail.

use std::time::{Duration, Instant};

/// What counts as "never": longer than any process runs.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);

/// `instant + duration`, or a time far off when the clock cannot express it.
pub(crate) fn after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(NEVER)).unwrap_or(instant)
}
