//! Messages and their pieces as they are stored.

use bowline_events::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::extra::Object;
use super::{Content, Extra, Message, Part, ToolInvocation};
use crate::Data;

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer)?;
        object.member("id", &self.id)?;
        object.member("role", &self.role)?;
        object.member("createdAt", &self.created_at)?;
        object.optional("threadId", &self.thread_id)?;
        object.optional("resourceId", &self.resource_id)?;
        object.optional("type", &self.kind)?;
        object.member("content", &self.content)?;
        object.end(&self.extra)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Extra::deserialize(deserializer)?;
        Ok(Self {
            id: members.required("id")?,
            role: members.required("role")?,
            created_at: members.required("createdAt")?,
            thread_id: members.take("threadId"),
            resource_id: members.take("resourceId"),
            kind: members.take("type"),
            content: members.required("content")?,
            extra: members,
        })
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer)?;
        object.member("format", &self.format)?;
        object.member("parts", &self.parts)?;
        object.optional("content", &self.content)?;
        object.optional("metadata", &self.metadata)?;
        object.optional("providerMetadata", &self.provider_metadata)?;
        object.end(&self.extra)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Extra::deserialize(deserializer)?;
        let parts = match members.get("parts") {
            Some(_) => members.required("parts")?,
            None => Vec::new(),
        };
        Ok(Self {
            format: members.required("format")?,
            parts,
            content: members.take("content"),
            metadata: members.remove("metadata"),
            provider_metadata: members.remove("providerMetadata"),
            extra: members,
        })
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Other(data) = self {
            return data.serialize(serializer);
        }
        let mut object = Object::new(serializer)?;
        match self {
            Self::Text {
                text,
                metadata,
                extra,
            } => {
                object.member("type", "text")?;
                object.member("text", text)?;
                object.optional("providerMetadata", metadata)?;
                object.end(extra)
            }
            Self::Reasoning {
                text,
                metadata,
                extra,
            } => {
                object.member("type", "reasoning")?;
                let (reasoning, details) = (extra.get("reasoning"), extra.get("details"));
                // Another form of the same text stays as it was; it must not outlive a change of the text.
                if (reasoning, details) == (None, None)
                    || reasoning_text(reasoning, details).as_deref() != Some(text)
                {
                    object.member("reasoning", "")?;
                    object.member("details", &[Detail::Text { text }])?;
                }
                object.optional("providerMetadata", metadata)?;
                object.end(extra)
            }
            Self::File {
                data,
                media_type,
                filename,
                extra,
            } => {
                object.member("type", "file")?;
                object.member("data", data)?;
                object.member("mimeType", media_type)?;
                object.optional("filename", filename)?;
                object.end(extra)
            }
            Self::Tool {
                invocation,
                provider_executed,
                metadata,
                extra,
            } => {
                object.member("type", "tool-invocation")?;
                object.member("toolInvocation", invocation)?;
                object.optional("providerMetadata", metadata)?;
                if *provider_executed {
                    object.member("providerExecuted", &true)?;
                }
                object.end(extra)
            }
            Self::Other(_) => object.end(&Extra::default()),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Data::deserialize(deserializer)?;
        Ok(known(&data).unwrap_or(Self::Other(data)))
    }
}

/// The piece that `data` is, if it is one that this version knows.
fn known(data: &Data) -> Option<Part> {
    let mut members = Extra::of(data)?;
    let kind: Text = members.take("type")?;
    Some(match kind.as_str() {
        "text" => Part::Text {
            text: members.take("text")?,
            metadata: members.remove("providerMetadata"),
            extra: members,
        },
        "reasoning" => {
            let text = reasoning_text(members.get("reasoning"), members.get("details"))?;
            if is_canonical(&members) {
                members.remove("reasoning");
                members.remove("details");
            }
            Part::Reasoning {
                text,
                metadata: members.remove("providerMetadata"),
                extra: members,
            }
        }
        "file" => Part::File {
            data: members.take("data")?,
            media_type: members.take("mimeType")?,
            filename: members.take("filename"),
            extra: members,
        },
        "tool-invocation" => Part::Tool {
            invocation: members.take("toolInvocation")?,
            provider_executed: takes_true(&mut members, "providerExecuted"),
            metadata: members.remove("providerMetadata"),
            extra: members,
        },
        _ => return None,
    })
}

/// Takes the member `name` out if it is `true`.
fn takes_true(members: &mut Extra, name: &str) -> bool {
    let is = members
        .get(name)
        .is_some_and(|data| data.as_str() == "true");
    if is {
        members.remove(name);
    }
    is
}

/// A piece of a reasoning.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Detail<T> {
    Text {
        text: T,
    },
    #[serde(other)]
    Other,
}

/// What was thought: the member `reasoning`, or the texts in `details`. `None` when there is neither.
fn reasoning_text(reasoning: Option<&Data>, details: Option<&Data>) -> Option<String> {
    let whole: Option<String> = reasoning.and_then(|data| data.parse().ok());
    if let Some(whole) = whole.as_ref().filter(|whole| !whole.is_empty()) {
        return Some(whole.clone());
    }
    let details: Option<Vec<Detail<String>>> = details.and_then(|data| data.parse().ok());
    let Some(details) = details else {
        return whole;
    };
    let texts = details.into_iter().filter_map(|detail| match detail {
        Detail::Text { text } => Some(text),
        Detail::Other => None,
    });
    Some(texts.collect())
}

/// Whether a reasoning has the form that is written here, so that it needs no keeping.
fn is_canonical(members: &Extra) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Only {
        #[serde(rename = "type")]
        kind: Text,
        #[serde(rename = "text")]
        _text: String,
    }
    let empty = members
        .get("reasoning")
        .is_some_and(|data| data.as_str() == "\"\"");
    let details = members.get("details").and_then(|data| data.parse().ok());
    empty && details.is_some_and(|[only]: [Only; 1]| only.kind == "text")
}

impl Serialize for ToolInvocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer)?;
        object.member("state", &self.state)?;
        object.member("toolCallId", &self.tool_call_id)?;
        object.member("toolName", &self.tool_name)?;
        object.member("args", &self.args)?;
        object.optional("result", &self.result)?;
        object.optional("errorText", &self.error_text)?;
        object.optional("approval", &self.approval)?;
        object.end(&self.extra)
    }
}

impl<'de> Deserialize<'de> for ToolInvocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Extra::deserialize(deserializer)?;
        Ok(Self {
            state: members.required("state")?,
            tool_call_id: members.required("toolCallId")?,
            tool_name: members.required("toolName")?,
            args: members.remove("args").unwrap_or_else(Data::object),
            result: members.remove("result"),
            error_text: members.take("errorText"),
            approval: members.take("approval"),
            extra: members,
        })
    }
}
