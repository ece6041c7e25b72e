//! An agent from its configuration.

use std::sync::Arc;

use bowline_agent::model::{ChatModel, ModelSettings};
use bowline_agent::threads::inbox_tool;
use bowline_agent::{Agent, DurableAgentBuilder, Strategy, Tool};
use bowline_events::{Error, ErrorKind, Result};

use super::{AgentConfig, AgentModelSettings, AgentStrategy, McpConfig, ModelConfig};

impl AgentConfig {
    /// The agent called `id`, for an application. Its MCP servers are started, or reached, and asked for their tools; models are
    /// asked nothing.
    ///
    /// # Errors
    /// `InvalidInput` for a provider that nobody knows, an environment variable that is not set, and what is no agent;
    /// `Unsupported` when the feature `genai` or `mcp` is off; what the servers of tools say.
    pub async fn open(&self, id: &str) -> Result<DurableAgentBuilder> {
        let blamed = |error: Error| {
            let message = format!("agents.{id}: {}", error.message());
            let blamed = Error::new(error.kind(), error.operation(), message);
            match error.subject() {
                Some(subject) => blamed.with_subject(subject),
                None => blamed,
            }
        };
        let agent = self.build(id).await.map_err(blamed)?;
        let strategy = match self.strategy {
            AgentStrategy::Durable => Strategy::Durable,
            AgentStrategy::Evented => Strategy::Evented,
        };
        Ok(agent.durable().strategy(strategy))
    }

    async fn build(&self, id: &str) -> Result<Agent> {
        let mut agent = Agent::builder(id.to_owned()).settings(settings(&self.settings));
        for model in &self.models {
            agent = agent.shared_model(open_model(model)?);
            if let Some(retries) = model.max_retries {
                agent = agent.max_retries(retries);
            }
        }
        for instructions in &self.instructions {
            agent = agent.instructions(instructions.as_str());
        }
        if let Some(name) = &self.name {
            agent = agent.name(name.clone());
        }
        if let Some(description) = &self.description {
            agent = agent.description(description.clone());
        }
        macro_rules! set {
            ($($option:ident),*) => {
                $(if let Some(value) = self.$option {
                    agent = agent.$option(value);
                })*
            };
        }
        set!(max_steps, tool_concurrency, require_approval, model_silence);
        if self.inbox == Some(true) {
            agent = agent.tool(inbox_tool());
        }
        for server in &self.mcp {
            agent = agent.tools(tools(server).await?);
        }
        Ok(agent.build()?)
    }
}

fn settings(config: &AgentModelSettings) -> ModelSettings {
    ModelSettings {
        max_output_tokens: config.max_output_tokens,
        temperature: config.temperature,
        top_p: config.top_p,
        top_k: config.top_k,
        presence_penalty: config.presence_penalty,
        frequency_penalty: config.frequency_penalty,
        stop_sequences: config
            .stop_sequences
            .iter()
            .map(|text| text.clone().into())
            .collect(),
        seed: config.seed,
        max_retries: None,
    }
}

#[cfg(feature = "genai")]
fn open_model(config: &ModelConfig) -> Result<Arc<dyn ChatModel>> {
    use bowline_agent::model::{GenaiModel, genai};

    let mut model = match (&config.provider, &config.base_url) {
        (None, Some(url)) => GenaiModel::openai_compatible(url, config.name.clone()),
        (provider, url) => {
            let provider = provider.as_deref().unwrap_or_default();
            let model = genai(format!("{provider}/{}", config.name));
            match url {
                Some(url) => model.base_url(url),
                None => model,
            }
        }
    };
    if let Some(variable) = &config.key_env {
        model = model.api_key(of_environment(variable, "key_env")?);
    }
    model.check()?;
    Ok(Arc::new(model))
}

#[cfg(not(feature = "genai"))]
fn open_model(_: &ModelConfig) -> Result<Arc<dyn ChatModel>> {
    Err(without("models", "genai"))
}

#[cfg(feature = "mcp")]
async fn tools(config: &McpConfig) -> Result<Vec<Tool>> {
    use bowline_agent::mcp::McpServer;

    use super::McpPlace;

    let mut server = match &config.place {
        McpPlace::Command {
            command,
            env,
            directory,
        } => {
            let (program, arguments) = command
                .split_first()
                .ok_or_else(|| refused("a server of tools has an empty command"))?;
            let mut server = McpServer::command(program).args(arguments);
            for variable in env {
                server = server.env(variable, of_environment(variable, "env")?);
            }
            match directory {
                Some(directory) => server.current_dir(directory),
                None => server,
            }
        }
        McpPlace::Url { url, headers_env } => {
            let mut server = McpServer::url(url.clone());
            for (name, variable) in headers_env {
                server = server.header(name, of_environment(variable, "headers_env")?);
            }
            server
        }
    };
    if let Some(prefix) = &config.prefix {
        server = server.prefix(prefix.clone());
    }
    if let Some(limit) = config.start_timeout {
        server = server.start_timeout(limit);
    }
    if let Some(limit) = config.call_timeout {
        server = server.call_timeout(limit);
    }
    Ok(server.tools().await?)
}

#[cfg(not(feature = "mcp"))]
async fn tools(_: &McpConfig) -> Result<Vec<Tool>> {
    Err(without("MCP servers", "mcp"))
}

/// The secret in a variable that `key` names.
#[cfg(any(feature = "genai", feature = "mcp"))]
fn of_environment(variable: &str, key: &str) -> Result<String> {
    std::env::var(variable).map_err(|_| {
        refused(&format!(
            "the environment variable {variable}, which {key} names, is not set; set it"
        ))
    })
}

#[cfg(any(feature = "genai", feature = "mcp"))]
fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "agent", message.to_owned())
}

#[cfg(not(all(feature = "genai", feature = "mcp")))]
fn without(what: &str, feature: &str) -> Error {
    let message = format!(
        "this program was built without {what}; build it with the feature {feature} of bowline-runtime"
    );
    Error::new(ErrorKind::Unsupported, "agent", message)
}

#[cfg(all(test, feature = "genai"))]
mod tests {
    use crate::FileConfig;

    #[tokio::test]
    async fn the_strategy_of_the_file_is_that_of_the_agent() {
        let model = "{ name = \"m\", base_url = \"http://localhost:1/v1\" }";
        for (line, strategy) in [
            ("", "Durable"),
            ("strategy = \"durable\"", "Durable"),
            ("strategy = \"evented\"", "Evented"),
        ] {
            let text = format!("[agents.a]\nmodel = {model}\n{line}\n");
            let file = FileConfig::parse(&text).unwrap();
            let agent = format!("{:?}", file.agents["a"].open("a").await.unwrap());
            assert!(
                agent.contains(&format!("strategy: {strategy}")),
                "{line:?}: {agent}"
            );
        }
    }

    #[tokio::test]
    async fn an_agent_has_an_inbox_where_the_file_says_so() {
        for (line, has) in [
            ("", false),
            ("inbox = false", false),
            ("inbox = true", true),
        ] {
            let model = "{ name = \"m\", base_url = \"http://localhost:1/v1\" }";
            let text = format!("[agents.a]\nmodel = {model}\n{line}\n");
            let file = FileConfig::parse(&text).unwrap();
            let agent = file.agents["a"].open("a").await.unwrap();
            let tool = agent.agent().tool("notification-inbox");
            assert_eq!(tool.is_some(), has, "{line:?}");
        }
    }
}
