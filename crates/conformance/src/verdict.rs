//! What became of a clause.

use std::fmt;

use bowline_events::Error;

/// The result of running one clause: fulfilled, or the reason why not.
pub type ClauseResult = Result<(), Unmet>;

/// Why a clause was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmet {
    /// The backend does not declare what the clause is about, so there was nothing to check. The text names what is missing.
    NotApplicable(String),
    /// The backend breaks the contract. The text says what was demanded and what was seen.
    Violated(String),
}

impl Unmet {
    /// A breach of the contract, described by `message`.
    pub fn violated(message: impl Into<String>) -> Self {
        Self::Violated(message.into())
    }

    /// The same reason, preceded by where or how it came about.
    #[must_use]
    pub fn within(self, context: impl fmt::Display) -> Self {
        match self {
            Self::Violated(message) => Self::Violated(format!("{context}: {message}")),
            other => other,
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotApplicable(missing) => write!(f, "not applicable: {missing}"),
            Self::Violated(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Unmet {}

impl From<Error> for Unmet {
    /// An operation that must succeed has failed.
    fn from(error: Error) -> Self {
        Self::Violated(format!("unexpected error: {error}"))
    }
}

/// Ends the clause as violated unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Unmet::violated(format!($($message)+)));
        }
    };
}

/// Ends the clause as violated unless both sides are equal; shows both.
macro_rules! ensure_eq {
    ($seen:expr, $wanted:expr, $($message:tt)+) => {
        match (&$seen, &$wanted) {
            (seen, wanted) => {
                if *seen != *wanted {
                    return Err($crate::Unmet::violated(format!(
                        "{}: wanted {wanted:?}, saw {seen:?}",
                        format_args!($($message)+),
                    )));
                }
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq};
