//! What an agent is.

mod builder;
mod options;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;

pub use builder::AgentBuilder;
pub use options::{RunOptions, ToolConcurrency};

use crate::memory::MemoryOptions;
use crate::model::{Candidate, ChatModel, ModelSettings};
use crate::processor::Processors;
use crate::{Data, Tool};

/// Rounds of model and tools in a run that says nothing else, as core 1.71 has it.
pub const DEFAULT_MAX_STEPS: u32 = 5;
/// Rounds that a run can have at most.
pub const MAX_STEPS: u32 = 1000;
/// Calls of tools that run at once unless the agent or the run says otherwise, as core 1.71 has it.
pub const DEFAULT_TOOL_CONCURRENCY: usize = 10;

/// A model with instructions and tools. Cheap to clone; the same definition is given to every process that is to work on its runs.
///
/// ```
/// use bowline_agent::Agent;
/// use bowline_agent::scripted::ScriptedModel;
///
/// let agent = Agent::builder("analyst")
///     .instructions("You are a careful analyst.")
///     .model(ScriptedModel::says("All is well."))
///     .build()?;
/// assert_eq!(agent.id(), "analyst");
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Clone)]
pub struct Agent(pub(crate) Arc<Definition>);

/// What [`AgentBuilder`] sets.
pub(crate) struct Definition {
    pub(crate) id: Text,
    pub(crate) name: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) instructions: Vec<String>,
    /// The first, and those that are asked when it fails; with attempts after the first.
    pub(crate) models: Vec<Candidate>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) max_steps: u32,
    pub(crate) tool_concurrency: ToolConcurrency,
    pub(crate) require_approval: bool,
    pub(crate) settings: ModelSettings,
    pub(crate) provider_options: Option<Data>,
    pub(crate) stop_when: Vec<Arc<StopCondition>>,
    /// How long a model may be silent before it counts as gone.
    pub(crate) model_silence: Duration,
    pub(crate) memory: MemoryOptions,
    pub(crate) processors: Processors,
}

/// Whether a run is to stop after a step.
pub(crate) type StopCondition = dyn Fn(&StepSummary<'_>) -> bool + Send + Sync;

/// What a [stop condition](AgentBuilder::stop_when) looks at: the round that has just ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StepSummary<'a> {
    /// How many rounds there were, this one included.
    pub steps: u32,
    /// What the model said in this round.
    pub text: &'a str,
    /// The names of the tools that it called in this round.
    pub tools: &'a [Text],
    /// Tokens of the whole run so far.
    pub total_tokens: u64,
}

impl Agent {
    /// Begins to write down the agent `id`. The id is that of its runs in the store, so it must not change while there are some;
    /// 1 to 200 bytes without control characters.
    pub fn builder(id: impl Into<Text>) -> AgentBuilder {
        AgentBuilder::new(id.into())
    }

    /// Its id.
    pub fn id(&self) -> &Text {
        &self.0.id
    }

    /// Its name, for people.
    pub fn name(&self) -> Option<&Text> {
        self.0.name.as_ref()
    }

    /// What it is for.
    pub fn description(&self) -> Option<&Text> {
        self.0.description.as_ref()
    }

    /// Its tools.
    pub fn tools(&self) -> &[Tool] {
        &self.0.tools
    }

    /// The model that is asked first.
    pub fn model(&self) -> &Arc<dyn ChatModel> {
        // The builder refuses an agent without one.
        &self.0.models[0].model
    }

    /// The tool called `name`.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.0.tools.iter().find(|tool| tool.name() == name)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}
