//! How often a failed step is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a failed step is tried again, and after which pauses.
///
/// ```
/// use std::time::Duration;
/// use bowline_workflow::RetryPolicy;
///
/// let policy = RetryPolicy::times(3).delay(Duration::from_secs(1)).backoff(2);
/// assert_eq!(policy.pause(1), Some(Duration::from_secs(1)));
/// assert_eq!(policy.pause(3), Some(Duration::from_secs(4)));
/// assert_eq!(policy.pause(4), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetryPolicy {
    attempts: u32,
    delay: Duration,
    factor: u32,
    longest: Option<Duration>,
}

impl RetryPolicy {
    /// Not again.
    pub const NEVER: Self = Self::times(0);

    /// Up to `attempts` times again, at once.
    pub const fn times(attempts: u32) -> Self {
        Self {
            attempts,
            delay: Duration::ZERO,
            factor: 1,
            longest: None,
        }
    }

    /// Pauses for this long before each further attempt. The pause survives a restart.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Makes each pause `factor` times as long as the one before.
    #[must_use]
    pub const fn backoff(mut self, factor: u32) -> Self {
        self.factor = factor;
        self
    }

    /// No pause is longer than this.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// How often a failed step is tried again.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The pause before the attempt after `failed` failures; `None` when there is none.
    pub fn pause(&self, failed: u32) -> Option<Duration> {
        if failed == 0 || failed > self.attempts {
            return None;
        }
        let factor = self.factor.max(1).saturating_pow(failed - 1);
        let pause = self.delay.saturating_mul(factor);
        Some(self.longest.map_or(pause, |longest| pause.min(longest)))
    }
}
