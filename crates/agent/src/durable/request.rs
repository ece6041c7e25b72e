//! What a model is asked.

use std::sync::Arc;

use bowline_workflow::StepError;

use super::transcript::Transcript;
use crate::message::prompt;
use crate::model::{ChatRequest, ModelSettings, ResponseFormat, ToolDefinition};
use crate::{Agent, Message};

/// What the model of `agent` is asked, after everything that has happened; `said`: what was said to the run just now.
pub(crate) fn of(
    agent: &Agent,
    transcript: &Transcript,
    said: &[Message],
) -> Result<ChatRequest, StepError> {
    let options = &transcript.run.options;
    let mut system: Vec<String> = match &options.instructions {
        Some(instructions) => vec![instructions.clone()],
        None => agent.0.instructions.clone(),
    };
    system.extend(options.system.iter().cloned());
    let mut messages = transcript.messages();
    messages.extend(said.iter().cloned());
    let tools = agent.tools().iter().map(crate::Tool::definition);
    let tools: Vec<ToolDefinition> = tools
        .filter(|tool| transcript.run.is_active(&tool.name))
        .cloned()
        .collect();
    let mut request = ChatRequest::default();
    request.prompt = prompt(&messages, &system);
    request.tools = Arc::new(tools);
    request.tool_choice = options.tool_choice.clone().unwrap_or_default();
    request.settings = match &options.settings {
        Some(settings) => over(settings, &agent.0.settings),
        None => agent.0.settings.clone(),
    };
    request.provider_options = options
        .provider_options
        .clone()
        .or_else(|| agent.0.provider_options.clone());
    request.include_raw = options.include_raw;
    if let Some(schema) = &options.output_schema {
        request.response_format = ResponseFormat::Json {
            schema: Some(schema.clone()),
            name: None,
            description: None,
        };
    }
    Ok(request)
}

/// What is set in `first`, and the rest as in `second`.
fn over(first: &ModelSettings, second: &ModelSettings) -> ModelSettings {
    let stop_sequences = match first.stop_sequences.is_empty() {
        true => second.stop_sequences.clone(),
        false => first.stop_sequences.clone(),
    };
    ModelSettings {
        max_output_tokens: first.max_output_tokens.or(second.max_output_tokens),
        temperature: first.temperature.or(second.temperature),
        top_p: first.top_p.or(second.top_p),
        top_k: first.top_k.or(second.top_k),
        presence_penalty: first.presence_penalty.or(second.presence_penalty),
        frequency_penalty: first.frequency_penalty.or(second.frequency_penalty),
        stop_sequences,
        seed: first.seed.or(second.seed),
        max_retries: first.max_retries.or(second.max_retries),
    }
}
