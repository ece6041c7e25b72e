//! Why a model does not answer.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What is known of a model that does not answer: the source of an error of kind `ModelUnavailable`, or `Model`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Unavailable {
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Unavailable {
    /// A response with `status`, or none.
    pub fn new(status: Option<u16>) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// The provider wants to be left alone for `wait`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Keeps the cause, which must not contain secrets.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the provider answered with status {status}")?,
            None => f.write_str("the provider did not answer")?,
        }
        match self.retry_after {
            Some(wait) => write!(f, " and wants to be left alone for {wait:?}"),
            None => Ok(()),
        }
    }
}

impl StdError for Unavailable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}
