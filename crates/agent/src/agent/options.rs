//! What can be said for one run.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use crate::model::{ModelSettings, ToolChoice};
use crate::structured::StructuredOutput;
use crate::{Data, Error, Result};

/// How many tools run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConcurrency {
    /// The number, at least 1.
    pub limit: usize,
    /// Whether one tool that may wait for somebody makes the calls of a round go one by one only if it is called in it, and not as
    /// soon as the model could call it.
    #[serde(default)]
    pub called_only: bool,
}

impl Default for ToolConcurrency {
    fn default() -> Self {
        Self {
            limit: super::DEFAULT_TOOL_CONCURRENCY,
            called_only: false,
        }
    }
}

/// What is said for one run; the rest is as the agent has it.
///
/// ```
/// use bowline_agent::RunOptions;
///
/// let options = RunOptions::new().run_id("order-17").thread("t-1").resource("customer-3").max_steps(8);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[must_use]
pub struct RunOptions {
    #[serde(skip)]
    pub(crate) run_id: Option<Text>,
    #[serde(skip)]
    pub(crate) thread_id: Option<Text>,
    #[serde(skip)]
    pub(crate) resource_id: Option<Text>,
    #[serde(skip)]
    pub(crate) request_context: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instructions: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) system: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active_tools: Option<Vec<Text>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_concurrency: Option<ToolConcurrency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) require_approval: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<ModelSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider_options: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) structured: Option<StructuredOutput>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) include_raw: bool,
}

impl RunOptions {
    /// Nothing said.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the run; a random one unless set. A second run of one id is refused, so that a caller can try again.
    pub fn run_id(mut self, id: impl Into<Text>) -> Self {
        self.run_id = Some(id.into());
        self
    }

    /// The conversation that the run belongs to: it knows what was said there before, and what is said now is kept there. Of an agent
    /// that was given to [`Threads`](crate::threads::Threads), as every agent of an application is, one run at a time is at work there;
    /// a second one is refused with `Conflict`. Without them runs of one conversation may be at work beside each other.
    pub fn thread(mut self, id: impl Into<Text>) -> Self {
        self.thread_id = Some(id.into());
        self
    }

    /// Whom the run is for.
    pub fn resource(mut self, id: impl Into<Text>) -> Self {
        self.resource_id = Some(id.into());
        self
    }

    /// What whoever asked said about the request: an object.
    pub fn request_context(mut self, context: Data) -> Self {
        self.request_context = Some(context);
        self
    }

    /// Other instructions than those of the agent.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// Something to tell the model behind its instructions.
    pub fn system(mut self, message: impl Into<String>) -> Self {
        self.system.push(message.into());
        self
    }

    /// How often the model is asked at most; 5 unless the agent or this says otherwise, 1 to [`MAX_STEPS`](crate::agent::MAX_STEPS).
    pub fn max_steps(mut self, steps: u32) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// Only these tools.
    pub fn active_tools<T: Into<Text>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.active_tools = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the model may, or must, call tools.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// How many tools run at once.
    pub fn tool_concurrency(mut self, concurrency: ToolConcurrency) -> Self {
        self.tool_concurrency = Some(concurrency);
        self
    }

    /// Whether somebody has to approve every call of a tool.
    pub fn require_approval(mut self, require: bool) -> Self {
        self.require_approval = Some(require);
        self
    }

    /// How the model is to answer; what is not set is as the agent has it.
    pub fn settings(mut self, settings: ModelSettings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// What only one provider understands: an object by provider.
    pub fn provider_options(mut self, options: Data) -> Self {
        self.provider_options = Some(options);
        self
    }

    /// The answer is to be JSON of this form; read it with [`RunOutput::object`](crate::RunOutput::object).
    pub fn structured(mut self, output: StructuredOutput) -> Self {
        self.structured = Some(output);
        self
    }

    /// Whether to stream what the provider sends, too.
    pub fn include_raw(mut self, include: bool) -> Self {
        self.include_raw = include;
        self
    }

    /// # Errors
    /// `InvalidInput` when something cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        let invalid =
            |message: String| Error::new(crate::ErrorKind::InvalidInput, "stream", message);
        if let Some(steps) = self.max_steps {
            super::builder::check_steps(steps).map_err(invalid)?;
        }
        if self.tool_concurrency.is_some_and(|it| it.limit == 0) {
            return Err(invalid("0 tools at once are none; the least is 1".into()));
        }
        for (what, data) in [
            ("request context", &self.request_context),
            ("provider options", &self.provider_options),
        ] {
            if data.as_ref().is_some_and(|data| !data.is_object()) {
                return Err(invalid(format!("the {what} is no object")));
            }
        }
        if self.thread_id.as_ref().is_some_and(|id| id.is_empty()) {
            return Err(invalid("the id of the thread is empty".into()));
        }
        Ok(())
    }
}
