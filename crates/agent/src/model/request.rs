//! A request to a model.

use std::sync::Arc;

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::Prompt;
use crate::Data;

/// A request to a model.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The conversation.
    pub prompt: Prompt,
    /// The tools that it may call.
    pub tools: Arc<Vec<ToolDefinition>>,
    /// Whether it may, or must.
    pub tool_choice: ToolChoice,
    /// How it is to answer.
    pub settings: ModelSettings,
    /// What the answer is to look like.
    pub response_format: ResponseFormat,
    /// What only one provider understands: an object by provider.
    pub provider_options: Option<Data>,
    /// Whether to pass on what the provider sends, too.
    pub include_raw: bool,
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: Text,
    /// What it is for.
    pub description: Text,
    /// The JSON schema of its arguments.
    pub input_schema: Data,
}

/// Whether a model may call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ToolChoice {
    /// It decides.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It has to call one.
    Required,
    /// It has to call this one.
    Tool(Text),
}

/// How a model is to answer. What is not set is left to the provider.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelSettings {
    /// Tokens of the longest answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// How much is left to chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only the most likely tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Less of what was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Less of what was there often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Texts at which it stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<Text>,
    /// The same chance again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Attempts after the first, for a model that cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
}

/// What an answer is to look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// As the model likes.
    #[default]
    Text,
    /// JSON.
    Json {
        /// Its schema.
        schema: Option<Data>,
        /// What it is, for the model.
        name: Option<Text>,
        /// More about it, for the model.
        description: Option<Text>,
    },
}
