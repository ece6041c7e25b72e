//! What chunks and events of a run have in common: failures, and the records of tool calls.

use bowline_events::Text;
use serde::{Deserialize, Deserializer};

use super::json::Writer;
use crate::Data;
use crate::message::Approval;
use crate::model::Usage;

/// An error as it is told to readers. A text alone is read as the message of an `Error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// By which programs tell failures apart.
    pub name: Text,
    /// What people read.
    pub message: String,
    /// Where it happened, if the producer says so; this crate never does.
    pub stack: Option<String>,
}

impl Failure {
    /// A failure.
    pub fn new(name: impl Into<Text>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            stack: None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Object {
            name: Option<Text>,
            message: Option<Data>,
            stack: Option<String>,
        }
        let data = Data::deserialize(deserializer)?;
        if let Ok(message) = data.parse::<String>() {
            return Ok(Self::new("Error", message));
        }
        // Programs throw anything; what is not an error shows its JSON.
        let object: Object = data.parse().unwrap_or_default();
        let message = match object.message {
            Some(message) => message.parse().unwrap_or_else(|_| message.to_string()),
            None => data.to_string(),
        };
        Ok(Self {
            name: object.name.unwrap_or_else(|| "Error".into()),
            message,
            stack: object.stack,
        })
    }
}

/// A tool call, or what came of it, as it is listed when an iteration or the run ends.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolRecord {
    /// The id of the call.
    pub tool_call_id: Text,
    /// The name of the tool.
    #[serde(default)]
    pub tool_name: Text,
    /// The arguments.
    #[serde(default)]
    pub args: Data,
    /// What only the provider knows.
    #[serde(default)]
    pub provider_metadata: Option<Data>,
    /// Whether the provider executed it.
    #[serde(default)]
    pub provider_executed: Option<bool>,
    /// What the provider returned for it.
    #[serde(default, deserialize_with = "present")]
    pub output: Option<Data>,
    /// The only tools that the model was allowed to call; `None`: all.
    #[serde(default)]
    pub active_tools: Option<Vec<Text>>,
    /// What it returned; `None` for a call, a failure, a refusal, and a tool that returned nothing.
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Data>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Whether somebody approved it.
    #[serde(default)]
    pub approval: Option<Approval>,
}

impl ToolRecord {
    /// A call of the tool `name` under `id`.
    pub fn new(id: impl Into<Text>, name: impl Into<Text>, args: Data) -> Self {
        Self {
            tool_call_id: id.into(),
            tool_name: name.into(),
            args,
            ..Self::default()
        }
    }

    /// The record as JSON, for those who store it.
    pub fn to_data(&self) -> Data {
        let mut json = Writer::object();
        self.write(&mut json);
        let text = String::from_utf8(json.end()).unwrap_or_default();
        // Everything in it was escaped, or was JSON already.
        Data::from_json(text).unwrap_or_default()
    }

    pub(crate) fn write(&self, json: &mut Writer) {
        json.text("toolCallId", &self.tool_call_id)
            .text("toolName", &self.tool_name)
            .data("args", &self.args)
            .some_data("providerMetadata", self.provider_metadata.as_ref());
        if let Some(executed) = self.provider_executed {
            json.bool("providerExecuted", executed);
        }
        json.some_data("output", self.output.as_ref());
        match &self.active_tools {
            None => json.raw("activeTools", "null"),
            Some(names) => {
                let names: Vec<&str> = names.iter().map(Text::as_str).collect();
                json.data("activeTools", &Data::of(&names).unwrap_or_default())
            }
        };
        json.some_data("result", self.result.as_ref());
        if let Some(error) = &self.error {
            json.failure("error", error);
        }
        if let Some(approval) = &self.approval {
            write_approval(json, approval);
        }
    }
}

pub(crate) fn write_approval(json: &mut Writer, approval: &Approval) {
    json.nested("approval", |json| {
        json.text("id", &approval.id)
            .bool("approved", approval.approved)
            .some_text("reason", approval.reason.as_ref());
    });
}

/// Tells `null` from a member that is missing.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Data>, D::Error> {
    Data::deserialize(deserializer).map(Some)
}

/// Reads a usage of any producer: a count that is missing or no number counts for nothing.
pub(crate) fn usage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Usage, D::Error> {
    let data = Data::deserialize(deserializer)?;
    Ok(data.parse().unwrap_or_else(|_| lenient_usage(&data)))
}

pub(crate) fn some_usage<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Usage>, D::Error> {
    let usage = usage(deserializer)?;
    Ok(Some(usage).filter(|usage| *usage != Usage::default()))
}

fn lenient_usage(data: &Data) -> Usage {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Counts {
        input_tokens: Data,
        output_tokens: Data,
        total_tokens: Data,
        reasoning_tokens: Data,
        cached_input_tokens: Data,
        cache_creation_input_tokens: Data,
        raw: Option<Data>,
    }
    fn count(data: &Data) -> Option<u64> {
        data.parse().ok()
    }
    let counts: Counts = data.parse().unwrap_or_default();
    Usage {
        input_tokens: count(&counts.input_tokens).unwrap_or_default(),
        output_tokens: count(&counts.output_tokens).unwrap_or_default(),
        total_tokens: count(&counts.total_tokens).unwrap_or_default(),
        reasoning_tokens: count(&counts.reasoning_tokens),
        cached_input_tokens: count(&counts.cached_input_tokens),
        cache_creation_input_tokens: count(&counts.cache_creation_input_tokens),
        raw: counts.raw,
    }
}
