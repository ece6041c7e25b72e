//! What came of the call of a tool.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::{Approval, Part, ToolInvocation, ToolState};
use crate::Data;

/// The reason why a call was denied when nobody gives another one.
pub(crate) const NOT_APPROVED: &str = "Tool call was not approved by the user";

/// What came of the call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ToolOutcome {
    /// It returned.
    Result(Data),
    /// It failed; the model reads why.
    Error {
        /// By which programs tell failures apart.
        name: Text,
        /// What the model and people read.
        message: String,
    },
    /// Somebody did not approve it.
    Denied {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text>,
    },
    /// Whoever started the run executes it.
    Pending,
}

impl ToolOutcome {
    /// Whether the model is to read why the call failed.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error { .. })
    }
}

impl ToolInvocation {
    /// Says what came of it.
    pub fn settle(&mut self, outcome: &ToolOutcome) {
        match outcome {
            ToolOutcome::Result(data) => {
                self.state = ToolState::Result;
                self.result = Some(data.clone());
                self.error_text = None;
            }
            ToolOutcome::Error { name, message } => {
                self.state = ToolState::OutputError;
                self.result = None;
                let text = if message.is_empty() {
                    name.as_str()
                } else {
                    message
                };
                self.error_text = Some(text.to_owned());
            }
            ToolOutcome::Denied { reason } => {
                self.state = ToolState::OutputDenied;
                self.result = None;
                self.error_text = None;
                let reason = reason.clone().unwrap_or_else(|| NOT_APPROVED.into());
                self.approval = Some(Approval {
                    id: self.tool_call_id.clone(),
                    approved: false,
                    reason: Some(reason),
                });
            }
            ToolOutcome::Pending => self.state = ToolState::Call,
        }
    }

    /// What came of it, if it is over.
    pub fn outcome(&self) -> Option<ToolOutcome> {
        match self.state {
            ToolState::Result => {
                let result = self.result.clone().unwrap_or_default();
                Some(ToolOutcome::Result(result))
            }
            ToolState::OutputError => Some(ToolOutcome::Error {
                name: "Error".into(),
                message: self.error_text.clone().unwrap_or_default(),
            }),
            ToolState::OutputDenied => Some(ToolOutcome::Denied {
                reason: self.approval.as_ref().and_then(|it| it.reason.clone()),
            }),
            _ => None,
        }
    }
}

/// Says in `parts` what came of the call `id`. `false` when there is no such call.
pub fn settle(parts: &mut [Part], id: &str, outcome: &ToolOutcome) -> bool {
    for part in parts {
        if let Part::Tool { invocation, .. } = part
            && invocation.tool_call_id == id
        {
            invocation.settle(outcome);
            return true;
        }
    }
    false
}
