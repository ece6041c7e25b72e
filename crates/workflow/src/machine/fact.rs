//! What can happen to a run. The journal of a run is the list of what did.

use bowline_events::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::Spot;
use crate::Data;

/// Something that happened to a run. Everything that is not determined by the definition and the facts before is in it, so
/// that replaying the facts gives the same run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Fact {
    /// The run began.
    Started {
        at: At,
        input: Data,
        #[serde(
            default,
            deserialize_with = "given",
            skip_serializing_if = "Option::is_none"
        )]
        state: Option<Data>,
        #[serde(
            default,
            deserialize_with = "given",
            skip_serializing_if = "Option::is_none"
        )]
        context: Option<Data>,
        #[serde(default, skip_serializing_if = "is_false")]
        per_step: bool,
    },
    /// An attempt of a step ended.
    Ended {
        at: At,
        spot: Spot,
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
        completion: Completion,
    },
    /// The conditions of the branches were evaluated.
    Decided {
        at: At,
        spot: Spot,
        taken: Vec<bool>,
    },
    /// The condition of a loop was evaluated.
    Looped { at: At, spot: Spot, again: bool },
    /// The width of an iteration was computed.
    Measured { at: At, spot: Spot, width: usize },
    /// The end of a sleep was computed.
    Slept { at: At, spot: Spot, until: At },
    /// A pause is over: that of a sleep, or that before another attempt.
    Woke { at: At, spot: Spot },
    /// Another process took the run over from one that is gone.
    Recovered { at: At },
    /// Suspended steps got what they waited for.
    Resumed {
        at: At,
        spots: Vec<Spot>,
        data: Data,
        #[serde(
            default,
            deserialize_with = "given",
            skip_serializing_if = "Option::is_none"
        )]
        context: Option<Data>,
        #[serde(default, skip_serializing_if = "is_false")]
        per_step: bool,
    },
    /// A paused run goes on.
    Continued {
        at: At,
        #[serde(default, skip_serializing_if = "is_false")]
        per_step: bool,
    },
    /// A failed run tries again what failed.
    Retried { at: At },
    /// The run begins again at a step of before.
    Traveled { at: At, travel: Travel },
    /// The run was cancelled.
    Canceled { at: At },
    /// The engine cannot go on with the run.
    Broke { at: At, error: Data },
}

/// How an attempt of a step ended, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Completion {
    pub(crate) outcome: Outcome,
    /// The members of the state that it set.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) state: Option<Data>,
}

/// How an attempt of a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// With an output.
    Success(Data),
    /// With an error.
    Failed(Failure),
    /// It waits for somebody.
    Suspended(Suspension),
    /// The whole workflow is done, with this output.
    Bailed(Data),
    /// It gave up because the run was cancelled.
    Canceled,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// In the form of the wire: an object with `message` and `name`.
    pub(crate) error: Data,
    /// Trying again cannot help.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) last: bool,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) tripwire: Option<Data>,
}

/// What a step waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suspension {
    #[serde(default, skip_serializing_if = "Data::is_null")]
    pub(crate) payload: Data,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

/// Where a run begins again, and with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Travel {
    /// The ids from the outermost workflow inwards.
    pub(crate) step: Vec<String>,
    /// The input of that step; otherwise what it had, or what the entry before returned.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Data>,
    /// What it is resumed with.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<Data>,
    /// The state from then on.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Data>,
    /// Outputs that steps of before are to have had, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<(String, Data)>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) per_step: bool,
}

/// An instant in a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub(crate) struct At(pub(crate) Timestamp);

impl From<i64> for At {
    fn from(millis: i64) -> Self {
        Self(Timestamp::from_millis(millis))
    }
}

impl From<At> for i64 {
    fn from(at: At) -> Self {
        at.0.as_millis()
    }
}

impl Fact {
    /// When it happened.
    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Started { at, .. }
            | Self::Ended { at, .. }
            | Self::Decided { at, .. }
            | Self::Looped { at, .. }
            | Self::Measured { at, .. }
            | Self::Slept { at, .. }
            | Self::Woke { at, .. }
            | Self::Recovered { at }
            | Self::Resumed { at, .. }
            | Self::Continued { at, .. }
            | Self::Retried { at }
            | Self::Traveled { at, .. }
            | Self::Canceled { at }
            | Self::Broke { at, .. } => at.0,
        }
    }

    /// Where the command was that it answers; `None` for what comes from outside.
    pub(super) fn answers(&self) -> Option<Spot> {
        match self {
            Self::Ended { spot, .. }
            | Self::Decided { spot, .. }
            | Self::Looped { spot, .. }
            | Self::Measured { spot, .. }
            | Self::Slept { spot, .. }
            | Self::Woke { spot, .. } => Some(*spot),
            _ => None,
        }
    }
}

impl From<Outcome> for Completion {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            state: None,
        }
    }
}

impl Failure {
    /// A failure with a message and a name, as the wire has it.
    pub(crate) fn new(name: &str, message: &str) -> Self {
        let mut error = crate::json::Writer::object();
        error.text("message", message).text("name", name);
        Self {
            error: Data::made(error.end()),
            last: false,
            tripwire: None,
        }
    }

    /// Trying again cannot help.
    pub(crate) fn last(mut self) -> Self {
        self.last = true;
        self
    }
}

/// A member that is there, `null` included, which is a value like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Data>, D::Error> {
    Data::deserialize(deserializer).map(Some)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
