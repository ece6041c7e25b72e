//! What happens to occurrences that cannot simply fire.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The largest [`CatchUp::All::at_most`].
pub const MAX_CATCH_UP: u32 = 100;

/// What happens to an occurrence while the run before it is still active.
///
/// The run before it is the last one that the schedule itself started; runs that somebody started by hand do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Overlap {
    /// It fires all the same. What the reference does.
    #[default]
    Allow,
    /// It is recorded as skipped.
    Skip,
    /// It waits and fires as soon as that run has ended. One waits at most, further ones are recorded as skipped.
    Queue,
}

/// What happens to occurrences that passed while no scheduler ran.
///
/// Those that do not fire are recorded as skipped, together in one entry of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "policy")]
pub enum CatchUp {
    /// The latest of them fires, for all of them.
    #[default]
    Latest,
    /// The latest of them fires if it is not older than `tolerance`, otherwise none.
    None {
        /// Up to what age an occurrence still counts as being on time.
        #[serde(rename = "toleranceMs", with = "in_millis")]
        tolerance: Duration,
    },
    /// The latest `at_most` of them fire, one after the other.
    #[serde(rename_all = "camelCase")]
    All {
        /// How many, from 1 to [`MAX_CATCH_UP`].
        at_most: u32,
    },
}

impl CatchUp {
    /// Whether its numbers are within their limits.
    ///
    /// # Errors
    /// `InvalidInput` when they are not.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::All { at_most } if !(1..=MAX_CATCH_UP).contains(at_most) => {
                let message = format!(
                    "to catch up with {at_most} occurrences; the number is from 1 to {MAX_CATCH_UP}"
                );
                Err(Error::new(ErrorKind::InvalidInput, "schedule", message))
            }
            _ => Ok(()),
        }
    }
}

mod in_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
