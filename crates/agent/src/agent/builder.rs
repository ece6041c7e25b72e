//! Writing down an agent.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;

use super::{Agent, DEFAULT_MAX_STEPS, Definition, MAX_STEPS, StepSummary, ToolConcurrency};
use crate::memory::MemoryOptions;
use crate::model::{Candidate, ChatModel, Fallback, ModelSettings};
use crate::processor::{Processor, Processors};
use crate::{Data, Error, ErrorKind, Result, Tool};

/// How long a model may be silent before it counts as gone.
const MODEL_SILENCE: Duration = Duration::from_secs(120);
/// Bytes of the id of an agent.
const MAX_ID: usize = 200;

/// Writes down an [`Agent`].
#[must_use = "an agent is made by `build`"]
pub struct AgentBuilder(Definition);

impl AgentBuilder {
    pub(super) fn new(id: Text) -> Self {
        Self(Definition {
            id,
            name: None,
            description: None,
            instructions: Vec::new(),
            models: Vec::new(),
            tools: Vec::new(),
            max_steps: DEFAULT_MAX_STEPS,
            tool_concurrency: ToolConcurrency::default(),
            require_approval: false,
            settings: ModelSettings::default(),
            provider_options: None,
            stop_when: Vec::new(),
            model_silence: MODEL_SILENCE,
            memory: MemoryOptions::default(),
            processors: Processors::default(),
        })
    }

    /// Its name, for people.
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// What it is for.
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.0.description = Some(description.into());
        self
    }

    /// What the model is told first. Several are several messages.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.0.instructions.push(instructions.into());
        self
    }

    /// The model, or a [`Fallback`] of several. Called again it adds one that is asked when those before it fail.
    pub fn model(mut self, model: impl Into<Fallback>) -> Self {
        self.0.models.extend(model.into().into_candidates());
        self
    }

    /// As [`model`](Self::model), for one that others have, too.
    pub fn shared_model(mut self, model: Arc<dyn ChatModel>) -> Self {
        self.0.models.push(Candidate::new(model));
        self
    }

    /// How often the model that was added last is asked again when it cannot be reached; never unless set.
    pub fn max_retries(mut self, retries: u32) -> Self {
        if let Some(last) = self.0.models.last_mut() {
            last.max_retries = retries;
        }
        self
    }

    /// A tool.
    pub fn tool(mut self, tool: impl Into<Tool>) -> Self {
        self.0.tools.push(tool.into());
        self
    }

    /// Tools.
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.0.tools.extend(tools);
        self
    }

    /// How often the model is asked in a run at most; 5 unless set, 1 to [`MAX_STEPS`].
    pub fn max_steps(mut self, steps: u32) -> Self {
        self.0.max_steps = steps;
        self
    }

    /// How many tools run at once; 10 unless set. Tools that may wait for somebody run one by one.
    pub fn tool_concurrency(mut self, limit: usize) -> Self {
        self.0.tool_concurrency.limit = limit;
        self
    }

    /// Whether somebody has to approve every call of a tool.
    pub fn require_approval(mut self, require: bool) -> Self {
        self.0.require_approval = require;
        self
    }

    /// How the model is to answer.
    pub fn settings(mut self, settings: ModelSettings) -> Self {
        self.0.settings = settings;
        self
    }

    /// What only one provider understands: an object by provider.
    pub fn provider_options(mut self, options: Data) -> Self {
        self.0.provider_options = Some(options);
        self
    }

    /// A run stops after a round for which this is true, though the model wants to go on. Several: any of them. It may be asked
    /// again about the same round after a crash.
    pub fn stop_when(
        mut self,
        condition: impl Fn(&StepSummary<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.0.stop_when.push(Arc::new(condition));
        self
    }

    /// How long a model may be silent in the middle of an answer before it counts as gone; two minutes unless set.
    pub fn model_silence(mut self, longest: Duration) -> Self {
        self.0.model_silence = longest;
        self
    }

    /// How the runs use the memory of their threads.
    pub fn memory(mut self, options: MemoryOptions) -> Self {
        self.0.memory = options;
        self
    }

    /// What looks at messages on their way, in this order.
    pub fn processors(mut self, processors: impl IntoIterator<Item = Arc<dyn Processor>>) -> Self {
        self.0.processors = Processors::new(processors);
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// `InvalidDefinition` for an id that is none, without a model, for two tools of one name, and for limits of 0.
    pub fn build(self) -> Result<Agent> {
        let definition = self.0;
        let id = &definition.id;
        let invalid = |message: String| {
            Error::new(ErrorKind::InvalidDefinition, "build agent", message)
                .with_subject(id.clone())
        };
        if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
            let message =
                format!("it is no id of an agent: 1 to {MAX_ID} bytes, no control characters");
            return Err(invalid(message));
        }
        if definition.models.is_empty() {
            return Err(invalid("it has no model; give it one with `model`".into()));
        }
        let mut names = HashSet::new();
        for tool in &definition.tools {
            if !names.insert(tool.name().as_str()) {
                let message = format!("two tools are called {:?}; rename one", tool.name());
                return Err(invalid(message));
            }
        }
        check_steps(definition.max_steps).map_err(invalid)?;
        if definition.tool_concurrency.limit == 0 {
            return Err(invalid("0 tools at once are none; the least is 1".into()));
        }
        Ok(Agent(Arc::new(definition)))
    }
}

pub(super) fn check_steps(steps: u32) -> Result<(), String> {
    match (1..=MAX_STEPS).contains(&steps) {
        true => Ok(()),
        false => Err(format!(
            "{steps} steps are not possible; 1 to {MAX_STEPS} are"
        )),
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
