//! The verdict over a history.

use std::fmt;

use super::{Audience, Message};

/// What a history shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Messages whose publish was resolved, times the audiences that expected them.
    pub expected: u64,
    /// Those of them that never arrived, allowed or not.
    pub lost: u64,
    /// Deliveries to an audience after the first of the same message, of whatever attempt.
    pub doubled: u64,
}

impl Report {
    /// Fails the test that has violations.
    ///
    /// # Panics
    ///
    /// When there is a violation, with this report.
    pub fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }
}

/// One thing that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The publish was resolved, and the audience was never handed the message.
    Lost {
        /// The message.
        message: Message,
        /// Who waited for it.
        audience: Audience,
    },
    /// The group was handed the message, and no member acknowledged it.
    Unsettled {
        /// The message.
        message: Message,
        /// The group.
        audience: Audience,
    },
    /// A reader was handed a message for the first time after a later one of the same publisher.
    OutOfOrder {
        /// The message.
        message: Message,
        /// The number of the later message that came before.
        after: u64,
        /// The reader.
        reader: String,
    },
    /// The first attempt was delivered more than once.
    Duplicate {
        /// The message.
        message: Message,
        /// To whom.
        audience: Audience,
    },
    /// Two members of a group held the message at once, or one held it twice.
    TwoHands {
        /// The message.
        message: Message,
        /// The group.
        audience: Audience,
        /// The holders, the first one first.
        readers: [String; 2],
    },
    /// Something was delivered that was never published, or whose publish was refused.
    Phantom {
        /// The message.
        message: Message,
        /// Who was handed it.
        reader: String,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} violations; of {} expected {} lost, {} doubled",
            self.violations.len(),
            self.expected,
            self.lost,
            self.doubled
        )?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n  {violation}")?;
        }
        match self.violations.len().checked_sub(SHOWN + 1) {
            Some(more) => write!(f, "\n  and {} more", more + 1),
            None => Ok(()),
        }
    }
}

/// How many violations are written out.
const SHOWN: usize = 20;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { message, audience } => write!(f, "{message} never came to {audience}"),
            Self::Unsettled { message, audience } => {
                write!(f, "{message} was never acknowledged by {audience}")
            }
            Self::OutOfOrder {
                message,
                after,
                reader,
            } => write!(f, "{message} came to {reader} after {after}"),
            Self::Duplicate { message, audience } => {
                write!(f, "{message} came to {audience} twice as a first attempt")
            }
            Self::TwoHands {
                message,
                audience,
                readers: [first, second],
            } => write!(
                f,
                "{message} of {audience} was held by {first} and by {second}"
            ),
            Self::Phantom { message, reader } => {
                write!(f, "{message} came to {reader} and was not published")
            }
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} on {}", self.n, self.publisher, self.topic)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reader(name) => write!(f, "reader {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}
