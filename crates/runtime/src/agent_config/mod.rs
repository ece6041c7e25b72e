//! The agents that a configuration file declares.

mod fields;
#[cfg(feature = "agent")]
mod open;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use read::Agents;

use crate::redact_url;

/// The agents of a configuration file, by id.
pub type AgentConfigs = BTreeMap<String, AgentConfig>;

/// An agent as a configuration file declares it. What is not said is as in [`bowline_agent`](https://docs.rs/bowline-agent).
///
/// Secrets are never in the file: it names the environment variables that hold them.
///
/// ```
/// use bowline_runtime::FileConfig;
///
/// let file = FileConfig::parse(r#"
///     [agents.analyst]
///     instructions = "You are a careful analyst."
///     model = "openai/gpt-4o-mini"
///     max_steps = 8
///     settings = { temperature = 0.2 }
///
///     [[agents.analyst.mcp]]
///     command = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]
///
///     [[agents.analyst.mcp]]
///     url = "https://mcp.example.com/mcp"
///     headers_env = { authorization = "EXAMPLE_AUTHORIZATION" }
/// "#)?;
/// let analyst = &file.agents["analyst"];
/// assert_eq!(analyst.models[0].to_string(), "openai/gpt-4o-mini");
/// assert_eq!(analyst.mcp.len(), 2);
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct AgentConfig {
    /// Its name, for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What the model is told first: one message for each.
    pub instructions: Vec<String>,
    /// The model, and those that are asked when the ones before fail. At least one.
    pub models: Vec<ModelConfig>,
    /// How often the model is asked in a run at most.
    pub max_steps: Option<u32>,
    /// How many tools run at once.
    pub tool_concurrency: Option<usize>,
    /// Whether somebody has to approve every call of a tool.
    pub require_approval: Option<bool>,
    /// How long the model may be silent before it counts as gone.
    pub model_silence: Option<Duration>,
    /// Who works on its runs.
    pub strategy: AgentStrategy,
    /// Whether it has the tool `notification-inbox` for the inbox of its threads.
    pub inbox: Option<bool>,
    /// How the model is to answer.
    pub settings: AgentModelSettings,
    /// The servers of its tools.
    pub mcp: Vec<McpConfig>,
}

/// Who works on the runs of an agent: `"durable"`, the process that takes one, or `"evented"`, for every step whichever has room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentStrategy {
    /// The process that takes a run.
    #[default]
    Durable,
    /// For every step, whichever process has room.
    Evented,
}

/// A model, as a configuration file names it: `"provider/model"`, or a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Who serves it; `None` for a server that speaks the protocol of OpenAI, at the `base_url`.
    pub provider: Option<String>,
    /// What it is called there.
    pub name: String,
    /// Where it is, if not where the provider has it.
    pub base_url: Option<String>,
    /// The environment variable with its key; that of the provider unless set.
    pub key_env: Option<String>,
    /// How often it is asked again when it cannot be reached.
    pub max_retries: Option<u32>,
}

impl fmt::Display for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(f, "{provider}/")?;
        }
        f.write_str(&self.name)?;
        match &self.base_url {
            Some(url) => write!(f, " at {}", redact_url(url)),
            None => Ok(()),
        }
    }
}

/// How the model of an agent is to answer; what is not set is left to the provider.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct AgentModelSettings {
    /// Tokens of the longest answer.
    pub max_output_tokens: Option<u32>,
    /// How much is left to chance.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Only the most likely tokens.
    pub top_k: Option<u32>,
    /// Less of what was there before.
    pub presence_penalty: Option<f64>,
    /// Less of what was there often.
    pub frequency_penalty: Option<f64>,
    /// Texts at which it stops.
    pub stop_sequences: Vec<String>,
    /// The same chance again.
    pub seed: Option<u64>,
}

/// A server of tools: a command, or a URL.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct McpConfig {
    /// Where it is.
    pub place: McpPlace,
    /// What stands before the names of its tools.
    pub prefix: Option<String>,
    /// How long it may take to start.
    pub start_timeout: Option<Duration>,
    /// How long a call may take.
    pub call_timeout: Option<Duration>,
}

/// Where a server of tools is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum McpPlace {
    /// A program that is started, and spoken to through its input and output.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// Environment variables that it gets beside the few that every program needs.
        env: Vec<String>,
        /// Where it is started.
        directory: Option<PathBuf>,
    },
    /// An address.
    Url {
        /// The address.
        url: String,
        /// Headers of every request, with the environment variables that hold their values.
        headers_env: Vec<(String, String)>,
    },
}

impl fmt::Display for McpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Arguments may be secret.
            Self::Command { command, .. } => {
                f.write_str(command.first().map_or("", String::as_str))
            }
            Self::Url { url, .. } => f.write_str(&redact_url(url)),
        }
    }
}

impl fmt::Debug for McpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpConfig")
            .field("place", &self.place)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for McpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
