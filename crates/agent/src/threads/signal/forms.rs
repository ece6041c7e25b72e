//! Signals as they are stored, and as the readers of a stream are shown them.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::{Contents, Signal, SignalKind};
use crate::durable::mailbox::Letter;
use crate::message::{Content, Extra, Message, Role};
use crate::{Data, Result};

/// What is kept with the message of a signal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    id: Text,
    #[serde(rename = "type")]
    kind: SignalKind,
    tag_name: Text,
    created_at: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Text>,
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    attributes: Extra,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Data>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    transient: bool,
}

#[derive(Deserialize)]
struct Metadata {
    signal: Data,
}

#[derive(Serialize)]
struct Echo<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: Shown<'a>,
    transient: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a Text,
    #[serde(rename = "type")]
    kind: SignalKind,
    tag_name: &'a Text,
    contents: Contents,
    created_at: &'a Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<&'a Text>,
    #[serde(skip_serializing_if = "Extra::is_empty")]
    attributes: &'a Extra,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_options: Option<&'a Data>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    transient: bool,
}

impl Signal {
    /// The message that is stored for it, in the conversation `thread` with `resource`.
    pub fn to_message(&self, thread: Option<&Text>, resource: Option<&Text>) -> Message {
        let kept = Kept {
            id: self.id.clone(),
            kind: self.kind,
            tag_name: self.tag_name.clone(),
            created_at: self.created_at.clone(),
            accepted_at: self.accepted_at.clone(),
            attributes: self.attributes.clone(),
            metadata: self.metadata.clone(),
            transient: self.transient,
        };
        let mut content = Content::new(self.contents.stored());
        content.metadata = Some(written(&Extra::default().with("signal", written(&kept))));
        content.provider_metadata.clone_from(&self.provider_options);
        Message {
            id: self.id.clone(),
            role: Role::Signal,
            created_at: self.created_at.clone(),
            thread_id: thread.cloned(),
            resource_id: resource.cloned(),
            kind: Some(self.tag_name.clone()),
            content,
            extra: Extra::default(),
        }
    }

    /// The signal that `message` was stored for; `None` for another message.
    pub fn of_message(message: &Message) -> Option<Self> {
        if message.role != Role::Signal {
            return None;
        }
        let metadata: Metadata = message.content.metadata.as_ref()?.parse().ok()?;
        let kept: Kept = metadata.signal.parse().ok()?;
        Some(Self {
            id: kept.id,
            kind: kept.kind,
            tag_name: kept.tag_name,
            contents: Contents::of_stored(&message.content.parts),
            attributes: kept.attributes,
            metadata: kept.metadata,
            provider_options: message.content.provider_metadata.clone(),
            transient: kept.transient,
            created_at: kept.created_at,
            accepted_at: kept.accepted_at,
        })
    }

    /// The chunk that shows it to the readers of a stream: `data-user-message` or `data-signal`.
    pub fn to_chunk(&self) -> Data {
        written(&Echo {
            kind: match self.kind {
                SignalKind::User => "data-user-message",
                _ => "data-signal",
            },
            data: Shown {
                id: &self.id,
                kind: self.kind,
                tag_name: &self.tag_name,
                contents: self.contents.clone().plain(),
                created_at: &self.created_at,
                accepted_at: self.accepted_at.as_ref(),
                attributes: &self.attributes,
                metadata: self.metadata.as_ref(),
                provider_options: self.provider_options.as_ref(),
                transient: self.transient,
            },
            transient: true,
        })
    }

    /// What a run gets of it.
    pub(crate) fn to_letter(&self, thread: &Text, resource: Option<&Text>) -> Letter {
        Letter {
            id: self.id.clone(),
            message: self.to_message(Some(thread), resource),
            echo: Some(self.to_chunk()),
        }
    }
}

/// The id of the signal that `chunk` shows, if it shows one.
pub(crate) fn shown(chunk: &str) -> Option<Text> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "type")]
        kind: Text,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Id {
        id: Text,
    }
    let header: Header = serde_json::from_str(chunk).ok()?;
    if !matches!(header.kind.as_str(), "data-user-message" | "data-signal") {
        return None;
    }
    header.data.parse::<Id>().ok().map(|it| it.id)
}

fn written(value: &impl Serialize) -> Data {
    let written: Result<Data, _> = Data::of(value);
    // Texts, truth values and JSON that was read before: nothing of it can fail to be written.
    written.unwrap_or_default()
}
