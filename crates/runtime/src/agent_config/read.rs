//! Agents from the tables of a file.

use serde::de::{Deserialize, Deserializer, Error as _};
use toml::{Table, Value};

use super::fields::{Fields, Read};
use super::{
    AgentConfig, AgentConfigs, AgentModelSettings, AgentStrategy, McpConfig, McpPlace, ModelConfig,
};

const AGENT: [&str; 12] = [
    "name",
    "description",
    "instructions",
    "model",
    "max_steps",
    "tool_concurrency",
    "require_approval",
    "model_silence",
    "strategy",
    "inbox",
    "settings",
    "mcp",
];

const MODEL: [&str; 5] = ["provider", "name", "base_url", "key_env", "max_retries"];

const SETTINGS: [&str; 8] = [
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stop_sequences",
    "seed",
];

const MCP: [&str; 8] = [
    "command",
    "env",
    "directory",
    "url",
    "headers_env",
    "prefix",
    "start_timeout",
    "call_timeout",
];

/// All agents of a file.
pub(crate) struct Agents(pub(crate) AgentConfigs);

impl<'de> Deserialize<'de> for Agents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        let agents = table.into_iter().map(|(id, value)| {
            let agent = agent(format!("agents.{id}"), value);
            agent.map(|agent| (id, agent)).map_err(D::Error::custom)
        });
        agents.collect::<Result<_, _>>().map(Self)
    }
}

fn agent(path: String, value: Value) -> Read<AgentConfig> {
    let mut fields = Fields::of(path, value, &AGENT)?;
    Ok(AgentConfig {
        name: fields.text("name")?,
        description: fields.text("description")?,
        instructions: fields.texts("instructions")?,
        models: models(&mut fields)?,
        max_steps: fields.number("max_steps")?,
        tool_concurrency: fields.number("tool_concurrency")?,
        require_approval: fields.switch("require_approval")?,
        model_silence: fields.duration("model_silence")?,
        strategy: strategy(&mut fields)?,
        inbox: fields.switch("inbox")?,
        settings: settings(&mut fields)?,
        mcp: servers(&mut fields)?,
    })
}

fn strategy(fields: &mut Fields) -> Read<AgentStrategy> {
    match fields.text("strategy")?.as_deref() {
        None | Some("durable") => Ok(AgentStrategy::Durable),
        Some("evented") => Ok(AgentStrategy::Evented),
        Some(_) => Err(format!(
            "{} is neither \"durable\" nor \"evented\"",
            fields.path("strategy")
        )),
    }
}

fn models(fields: &mut Fields) -> Read<Vec<ModelConfig>> {
    let path = fields.path("model");
    let models = match fields.take("model") {
        Some(Value::Array(models)) => models,
        Some(model) => vec![model],
        None => Vec::new(),
    };
    if models.is_empty() {
        return Err(format!(
            "{path} is missing; write model = \"openai/gpt-4o-mini\""
        ));
    }
    let models = models.into_iter().map(|model| match model {
        Value::String(spec) => named(&path, &spec),
        table => model_table(path.clone(), table),
    });
    models.collect()
}

fn named(path: &str, spec: &str) -> Read<ModelConfig> {
    match spec.split_once('/') {
        Some((provider, name)) if !provider.is_empty() && !name.is_empty() => Ok(ModelConfig {
            provider: Some(provider.to_owned()),
            name: name.to_owned(),
            ..ModelConfig::default()
        }),
        _ => Err(format!(
            "{path} does not say whose model it is; write \"provider/model\", such as \"openai/gpt-4o-mini\", or a table with the \
             keys name and base_url"
        )),
    }
}

fn model_table(path: String, value: Value) -> Read<ModelConfig> {
    if !value.is_table() {
        return Err(format!("{path} is neither a text nor a table"));
    }
    let mut fields = Fields::of(path, value, &MODEL)?;
    let Some(name) = fields.text("name")? else {
        return Err(format!(
            "{} is missing; it is what the provider calls the model",
            fields.path("name")
        ));
    };
    let model = ModelConfig {
        provider: fields.text("provider")?,
        name,
        base_url: fields.text("base_url")?,
        key_env: fields.text("key_env")?,
        max_retries: fields.number("max_retries")?,
    };
    if model.provider.is_none() && model.base_url.is_none() {
        return Err(format!(
            "{} is missing; add it, or the base_url of a server that speaks the protocol of OpenAI",
            fields.path("provider")
        ));
    }
    Ok(model)
}

