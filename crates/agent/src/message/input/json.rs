//! Messages in the forms in which clients send them.

use bowline_events::Text;
use bowline_events::codec::date;
use serde_json::value::RawValue;

use super::super::{Content, Extra, Message, Part, Role, ToolInvocation, ToolOutcome, settle};
use crate::{Data, Error, ErrorKind, Result};

/// The messages in `data`: a text, a message, or an array of both.
pub(super) fn messages(data: &Data) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    match serde_json::from_str::<Vec<&RawValue>>(data.as_str()) {
        Ok(elements) => {
            for (i, element) in elements.into_iter().enumerate() {
                message(&element.into(), &format!("message {i}"), &mut messages)?;
            }
        }
        Err(_) => message(data, "the message", &mut messages)?,
    }
    Ok(messages)
}

fn invalid(place: &str, problem: impl std::fmt::Display) -> Error {
    let message = format!(
        "{place}: {problem}; a message is a text or an object with role and content, or role and parts"
    );
    Error::new(ErrorKind::InvalidInput, "read messages", message)
}

/// Reads one message, and puts it behind `messages`, or what tools returned into them.
fn message(data: &Data, place: &str, messages: &mut Vec<Message>) -> Result<()> {
    if let Ok(text) = data.parse::<String>() {
        messages.push(Message::user(text));
        return Ok(());
    }
    let mut members =
        Extra::of(data).ok_or_else(|| invalid(place, "it is neither a text nor an object"))?;
    let role: Text = members
        .take("role")
        .ok_or_else(|| invalid(place, "it has no role"))?;
    if role == "tool" {
        return tool_results(&mut members, place, messages);
    }
    let role: Role = Data::from(serde_json::Value::from(role.as_str()))
        .parse()
        .map_err(|_| {
            let problem =
                format!("the role {role:?} is none of user, assistant, system, signal, tool");
            invalid(place, problem)
        })?;
    let mut message = Message::new(role, Vec::new());
    message.content = content(&mut members, place)?;
    take_names(&mut message, &mut members);
    // A user interface keeps them with what is its own.
    if let Some(mut kept) = message.content.metadata.as_ref().and_then(Extra::of) {
        take_names(&mut message, &mut kept);
        message.content.metadata = (!kept.is_empty()).then(|| kept.to_data());
    }
    if let Some(id) = members.take::<Text>("id").filter(|id| !id.is_empty()) {
        message.id = id;
    }
    message.kind = members.take("type");
    messages.push(message);
    Ok(())
}

/// Takes over when a message was said, and where.
fn take_names(message: &mut Message, members: &mut Extra) {
    let at = members.take::<Text>("createdAt");
    if let Some(at) = at.filter(|at| date::parse_iso(at).is_some()) {
        message.created_at = at;
    }
    if let Some(thread) = members.take("threadId") {
        message.thread_id = Some(thread);
    }
    if let Some(resource) = members.take("resourceId") {
        message.resource_id = Some(resource);
    }
}

/// What a message says, whichever form it has.
fn content(members: &mut Extra, place: &str) -> Result<Content> {
    let content = members.remove("content");
    if let Some(data) = &content
        && Extra::of(data).is_some_and(|it| it.get("format").is_some())
    {
        return data.parse().map_err(|error| invalid(place, error));
    }
    let text: Option<String> = content.as_ref().and_then(|data| data.parse().ok());
    let parts = members.remove("parts");
    let parts = match (parts, content, &text) {
        (Some(parts), _, _) => read_parts(&parts, place)?,
        (None, Some(_), Some(text)) => vec![Part::text(text.clone())],
        (None, Some(content), None) => read_parts(&content, place)?,
        (None, None, _) => return Err(invalid(place, "it has neither content nor parts")),
    };
    let mut content = Content::new(parts);
    content.content = text;
    content.metadata = members.remove("metadata");
    let options = members.remove("providerOptions");
    content.provider_metadata = options.or_else(|| members.remove("providerMetadata"));
    Ok(content)
}

fn read_parts(data: &Data, place: &str) -> Result<Vec<Part>> {
    let raw: Vec<&RawValue> = serde_json::from_str(data.as_str())
        .map_err(|error| invalid(place, format!("its parts are no array: {error}")))?;
    let mut parts: Vec<Part> = Vec::with_capacity(raw.len());
    for (i, raw) in raw.into_iter().enumerate() {
        let data = Data::from(raw);
        let mut members = Extra::of(&data)
            .filter(|members| members.get("type").is_some())
            .ok_or_else(|| invalid(place, format!("part {i} is no object with a type")))?;
        if let Some((id, outcome)) = tool_result(&data) {
            if !settle(&mut parts, &id, &outcome) {
                parts.push(orphan(&mut members, id, &outcome));
            }
        } else {
            parts.push(part(data, members));
        }
    }
    Ok(parts)
}

/// A part of a message, whichever form it has. What is not known stays as it is.
fn part(data: Data, mut members: Extra) -> Part {
    // It fails for nothing: what is not known is `Other`.
    let stored: Part = data.parse().unwrap_or(Part::Other(data));
    let Part::Other(data) = stored else {
        return with_options(stored);
    };
    let kind: Text = members.take("type").unwrap_or_default();
    let known = match kind.as_str() {
        "reasoning" => reasoning(members),
        "image" | "file" => file(members),
        "tool-call" => tool_call(members),
        "dynamic-tool" => {
            let name = members.take("toolName");
            name.and_then(|name| ui_tool(members, name))
        }
        // The parts of a model that are about tools and have a name of their own.
        "tool-approval-request" | "tool-approval-response" => None,
        kind => match kind.strip_prefix("tool-") {
            Some(name) if !name.is_empty() => ui_tool(members, name.to_owned().into()),
            _ => None,
        },
    };
    known.unwrap_or(Part::Other(data))
}

