//! What a run of an agent begins with, as the store keeps it.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use crate::Message;
use crate::agent::{Definition, RunOptions, ToolConcurrency};
use crate::processor::Tripwire;

/// What a run of an agent begins with: neither code, nor keys, nor headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunInput {
    /// What kind of run it is, as the reference marks it.
    #[serde(rename = "__workflowKind")]
    pub(crate) kind: Text,
    pub(crate) agent_id: Text,
    pub(crate) run_id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread_id: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<Text>,
    /// The id of the first message of the model.
    pub(crate) message_id: Text,
    /// What was said in the conversation before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remembered: Vec<Message>,
    /// What is said now.
    pub(crate) messages: Vec<Message>,
    #[serde(default)]
    pub(crate) options: RunOptions,
    /// Why it is not to take place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tripwire: Option<Tripwire>,
}

/// How runs of durable agents are marked.
pub(crate) const KIND: &str = "durable-agent";

impl RunInput {
    pub(crate) fn max_steps(&self, agent: &Definition) -> u32 {
        self.options.max_steps.unwrap_or(agent.max_steps)
    }

    pub(crate) fn concurrency(&self, agent: &Definition) -> ToolConcurrency {
        self.options
            .tool_concurrency
            .unwrap_or(agent.tool_concurrency)
    }

    pub(crate) fn asks_for_approval(&self, agent: &Definition) -> bool {
        self.options
            .require_approval
            .unwrap_or(agent.require_approval)
    }

    /// Whether something can be said to the run while it is under way.
    pub(crate) fn has_mailbox(&self) -> bool {
        self.thread_id.is_some()
    }

    /// Whether the model may call the tool `name`.
    pub(crate) fn is_active(&self, name: &str) -> bool {
        let active = self.options.active_tools.as_ref();
        active.is_none_or(|names| names.iter().any(|active| active == name))
    }
}