fn settings(fields: &mut Fields) -> Read<AgentModelSettings> {
    let path = fields.path("settings");
    let Some(value) = fields.take("settings") else {
        return Ok(AgentModelSettings::default());
    };
    let mut fields = Fields::of(path, value, &SETTINGS)?;
    Ok(AgentModelSettings {
        max_output_tokens: fields.number("max_output_tokens")?,
        temperature: fields.decimal("temperature")?,
        top_p: fields.decimal("top_p")?,
        top_k: fields.number("top_k")?,
        presence_penalty: fields.decimal("presence_penalty")?,
        frequency_penalty: fields.decimal("frequency_penalty")?,
        stop_sequences: fields.texts("stop_sequences")?,
        seed: fields.number("seed")?,
    })
}

fn servers(fields: &mut Fields) -> Read<Vec<McpConfig>> {
    let path = fields.path("mcp");
    let servers = match fields.take("mcp") {
        Some(Value::Array(servers)) => servers,
        Some(server) => vec![server],
        None => Vec::new(),
    };
    let servers = servers.into_iter().enumerate();
    servers
        .map(|(n, value)| server(&format!("{path}[{n}]"), value))
        .collect()
}

fn server(path: &str, value: Value) -> Read<McpConfig> {
    let mut fields = Fields::of(path.to_owned(), value, &MCP)?;
    let command = fields.texts("command")?;
    let env = fields.texts("env")?;
    let directory = fields.text("directory")?;
    let url = fields.text("url")?;
    let headers_env = headers(&mut fields)?;
    let place = match url {
        None if command.is_empty() => {
            return Err(format!(
                "{path} names no server; add command = [\"program\", \"argument\"] or url = \"https://...\""
            ));
        }
        None if !headers_env.is_empty() => {
            return Err(format!("{path}.headers_env is of no use to a command"));
        }
        None => McpPlace::Command {
            command,
            env,
            directory: directory.map(Into::into),
        },
        Some(_) if !command.is_empty() => {
            return Err(format!("{path} has both command and url; keep one"));
        }
        Some(_) if !env.is_empty() || directory.is_some() => {
            return Err(format!(
                "{path} has a url, to which env and directory are of no use"
            ));
        }
        Some(url) => McpPlace::Url { url, headers_env },
    };
    Ok(McpConfig {
        place,
        prefix: fields.text("prefix")?,
        start_timeout: fields.duration("start_timeout")?,
        call_timeout: fields.duration("call_timeout")?,
    })
}

