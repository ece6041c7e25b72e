//! Messages as a model gets them.

use std::collections::HashSet;

use bowline_events::Text;

use super::outcome::NOT_APPROVED;
use super::{Message, Part, Role, ToolInvocation, ToolOutcome};
use crate::Data;
use crate::model::{Prompt, PromptContent, PromptMessage, ToolOutput};
use crate::threads::Signal;

/// What a model gets of `messages`, after the texts of `system`.
///
/// Whatever the messages are, providers accept the prompt:
/// - System messages come first.
/// - Every call of a tool has exactly one output, in the message that follows. A call that is not over is left out, as is the
///   second one of an id. Its arguments are an object.
/// - No message and no text is empty, and no answer ends with a reasoning.
/// - Calls that the provider executed are left out, except those of the last message that it has not finished; they have no
///   output.
pub fn prompt(messages: &[Message], system: &[String]) -> Prompt {
    let mut prompt = Prompt::new();
    let systems = messages.iter().filter(|it| it.role == Role::System);
    let systems = system.iter().cloned().chain(systems.map(Message::text));
    prompt.extend(
        systems
            .filter(|text| !text.is_empty())
            .map(PromptMessage::System),
    );
    let mut seen = HashSet::new();
    for (i, message) in messages.iter().enumerate() {
        match message.role {
            Role::System => {}
            Role::User | Role::Signal => {
                // A signal is shown as what it is, not as something that a person says.
                let shown = Signal::of_message(message).map(|signal| signal.parts_for_model());
                let parts = shown.as_ref().unwrap_or(&message.content.parts);
                let contents: Vec<_> = parts.iter().filter_map(said).collect();
                if !contents.is_empty() {
                    prompt.push(PromptMessage::User(contents));
                }
            }
            Role::Assistant => {
                let mut answer = Answer {
                    prompt: &mut prompt,
                    contents: Vec::new(),
                    outputs: Vec::new(),
                };
                let is_last = i + 1 == messages.len();
                for part in &message.content.parts {
                    answer.take(part, is_last, &mut seen);
                }
                answer.flush();
            }
        }
    }
    prompt
}

/// A text or a file.
fn said(part: &Part) -> Option<PromptContent> {
    match part {
        Part::Text { text, metadata, .. } if !text.is_empty() => Some(PromptContent::Text {
            text: text.clone(),
            metadata: metadata.clone(),
        }),
        Part::File {
            data,
            media_type,
            filename,
            ..
        } => Some(PromptContent::File {
            data: data.clone(),
            media_type: media_type.clone(),
            filename: filename.clone(),
        }),
        _ => None,
    }
}

/// A message of the model, cut where outputs of tools have to follow.
struct Answer<'a> {
    prompt: &'a mut Prompt,
    contents: Vec<PromptContent>,
    outputs: Vec<ToolOutput>,
}

impl Answer<'_> {
    fn take<'m>(&mut self, part: &'m Part, is_last: bool, seen: &mut HashSet<&'m Text>) {
        let content = match part {
            Part::Tool {
                invocation,
                provider_executed,
                metadata,
                ..
            } => {
                let output = output(invocation);
                let goes = if *provider_executed {
                    is_last && output.is_none()
                } else {
                    output.is_some()
                };
                if goes
                    && !invocation.tool_call_id.is_empty()
                    && seen.insert(&invocation.tool_call_id)
                {
                    self.contents.push(PromptContent::ToolCall {
                        id: invocation.tool_call_id.clone(),
                        name: invocation.tool_name.clone(),
                        args: arguments(invocation),
                        provider_executed: *provider_executed,
                        metadata: metadata.clone(),
                    });
                    self.outputs.extend(output);
                }
                return;
            }
            Part::Reasoning { text, metadata, .. } => PromptContent::Reasoning {
                text: text.clone(),
                metadata: metadata.clone(),
            },
            part => match said(part) {
                Some(content) => content,
                None => {
                    if part.other_kind().is_some_and(|kind| kind == "step-start") {
                        self.step();
                    }
                    return;
                }
            },
        };
        self.step();
        self.contents.push(content);
    }

    /// What follows was said after the outputs of the calls so far.
    fn step(&mut self) {
        if !self.outputs.is_empty() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        while let Some(PromptContent::Reasoning { .. }) = self.contents.last() {
            self.contents.pop();
        }
        if !self.contents.is_empty() {
            let contents = std::mem::take(&mut self.contents);
            self.prompt.push(PromptMessage::Assistant(contents));
        }
        if !self.outputs.is_empty() {
            let outputs = std::mem::take(&mut self.outputs);
            self.prompt.push(PromptMessage::Tool(outputs));
        }
    }
}

fn arguments(invocation: &ToolInvocation) -> Data {
    let args = &invocation.args;
    if args.is_object() {
        args.clone()
    } else {
        Data::object()
    }
}

/// What the model reads of a call that is over.
fn output(invocation: &ToolInvocation) -> Option<ToolOutput> {
    let text = |text: &str| Data::from(serde_json::Value::from(text));
    let (result, is_error) = match invocation.outcome()? {
        ToolOutcome::Result(data) => (data, false),
        ToolOutcome::Error { message, .. } => (text(&message), true),
        ToolOutcome::Denied { reason } => (text(reason.as_deref().unwrap_or(NOT_APPROVED)), true),
        ToolOutcome::Pending => return None,
    };
    Some(ToolOutput {
        id: invocation.tool_call_id.clone(),
        name: invocation.tool_name.clone(),
        result,
        is_error,
    })
}
