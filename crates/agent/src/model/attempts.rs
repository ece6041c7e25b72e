//! Which model is asked next, and when.

use std::error::Error as StdError;
use std::time::Duration;

use super::Unavailable;
use crate::{Error, ErrorKind};

/// The wait after the first failure. It doubles with every further one.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait, unless the provider asks for more.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest wait that a provider can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// The attempts to have one request answered: a decision, without any waiting or asking of its own.
///
/// A model that cannot be reached, or breaks off, is asked again as often as it may be: after a wait that doubles from 1 s to at
/// most 10 s when it failed before it began to answer, and at once when it had begun. A provider that names a wait gets it, up to
/// 60 s. One that refuses the request is not asked again. Then comes the next model, at once. A failure that is not the model's
/// ends everything.
///
/// ```
/// use std::time::Duration;
/// use bowline_agent::model::{Attempts, NextAttempt};
/// use bowline_agent::{Error, ErrorKind};
///
/// let mut attempts = Attempts::new([1, 0]);
/// let down = Error::new(ErrorKind::ModelUnavailable, "call model", "the provider is overloaded");
/// let wait = Duration::from_secs(1);
/// assert_eq!(attempts.next(&down, false), NextAttempt::Retry { model: 0, wait });
/// let wait = Duration::ZERO;
/// assert_eq!(attempts.next(&down, true), NextAttempt::Retry { model: 1, wait });
/// assert_eq!(attempts.next(&down, false), NextAttempt::GiveUp);
/// ```
#[derive(Debug, Clone)]
pub struct Attempts {
    max_retries: Vec<u32>,
    model: usize,
    /// Failures of this model.
    failures: u32,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// This model is asked.
    Retry {
        /// The place of the model in the list.
        model: usize,
        /// How long to wait before.
        wait: Duration,
    },
    /// Nobody is; the failure is that of the request.
    GiveUp,
}

impl Attempts {
    /// Attempts with models that may be asked that often after the first time.
    pub fn new(max_retries: impl IntoIterator<Item = u32>) -> Self {
        Self {
            max_retries: max_retries.into_iter().collect(),
            model: 0,
            failures: 0,
        }
    }

    /// The place of the model that is asked now.
    pub fn model(&self) -> usize {
        self.model
    }

    /// How often this model was asked before.
    pub fn attempt(&self) -> u32 {
        self.failures
    }

    /// The attempt failed with `error`; `opened` says whether the model had begun to answer.
    pub fn next(&mut self, error: &Error, opened: bool) -> NextAttempt {
        let again = match error.kind() {
            ErrorKind::ModelUnavailable | ErrorKind::Timeout => true,
            ErrorKind::Model | ErrorKind::TooLarge | ErrorKind::InvalidInput => false,
            _ => return NextAttempt::GiveUp,
        };
        let Some(&retries) = self.max_retries.get(self.model) else {
            return NextAttempt::GiveUp;
        };
        if again && self.failures < retries {
            let wait = self.wait(error, opened);
            self.failures += 1;
            let model = self.model;
            return NextAttempt::Retry { model, wait };
        }
        if self.model + 1 >= self.max_retries.len() {
            return NextAttempt::GiveUp;
        }
        self.model += 1;
        self.failures = 0;
        NextAttempt::Retry {
            model: self.model,
            wait: Duration::ZERO,
        }
    }

    fn wait(&self, error: &Error, opened: bool) -> Duration {
        let doubled = if opened {
            Duration::ZERO
        } else {
            let factor = 2_u32.saturating_pow(self.failures);
            SHORTEST.saturating_mul(factor).min(LONGEST)
        };
        let asked = retry_after(error).unwrap_or_default();
        doubled.max(asked.min(LONGEST_ASKED))
    }
}

/// The wait that the provider asked for.
fn retry_after(error: &Error) -> Option<Duration> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(unavailable) = error.downcast_ref::<Unavailable>() {
            return unavailable.retry_after;
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "call model", "it failed")
    }

    #[test]
    fn the_wait_doubles_and_ends_growing() {
        let mut attempts = Attempts::new([u32::MAX]);
        let down = error(ErrorKind::ModelUnavailable);
        let mut waits = Vec::new();
        for _ in 0..40 {
            match attempts.next(&down, false) {
                NextAttempt::Retry { model: 0, wait } => waits.push(wait.as_millis()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(waits[..5], [1000, 2000, 4000, 8000, 10_000]);
        assert!(waits[5..].iter().all(|wait| *wait == 10_000));
    }

    #[test]
    fn a_provider_that_names_a_wait_gets_it_within_reason() {
        for (asked, opened, wait) in [
            (0, false, 1),
            (7, false, 7),
            (7, true, 7),
            (3600, false, 60),
        ] {
            let limited = Unavailable::new(Some(429)).retry_after(Duration::from_secs(asked));
            let down = error(ErrorKind::ModelUnavailable).with_source(limited);
            let wait = Duration::from_secs(wait);
            let next = Attempts::new([1]).next(&down, opened);
            assert_eq!(next, NextAttempt::Retry { model: 0, wait }, "{asked}");
        }
    }

    #[test]
    fn what_the_next_model_cannot_help_ends_everything() {
        for (kind, next) in [
            (ErrorKind::Model, Some(1)),
            (ErrorKind::Timeout, Some(0)),
            (ErrorKind::Closed, None),
            (ErrorKind::Store, None),
        ] {
            let found = match Attempts::new([5, 5]).next(&error(kind), true) {
                NextAttempt::Retry { model, wait } => {
                    assert!(wait.is_zero());
                    Some(model)
                }
                NextAttempt::GiveUp => None,
            };
            assert_eq!(found, next, "{kind:?}");
        }
        let down = error(ErrorKind::ModelUnavailable);
        assert_eq!(Attempts::new([]).next(&down, false), NextAttempt::GiveUp);
    }

    /// The models that are asked until everybody has failed, written down from the definition.
    fn expected(retries: &[u32], failures: &[(bool, bool)]) -> Vec<(usize, Duration)> {
        let mut failures = failures.iter().cycle();
        let mut asked = Vec::new();
        for (model, retries) in retries.iter().enumerate() {
            if model > 0 {
                asked.push((model, Duration::ZERO));
            }
            for attempt in 0..=*retries {
                let (refused, opened) = *failures.next().unwrap();
                if refused || attempt == *retries {
                    break;
                }
                let millis = if opened {
                    0
                } else {
                    (1000 * 2_u64.pow(attempt)).min(10_000)
                };
                asked.push((model, Duration::from_millis(millis)));
            }
        }
        asked
    }

    proptest! {
        #[test]
        fn every_model_has_its_attempts_and_then_it_is_over(
            retries in prop::collection::vec(0_u32..8, 1..5),
            failures in prop::collection::vec((any::<bool>(), any::<bool>()), 1..20),
        ) {
            let mut attempts = Attempts::new(retries.clone());
            let mut asked = Vec::new();
            for (refused, opened) in failures.iter().cycle() {
                let kind = if *refused { ErrorKind::Model } else { ErrorKind::ModelUnavailable };
                match attempts.next(&error(kind), *opened) {
                    NextAttempt::Retry { model, wait } => {
                        prop_assert_eq!(attempts.model(), model);
                        asked.push((model, wait));
                    }
                    NextAttempt::GiveUp => break,
                }
            }
            prop_assert_eq!(asked, expected(&retries, &failures));
        }
    }
}