fn headers(fields: &mut Fields) -> Read<Vec<(String, String)>> {
    let path = fields.path("headers_env");
    let table = match fields.take("headers_env") {
        None => return Ok(Vec::new()),
        Some(Value::Table(table)) => table,
        Some(_) => return Err(format!("{path} is no table of headers")),
    };
    let headers = table.into_iter().map(|(name, value)| match value {
        Value::String(variable) => Ok((name, variable)),
        _ => Err(format!(
            "{path}.{name} is not the name of an environment variable"
        )),
    });
    headers.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::FileConfig;

    fn read(text: &str) -> AgentConfig {
        let mut file = FileConfig::parse(text).unwrap();
        file.agents.remove("a").unwrap()
    }

    #[test]
    fn everything_that_can_be_said_of_an_agent_is_read() {
        let agent = read(
            r#"
            [agents.a]
            name = "Ann"
            description = "An analyst."
            instructions = ["Be careful.", "Be quick."]
            model = ["openai/gpt-4o-mini", { name = "llama", base_url = "http://localhost:8000/v1", key_env = "KEY", max_retries = 2 }]
            max_steps = 8
            tool_concurrency = 4
            require_approval = true
            model_silence = "90s"
            strategy = "evented"
            inbox = true

            [agents.a.settings]
            temperature = 1
            top_p = 0.5
            stop_sequences = ["END"]
            seed = 7

            [[agents.a.mcp]]
            command = ["files", "/srv"]
            env = ["FILES_TOKEN"]
            prefix = "files_"
            call_timeout = "10s"

            [[agents.a.mcp]]
            url = "https://mcp.example.com/mcp"
            headers_env = { authorization = "MCP_AUTHORIZATION" }
            "#,
        );
        assert_eq!(agent.instructions, ["Be careful.", "Be quick."]);
        let shown: Vec<String> = agent.models.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["openai/gpt-4o-mini", "llama at http://localhost:8000/v1"]
        );
        assert_eq!(agent.models[1].key_env.as_deref(), Some("KEY"));
        assert_eq!(agent.models[1].max_retries, Some(2));
        assert_eq!(
            (agent.max_steps, agent.tool_concurrency),
            (Some(8), Some(4))
        );
        assert_eq!(agent.require_approval, Some(true));
        assert_eq!(agent.model_silence, Some(Duration::from_secs(90)));
        assert_eq!(agent.strategy, AgentStrategy::Evented);
        assert_eq!(agent.inbox, Some(true));
        let settings = &agent.settings;
        assert_eq!(
            (settings.temperature, settings.top_p),
            (Some(1.0), Some(0.5))
        );
        assert_eq!(
            (settings.seed, &settings.stop_sequences[..]),
            (Some(7), &["END".to_owned()][..])
        );
        let places: Vec<String> = agent.mcp.iter().map(|it| it.place.to_string()).collect();
        assert_eq!(places, ["files", "https://mcp.example.com/mcp"]);
        assert_eq!(agent.mcp[0].call_timeout, Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_agent_is_a_model() {
        let agent = read("agents.a.model = \"ollama/llama3\"");
        let model = ModelConfig {
            provider: Some("ollama".into()),
            name: "llama3".into(),
            ..ModelConfig::default()
        };
        let expected = AgentConfig {
            models: vec![model],
            ..AgentConfig::default()
        };
        assert_eq!(agent, expected);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let table: [(&str, &[&str]); 18] = [
            ("agents = 3", &["line 1"]),
            ("agents.a = 3", &["agents.a", "no table"]),
            (
                "[agents.a]\nname = \"x\"",
                &["agents.a.model", "openai/gpt-4o-mini"],
            ),
            (
                "[agents.a]\nmodel = \"gpt\"",
                &["agents.a.model", "provider/model"],
            ),
            ("[agents.a]\nmodel = 3", &["agents.a.model"]),
            (
                "[agents.a]\nmodel = \"o/x\"\nmax_step = 3",
                &["agents.a", "did you mean \"max_steps\"?"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nmax_steps = -1",
                &["agents.a.max_steps", "whole number"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nrequire_approval = \"yes\"",
                &["agents.a.require_approval", "true nor false"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nstrategy = \"inngest\"",
                &["agents.a.strategy", "\"evented\""],
            ),
            (
                "[agents.a]\nmodel = { nam = \"x\" }",
                &["agents.a.model", "did you mean \"name\"?"],
            ),
            (
                "[agents.a]\nmodel = { name = \"x\" }",
                &["agents.a.model.provider", "base_url"],
            ),
            (
                "[agents.a]\nmodel = { name = \"x\", provider = \"o\", key = \"hunter2\" }",
                &["agents.a.model", "\"key\"", "key_env"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nsettings = { temperatur = 1 }",
                &["agents.a.settings", "did you mean \"temperature\"?"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nmodel_silence = \"5\"",
                &["agents.a.model_silence", "250ms"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\n[[agents.a.mcp]]\nprefix = \"x\"",
                &["agents.a.mcp[0]", "command"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nmcp = [{ command = [\"x\", \"hunter2\"], url = \"http://h\" }]",
                &["agents.a.mcp[0]", "keep one"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nmcp = { url = \"http://h\", env = [\"A\"] }",
                &["agents.a.mcp[0]", "of no use"],
            ),
            (
                "[agents.a]\nmodel = \"o/x\"\nmcp = { url = \"http://h\", headers = { a = \"hunter2\" } }",
                &["\"headers\"", "headers_env"],
            ),
        ];
        for (text, parts) in table {
            let error = FileConfig::parse(text).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{text:?}: {error}");
            }
            assert!(
                !error.contains("hunter2") && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let agent = read(
            "[agents.a]\nmodel = \"o/x\"\nmcp = [{ command = [\"x\", \"--token=hunter2\"] }, { url = \"http://me:hunter2@h?key=hunter2\" }]",
        );
        assert!(!format!("{agent:?}").contains("hunter2"), "{agent:?}");
    }
}
