//! When a schedule fires.

use std::time::Duration;

use bowline_events::Timestamp;

use super::Cron;
use crate::{Error, ErrorKind, Result};

/// The shortest interval of [`Cadence::every`]: the resolution of cron, too.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval of [`Cadence::every`]: ten years of 365 days.
pub const MAX_INTERVAL: Duration = Duration::from_secs(10 * 365 * 86_400);

/// When a schedule fires: by the wall clock, or in equal intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// As a cron expression says.
    Cron(Cron),
    /// At `anchor` + n × `every`, for n from 1 on.
    Every {
        /// The interval, in whole milliseconds.
        every: Duration,
        /// What the intervals are counted from.
        anchor: Timestamp,
    },
}

impl Cadence {
    /// By the cron expression `expression` in the IANA zone `timezone`, or in UTC.
    ///
    /// # Errors
    /// As [`Cron::parse`].
    pub fn cron(expression: &str, timezone: Option<&str>) -> Result<Self> {
        Cron::parse(expression, timezone).map(Self::Cron)
    }

    /// In equal intervals, the first of which begins at `anchor`.
    ///
    /// # Errors
    /// `InvalidInput` when `every` is shorter than [`MIN_INTERVAL`] or longer than [`MAX_INTERVAL`].
    pub fn every(every: Duration, anchor: Timestamp) -> Result<Self> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&every) {
            let message = format!(
                "an interval of {every:?}; it lasts from {MIN_INTERVAL:?} to {MAX_INTERVAL:?}"
            );
            return Err(Error::new(ErrorKind::InvalidInput, "schedule", message));
        }
        Ok(Self::Every { every, anchor })
    }

    /// The first occurrence later than `after`; `None` if there is none. Always strictly later.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Every { every, anchor } => {
                let every = i64::try_from(every.as_millis())
                    .ok()
                    .filter(|every| *every > 0)?;
                let passed = after.as_millis().checked_sub(anchor.as_millis())?;
                let n = passed.div_euclid(every).max(0).checked_add(1)?;
                let next = anchor.as_millis().checked_add(n.checked_mul(every)?)?;
                Some(Timestamp::from_millis(next))
            }
        }
    }

    /// Whether both fire at the same instants by their words. Where intervals are counted from does not matter.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every { every, .. }, Self::Every { every: other, .. }) => every == other,
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn intervals_are_counted_from_their_anchor() {
        let cadence = Cadence::every(Duration::from_millis(1500), at(100)).unwrap();
        for (after, next) in [
            (0, 1600),
            (100, 1600),
            (1599, 1600),
            (1600, 3100),
            (-9999, 1600),
        ] {
            assert_eq!(
                cadence.next_after(at(after)),
                Some(at(next)),
                "after {after}"
            );
        }
        assert_eq!(cadence.next_after(at(i64::MAX)), None);
        assert_eq!(cadence.next_after(at(i64::MIN)), None);
    }

    #[test]
    fn an_interval_has_limits() {
        let interval = |every| Cadence::every(every, at(0));
        assert!(interval(MIN_INTERVAL).is_ok() && interval(MAX_INTERVAL).is_ok());
        for wrong in [
            MIN_INTERVAL - Duration::from_millis(1),
            MAX_INTERVAL + Duration::from_millis(1),
        ] {
            let error = interval(wrong).unwrap_err().to_string();
            assert!(error.contains("from 1s to"), "{error}");
        }
    }
}
