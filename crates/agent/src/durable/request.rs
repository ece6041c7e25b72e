//! What a model is asked.

use std::sync::Arc;

use super::processing;
use super::transcript::Transcript;
use crate::message::prompt;
use crate::model::{ChatRequest, ModelSettings, ToolDefinition};
use crate::processor::StepInput;
use crate::{Agent, Message};

/// What the processors of `agent` are shown before its model is asked, after everything that has happened; `said`: what was said
/// to the run just now.
pub(crate) fn step(
    agent: &Agent,
    transcript: &Transcript,
    said: &[Message],
    round: u32,
) -> StepInput {
    let run = &transcript.run;
    let options = &run.options;
    let mut messages = transcript.messages();
    messages.extend(said.iter().cloned());
    let context = processing::context(agent, run);
    let mut step = StepInput::new(context, round - 1, messages);
    step.system = match &options.instructions {
        Some(instructions) => vec![instructions.clone()],
        None => agent.0.instructions.clone(),
    };
    step.system.extend(options.system.iter().cloned());
    step.active_tools.clone_from(&options.active_tools);
    step.tool_choice = options.tool_choice.clone().unwrap_or_default();
    step.settings = match &options.settings {
        Some(settings) => over(settings, &agent.0.settings),
        None => agent.0.settings.clone(),
    };
    step.provider_options = options
        .provider_options
        .clone()
        .or_else(|| agent.0.provider_options.clone());
    step
}

/// What the model of `agent` is asked, after the processors have looked at it.
pub(crate) fn of(agent: &Agent, transcript: &Transcript, step: StepInput) -> ChatRequest {
    let options = &transcript.run.options;
    let is_active = |tool: &&ToolDefinition| {
        let active = step.active_tools.as_ref();
        active.is_none_or(|names| names.contains(&tool.name))
    };
    let tools = agent.tools().iter().map(crate::Tool::definition);
    let tools: Vec<ToolDefinition> = tools.filter(is_active).cloned().collect();
    let mut request = ChatRequest {
        prompt: prompt(&step.messages, &step.system),
        tools: Arc::new(tools),
        tool_choice: step.tool_choice,
        settings: step.settings,
        provider_options: step.provider_options,
        include_raw: options.include_raw,
        ..ChatRequest::default()
    };
    if let Some(structured) = &options.structured {
        structured.ask(&mut request);
    }
    request
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