/// What a model calls options is metadata where it is stored.
fn with_options(mut part: Part) -> Part {
    if let Part::Text {
        metadata, extra, ..
    }
    | Part::Reasoning {
        metadata, extra, ..
    } = &mut part
        && metadata.is_none()
    {
        *metadata = extra.remove("providerOptions");
    }
    part
}

fn reasoning(mut members: Extra) -> Option<Part> {
    Some(Part::Reasoning {
        text: members.take("text")?,
        metadata: options(&mut members),
        extra: Extra::default(),
    })
}

fn options(members: &mut Extra) -> Option<Data> {
    let metadata = members.remove("providerMetadata");
    let metadata = metadata.or_else(|| members.remove("callProviderMetadata"));
    metadata.or_else(|| members.remove("providerOptions"))
}

/// A file or an image: its content or its URL has one of three names, as has its media type one of two.
fn file(mut members: Extra) -> Option<Part> {
    let mut first = |names: &[&str]| names.iter().find_map(|name| members.take::<Text>(name));
    let data = first(&["data", "url", "image"])?;
    let media_type = first(&["mediaType", "mimeType"]);
    let mut part = Part::file(data, media_type.unwrap_or_else(|| "image/jpeg".into()));
    if let Part::File {
        filename, extra, ..
    } = &mut part
    {
        *filename = members.take("filename");
        if let Some(metadata) = options(&mut members) {
            extra.insert("providerMetadata", metadata);
        }
    }
    Some(part)
}

/// A call as a model makes it.
fn tool_call(mut members: Extra) -> Option<Part> {
    let id: Text = members.take("toolCallId")?;
    let name: Text = members.take("toolName")?;
    let args = members.remove("input").or_else(|| members.remove("args"));
    let invocation = ToolInvocation::new(id, name, args.unwrap_or_else(Data::object));
    Some(tool(invocation, members))
}

/// A call as a user interface keeps it.
fn ui_tool(mut members: Extra, name: Text) -> Option<Part> {
    let id: Text = members.take("toolCallId")?;
    let state: Text = members.take("state")?;
    let args = members.remove("input").unwrap_or_else(Data::object);
    let mut invocation = ToolInvocation::new(id, name, args);
    match state.as_str() {
        "output-available" => {
            let output = members.remove("output").unwrap_or_default();
            invocation.settle(&ToolOutcome::Result(output));
        }
        "output-error" => {
            invocation.settle(&ToolOutcome::Error {
                name: "Error".into(),
                message: members.take("errorText").unwrap_or_default(),
            });
        }
        "output-denied" => {
            let mut approval: Extra = members.take("approval").unwrap_or_default();
            let reason = approval.take("reason");
            invocation.settle(&ToolOutcome::Denied { reason });
        }
        _ => {}
    }
    Some(tool(invocation, members))
}

fn tool(invocation: ToolInvocation, mut members: Extra) -> Part {
    Part::Tool {
        invocation,
        provider_executed: members.take("providerExecuted").unwrap_or_default(),
        metadata: options(&mut members),
        extra: Extra::default(),
    }
}

/// The call of a tool of which only the result was sent.
fn orphan(members: &mut Extra, id: Text, outcome: &ToolOutcome) -> Part {
    let name: Text = members.take("toolName").unwrap_or_default();
    let mut part = Part::tool(id, name, Data::object());
    if let Part::Tool { invocation, .. } = &mut part {
        invocation.settle(outcome);
    }
    part
}

/// What a tool returned, as a model gets it: `output` says what kind of thing it is, `result` does not.
fn tool_result(part: &Data) -> Option<(Text, ToolOutcome)> {
    let mut members = Extra::of(part)?;
    let kind: Text = members.take("type")?;
    if kind != "tool-result" {
        return None;
    }
    let id: Text = members.take("toolCallId")?;
    let failed = members.take("isError").unwrap_or(false);
    let output = members.remove("output");
    let typed = output.as_ref().and_then(Extra::of).and_then(|mut output| {
        let kind: Text = output.take("type")?;
        Some((kind, output))
    });
    let (value, failed) = match typed {
        Some((kind, mut output)) if kind == "execution-denied" => {
            let reason = output.take("reason");
            return Some((id, ToolOutcome::Denied { reason }));
        }
        Some((kind, mut output)) if output.get("value").is_some() => {
            (output.remove("value"), failed || kind.starts_with("error-"))
        }
        _ => (output.or_else(|| members.remove("result")), failed),
    };
    let value = value.unwrap_or_default();
    let outcome = if failed {
        let message = value.parse().unwrap_or_else(|_| value.to_string());
        let name = "Error".into();
        ToolOutcome::Error { name, message }
    } else {
        ToolOutcome::Result(value)
    };
    Some((id, outcome))
}

/// Puts what tools returned into the calls of earlier messages; without such a call it is an answer of its own.
fn tool_results(members: &mut Extra, place: &str, messages: &mut Vec<Message>) -> Result<()> {
    let content = members.remove("content");
    let content = content.ok_or_else(|| invalid(place, "it has no content"))?;
    let mut orphans = Vec::new();
    for part in read_parts(&content, place)? {
        let Some((invocation, outcome)) =
            part.invocation().and_then(|it| Some((it, it.outcome()?)))
        else {
            continue;
        };
        let id = &invocation.tool_call_id;
        let mut earlier = messages.iter_mut().rev();
        if !earlier.any(|message| settle(&mut message.content.parts, id, &outcome)) {
            orphans.push(part);
        }
    }
    if !orphans.is_empty() {
        messages.push(Message::assistant(orphans));
    }
    Ok(())
}
