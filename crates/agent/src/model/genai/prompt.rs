//! Conversations as the adapter takes them.

use std::collections::HashSet;

use ::genai::adapter::AdapterKind;
use ::genai::chat::{
    Binary, ChatMessage, ChatRole, ContentPart, CustomPart, MessageContent, ToolCall, ToolResponse,
};
use bowline_events::Text;
use serde_json::{Map, Value, json};

use crate::Data;
use crate::model::{Prompt, PromptContent, PromptMessage, ToolOutput};

/// For whom the conversation is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    /// Under which name what only the provider knows is kept.
    pub(super) namespace: &'a str,
    /// Whether the provider takes reasoning back that it has not signed.
    pub(super) takes_unsigned: bool,
}

impl Reader<'_> {
    pub(super) fn messages(&self, prompt: Prompt) -> Vec<ChatMessage> {
        let mut messages = Vec::with_capacity(prompt.len());
        // What the provider executed itself is not repeated to it.
        let mut executed = HashSet::new();
        for message in prompt {
            let (role, parts) = match message {
                PromptMessage::System(text) => (ChatRole::System, vec![ContentPart::Text(text)]),
                PromptMessage::User(parts) => (ChatRole::User, self.said(parts, &mut executed)),
                PromptMessage::Assistant(parts) => {
                    (ChatRole::Assistant, self.said(parts, &mut executed))
                }
                PromptMessage::Tool(outputs) => {
                    let own = outputs
                        .iter()
                        .filter(|output| !executed.contains(&output.id));
                    (ChatRole::Tool, own.map(returned).collect())
                }
            };
            // Providers refuse messages that say nothing.
            if !parts.is_empty() {
                messages.push(ChatMessage::new(role, MessageContent::from_parts(parts)));
            }
        }
        messages
    }

    fn said(&self, parts: Vec<PromptContent>, executed: &mut HashSet<Text>) -> Vec<ContentPart> {
        let mut said = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                PromptContent::Text { text, .. } => said.push(ContentPart::Text(text)),
                PromptContent::Reasoning { text, metadata } => {
                    self.thought(text, metadata.as_ref(), &mut said);
                }
                PromptContent::File {
                    data,
                    media_type,
                    filename,
                } => said.push(ContentPart::Binary(file(
                    &data,
                    &media_type,
                    filename.as_ref(),
                ))),
                PromptContent::ToolCall {
                    id,
                    provider_executed: true,
                    ..
                } => {
                    executed.insert(id);
                }
                PromptContent::ToolCall {
                    id,
                    name,
                    args,
                    metadata,
                    ..
                } => said.push(ContentPart::ToolCall(ToolCall {
                    call_id: id.to_string(),
                    fn_name: name.to_string(),
                    fn_arguments: arguments(&args),
                    thought_signatures: metadata.and_then(|own| self.signatures(&own)),
                })),
            }
        }
        said
    }

    /// Reasoning goes back to whom it came from, as it was.
    fn thought(&self, text: String, metadata: Option<&Data>, said: &mut Vec<ContentPart>) {
        let Some(metadata) = metadata else {
            if self.takes_unsigned && !text.is_empty() {
                said.push(ContentPart::ReasoningContent(text));
            }
            return;
        };
        let Some(mut own) = self.own(metadata) else {
            return;
        };
        if let Some(data) = own.remove("block") {
            let model_iden = None;
            said.push(ContentPart::Custom(CustomPart { model_iden, data }));
        } else if let Some(Value::String(signature)) = own.remove("signature") {
            said.push(ContentPart::ThoughtSignature(signature));
            said.push(ContentPart::ReasoningContent(text));
        }
    }

    fn signatures(&self, metadata: &Data) -> Option<Vec<String>> {
        match self.own(metadata)?.remove("thoughtSignature")? {
            Value::String(signature) => Some(vec![signature]),
            Value::Array(signatures) => {
                let texts = signatures.into_iter().map(|text| match text {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                texts.collect()
            }
            _ => None,
        }
    }

    /// What only this provider knows.
    fn own(&self, metadata: &Data) -> Option<Map<String, Value>> {
        let mut all: Map<String, Value> = metadata.parse().ok()?;
        match all.remove(self.namespace)? {
            Value::Object(own) => Some(own),
            _ => None,
        }
    }
}

/// What a signature or block of this provider is kept as.
pub(super) fn kept(namespace: &str, name: &str, value: &Value) -> Data {
    Data::from(json!({ namespace: { name: value } }))
}

/// Whether providers of this kind take reasoning back that nobody has signed. Some need it, and some refuse it.
pub(super) fn takes_unsigned(kind: AdapterKind, own_address: bool) -> bool {
    match kind {
        AdapterKind::OpenAI => !own_address,
        AdapterKind::OpenAIResp
        | AdapterKind::Anthropic
        | AdapterKind::Gemini
        | AdapterKind::GeminiIx
        | AdapterKind::Vertex
        | AdapterKind::Groq
        | AdapterKind::Xai
        | AdapterKind::Cohere => false,
        _ => true,
    }
}

/// Providers insist on an object, and what a model wrote may be none.
fn arguments(args: &Data) -> Value {
    match args.parse::<Value>() {
        Ok(value @ Value::Object(_)) => value,
        Ok(Value::Null) | Err(_) => json!({}),
        Ok(other) => json!({ "arguments": other }),
    }
}

fn returned(output: &ToolOutput) -> ContentPart {
    let text = output.result.parse::<String>();
    let text = text.unwrap_or_else(|_| output.result.to_string());
    let response = ToolResponse::new(output.id.as_str(), text);
    ContentPart::ToolResponse(response.with_fn_name(output.name.as_str()))
}

fn file(data: &str, media_type: &str, name: Option<&Text>) -> Binary {
    let name = name.map(Text::to_string);
    if data.starts_with("http://") || data.starts_with("https://") {
        return Binary::from_url(media_type, data, name);
    }
    let inline = data.strip_prefix("data:");
    let content = inline
        .and_then(|inline| inline.split_once(','))
        .map(|(_, content)| content);
    Binary::from_base64(media_type, content.unwrap_or(data), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: Reader<'_> = Reader {
        namespace: "anthropic",
        takes_unsigned: false,
    };

    fn thought(metadata: Option<Value>) -> PromptContent {
        PromptContent::Reasoning {
            text: "Hm.".into(),
            metadata: metadata.map(Data::from),
        }
    }

    #[test]
    fn reasoning_goes_back_to_whom_it_came_from() {
        let signed = thought(Some(json!({"anthropic": {"signature": "abc"}})));
        let hidden = thought(Some(
            json!({"anthropic": {"block": {"type": "redacted_thinking"}}}),
        ));
        let foreign = thought(Some(json!({"google": {"signature": "abc"}})));
        let unsigned = thought(None);
        let all = vec![PromptMessage::Assistant(vec![
            signed, hidden, foreign, unsigned,
        ])];
        let messages = READER.messages(all.clone());
        let parts = messages[0].content.parts();
        assert_eq!(parts[0].as_thought_signature(), Some("abc"));
        assert_eq!(parts[1].as_reasoning_content(), Some("Hm."));
        assert_eq!(
            parts[2].as_custom().unwrap().typ(),
            Some("redacted_thinking")
        );
        assert_eq!(parts.len(), 3);
        let other = Reader {
            namespace: "deepseek",
            takes_unsigned: true,
        };
        let messages = other.messages(all);
        let parts = messages[0].content.parts();
        assert_eq!(parts[0].as_reasoning_content(), Some("Hm."));
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn what_the_provider_executed_is_not_repeated() {
        let call = |id: &'static str, provider_executed| PromptContent::ToolCall {
            id: id.into(),
            name: "search".into(),
            args: Data::from(json!("broken {")),
            provider_executed,
            metadata: None,
        };
        let output = |id: &'static str| ToolOutput {
            id: id.into(),
            name: "search".into(),
            result: Data::from(json!("found")),
            is_error: false,
        };
        let messages = READER.messages(vec![
            PromptMessage::Assistant(vec![call("a", true), call("b", false)]),
            PromptMessage::Tool(vec![output("a"), output("b")]),
            PromptMessage::Assistant(vec![call("c", true)]),
        ]);
        assert_eq!(messages.len(), 2);
        let calls = messages[0].content.tool_calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].fn_arguments, json!({"arguments": "broken {"}));
        let response = messages[1].content.parts()[0].as_tool_response().unwrap();
        assert_eq!(
            (response.call_id.as_str(), response.content.as_str()),
            ("b", "found")
        );
    }

    #[test]
    fn files_are_addresses_or_content() {
        for (data, url) in [
            ("https://a/b.png", "https://a/b.png"),
            ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
            ("AAAA", "data:image/png;base64,AAAA"),
        ] {
            assert_eq!(file(data, "image/png", None).into_url(), url);
        }
    }
}
