//! Why a tool did not return.

use std::error::Error as StdError;
use std::fmt;

use bowline_events::Text;

use crate::Data;

/// Why a tool did not return. A failure goes back to the model, which can react.
///
/// Every error of the standard kind becomes one with `?`; therefore it is not one itself.
#[non_exhaustive]
pub enum ToolError {
    /// It failed.
    Failed {
        /// By which programs tell failures apart.
        name: Text,
        /// What the model and people read.
        message: String,
        /// The cause.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// It waits for somebody; made by [`ToolContext::suspend`](super::ToolContext::suspend).
    Suspended(Data),
    /// It gave up because the run was aborted.
    Aborted,
}

impl ToolError {
    /// A failure.
    pub fn fail(name: impl Into<Text>, message: impl Into<String>) -> Self {
        Self::Failed {
            name: name.into(),
            message: message.into(),
            source: None,
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::Failed {
            name: "Error".into(),
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { name, message, .. } => write!(f, "{name}: {message}"),
            Self::Suspended(_) => f.write_str("the tool waits to be resumed"),
            Self::Aborted => f.write_str("the tool gave up because the run was aborted"),
        }
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                name,
                message,
                source,
            } => f
                .debug_struct("Failed")
                .field("name", name)
                .field("message", message)
                .field("source", source)
                .finish(),
            Self::Suspended(payload) => f.debug_tuple("Suspended").field(payload).finish(),
            Self::Aborted => f.write_str("Aborted"),
        }
    }
}
