//! Why a processor does not let a run go on.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use crate::Data;

/// Why a run was stopped by a processor, as the stream of the run tells it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tripwire {
    /// Why.
    pub reason: String,
    /// Whether another attempt may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<bool>,
    /// What programs are to know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Data>,
    /// The processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_id: Option<Text>,
}

/// Why a processor does not let a run go on.
///
/// Every error of the standard kind becomes one with `?`; therefore it is not one itself.
#[non_exhaustive]
pub enum ProcessorError {
    /// It must not go on. The processor is named by whoever called it.
    Tripwire(Tripwire),
    /// The processor failed.
    Failed(Box<dyn StdError + Send + Sync>),
}

impl ProcessorError {
    /// Stops the run because of `reason`.
    pub fn tripwire(reason: impl Into<String>) -> Self {
        Self::Tripwire(Tripwire {
            reason: reason.into(),
            ..Tripwire::default()
        })
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for ProcessorError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl fmt::Display for ProcessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripwire(tripwire) => f.write_str(&tripwire.reason),
            Self::Failed(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl fmt::Debug for ProcessorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripwire(tripwire) => fmt::Debug::fmt(tripwire, f),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl From<Tripwire> for crate::chunk::Tripwire {
    fn from(tripwire: Tripwire) -> Self {
        Self {
            reason: tripwire.reason,
            retry: tripwire.retry,
            metadata: tripwire.metadata,
            processor_id: tripwire.processor_id,
        }
    }
}
