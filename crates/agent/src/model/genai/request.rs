//! Requests as the adapter takes them.

use std::sync::Arc;
use std::time::Duration;

use ::genai::Headers;
use ::genai::adapter::AdapterKind;
use ::genai::chat::{
    ChatOptions, ChatRequest as GenaiRequest, ChatResponseFormat, JsonSpec, Tool as GenaiTool,
    ToolChoice as GenaiChoice,
};
use serde_json::{Map, Value};

use super::prompt::Reader;
use super::tap::Tap;
use crate::Data;
use crate::model::{ChatRequest, ModelSettings, ResponseFormat, ToolChoice, ToolDefinition};

/// What a request is turned with.
pub(super) struct Turn<'a> {
    pub(super) kind: AdapterKind,
    pub(super) reader: Reader<'a>,
    pub(super) provider: &'a str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) patience: Duration,
    pub(super) tap: Arc<Tap>,
}

impl Turn<'_> {
    /// The request and its options; or what is wrong with it.
    pub(super) fn turn(self, request: ChatRequest) -> Result<(GenaiRequest, ChatOptions), String> {
        let extra = self.extra_body(&request)?;
        let mut options = ChatOptions::default()
            .with_capture_usage(true)
            .with_capture_reasoning_content(true)
            .with_capture_tool_calls(true)
            .with_stream_header_timeout(self.patience)
            .with_stream_read_timeout(self.patience)
            .with_raw_frame_sink_arc(self.tap);
        if !extra.is_empty() {
            options = options.with_extra_body(Value::Object(extra));
        }
        if !self.headers.is_empty() {
            options = options.with_extra_headers(Headers::from(self.headers));
        }
        if let Some(format) = format(&request.response_format)? {
            options = options.with_response_format(format);
        }
        options = settings(options, &request.settings);
        let mut turned = GenaiRequest::new(self.reader.messages(request.prompt));
        if !request.tools.is_empty() {
            let tools = request
                .tools
                .iter()
                .map(tool)
                .collect::<Result<Vec<_>, _>>()?;
            turned = turned.with_tools(tools);
            if let Some(choice) = choice(&request.tool_choice) {
                options = options.with_tool_choice(choice);
            }
        }
        Ok((turned, options))
    }

    /// What the options of the adapter have no place for.
    fn extra_body(&self, request: &ChatRequest) -> Result<Map<String, Value>, String> {
        let mut extra = Map::new();
        let settings = &request.settings;
        let google = matches!(
            self.kind,
            AdapterKind::Gemini | AdapterKind::GeminiIx | AdapterKind::Vertex
        );
        if !google {
            if let Some(top_k) = settings.top_k {
                extra.insert("top_k".into(), top_k.into());
            }
            if self.kind != AdapterKind::Anthropic {
                let penalties = [
                    ("presence_penalty", settings.presence_penalty),
                    ("frequency_penalty", settings.frequency_penalty),
                ];
                for (name, penalty) in penalties {
                    if let Some(penalty) = penalty {
                        extra.insert(name.into(), penalty.into());
                    }
                }
            }
        }
        if let Some(options) = &request.provider_options {
            let refused = "the provider options are no object with an object for each provider";
            let mut all: Map<String, Value> = options.parse().map_err(|_| refused.to_owned())?;
            for name in [self.reader.namespace, self.provider] {
                match all.remove(name) {
                    Some(Value::Object(own)) => extra.extend(own),
                    Some(_) => return Err(refused.to_owned()),
                    None => {}
                }
            }
        }
        Ok(extra)
    }
}

fn settings(mut options: ChatOptions, settings: &ModelSettings) -> ChatOptions {
    options.temperature = settings.temperature;
    options.max_tokens = settings.max_output_tokens;
    options.top_p = settings.top_p;
    options.seed = settings.seed;
    let stops = settings.stop_sequences.iter();
    options.stop_sequences = stops.map(ToString::to_string).collect();
    options
}

fn format(format: &ResponseFormat) -> Result<Option<ChatResponseFormat>, String> {
    Ok(match format {
        ResponseFormat::Text => None,
        ResponseFormat::Json { schema: None, .. } => Some(ChatResponseFormat::JsonMode),
        ResponseFormat::Json {
            schema: Some(schema),
            name,
            description,
        } => {
            let name = name.as_deref().unwrap_or("response");
            let mut spec = JsonSpec::new(name, value("the schema of the answer", schema)?);
            if let Some(description) = description {
                spec = spec.with_description(description.as_str());
            }
            Some(ChatResponseFormat::JsonSpec(spec))
        }
    })
}

fn tool(tool: &ToolDefinition) -> Result<GenaiTool, String> {
    let schema = value("the schema of a tool", &tool.input_schema)?;
    let mut turned = GenaiTool::new(tool.name.to_string()).with_schema(schema);
    if !tool.description.is_empty() {
        turned = turned.with_description(tool.description.as_str());
    }
    Ok(turned)
}

fn value(what: &str, data: &Data) -> Result<Value, String> {
    data.parse()
        .map_err(|error| format!("{what} is no JSON: {error}"))
}

fn choice(choice: &ToolChoice) -> Option<GenaiChoice> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(GenaiChoice::None),
        ToolChoice::Required => Some(GenaiChoice::Required),
        ToolChoice::Tool(name) => Some(GenaiChoice::tool(name.as_str())),
    }
}
