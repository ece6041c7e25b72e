//! The agent of the demo: its model, scripted or real, and its tool.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::model::ChatModel;
use bowline_agent::schemars::{self, JsonSchema};
use bowline_agent::scripted::Answer;
use bowline_agent::tool::ToolError;
use bowline_agent::{Agent, ScriptedModel, tool};
use serde::Deserialize;

use crate::outcome::Failure;

/// The agent.
pub(super) const AGENT: &str = "pilot";

/// What it is asked.
pub(super) const QUESTION: &str = "How deep is the harbour of Bergen, and how do I get in?";

/// What a real model is told first, so that there is a tool and a long text to see.
const INSTRUCTIONS: &str = "You are a harbour pilot. Before you answer, look the depth of the harbour up with the tool `depth`, once. \
     Then describe the way in, in about 200 words of plain text without headings.";

/// What the scripted model says in the end.
const SPEECH: &str = "The harbour of Bergen is 11 metres deep at low water, which is more than you need. Come in from the north-west, \
     past the lighthouse on Hjeltholmen, and keep it well to starboard until the inner leading lights are in line. From there on \
     steer one hundred and forty degrees at no more than five knots: the ferries have the right of way and use it. South of the \
     breakwater the current sets to the east for two hours after high water, so give the green buoy a cable's length. When the \
     fish market opens to port, turn into the wind, let her lose her way, and make fast with a bowline, because it holds under \
     load, never slips, and comes loose when you want it to. Welcome ashore.";

/// Between the pieces of what the scripted model says, and how long the tool takes.
const PACE: Duration = Duration::from_millis(10);
const SOUNDING: Duration = Duration::from_millis(200);

/// Who plays the model.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    model: Option<String>,
    base_url: Option<String>,
}

/// Looks the depth of a harbour up.
#[derive(Deserialize, JsonSchema)]
struct Harbour {
    /// The name of the harbour.
    name: String,
}

impl Cast {
    /// The scripted model, unless another one is named.
    ///
    /// # Errors
    /// When the model cannot be asked, for want of a key.
    pub(crate) fn of(model: Option<&str>, base_url: Option<&str>) -> Result<Self, Failure> {
        let cast = Self {
            model: model.map(str::to_owned),
            base_url: base_url.map(str::to_owned),
        };
        cast.model()?;
        Ok(cast)
    }

    /// The options of a process that is to have the same model.
    pub(super) fn options(&self) -> Vec<String> {
        let options = [("--model", &self.model), ("--base-url", &self.base_url)];
        let given = options
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
        given.flatten().collect()
    }

    /// What the model says in the end, if that is known.
    pub(super) fn speech(&self) -> Option<&'static str> {
        self.model.is_none().then_some(SPEECH)
    }

    /// How long one scene may take.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(match self.model {
            None => 8,
            Some(_) => 120,
        })
    }

    /// What people call the model.
    pub(super) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or("a scripted model")
    }

    /// The agent; every call of its tool is a line in `log`.
    pub(super) fn agent(&self, log: &Path) -> Result<Agent, Failure> {
        let log = log.to_owned();
        let depth = tool("depth", move |harbour: Harbour| {
            let log = log.clone();
            async move { sound(&log, &harbour.name).await }
        });
        let agent = Agent::builder(AGENT)
            .instructions(INSTRUCTIONS)
            .shared_model(self.model()?)
            .tool(depth.build()?);
        Ok(agent.build()?)
    }

    fn model(&self) -> Result<Arc<dyn ChatModel>, Failure> {
        match &self.model {
            None => Ok(Arc::new(ScriptedModel::listed([
                Answer::new()
                    .text("Let me look that up.")
                    .tool_call("depth", &serde_json::json!({ "name": "Bergen" }))
                    .pace(PACE),
                Answer::says(SPEECH).pace(PACE),
            ]))),
            Some(model) => real(model, self.base_url.as_deref()),
        }
    }
}

#[cfg(feature = "genai")]
fn real(model: &str, base_url: Option<&str>) -> Result<Arc<dyn ChatModel>, Failure> {
    let mut model = bowline_agent::model::genai(model);
    if let Some(url) = base_url {
        model = model.base_url(url);
    }
    model.check()?;
    Ok(Arc::new(model))
}

#[cfg(not(feature = "genai"))]
fn real(_: &str, _: Option<&str>) -> Result<Arc<dyn ChatModel>, Failure> {
    Err(Failure::usage(
        "this program was built without real models; build it with the feature genai",
    ))
}

async fn sound(log: &Path, harbour: &str) -> Result<String, ToolError> {
    let failed = |error: std::io::Error| ToolError::fail("IoError", error.to_string());
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    writeln!(file, "{harbour}").map_err(failed)?;
    tokio::time::sleep(SOUNDING).await;
    Ok("11 metres at low water".to_owned())
}
