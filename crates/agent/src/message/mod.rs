//! Messages in the form in which they are stored, which is that of the reference (format 2).

mod part;

use bowline_events::Text;
use serde::{Deserialize, Serialize};

pub use part::{Approval, Part, ToolInvocation, ToolState};

use crate::Data;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// A person, or a program in its place.
    User,
    /// The model.
    Assistant,
    /// What the model is to be.
    System,
    /// Something that was said to a run while it was under way.
    Signal,
}

/// A message of a conversation, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: Text,
    /// Who speaks.
    pub role: Role,
    /// When, as an ISO date in UTC with milliseconds.
    pub created_at: Text,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<Text>,
    /// Whom the conversation is with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Text>,
    /// What kind of message it is, where programs tell kinds apart.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text>,
    /// What is said.
    pub content: Content,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The form: 2.
    pub format: u8,
    /// The pieces, in order.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// The text of all pieces, where somebody stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What programs keep with it: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Data>,
    /// What only one provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_metadata: Option<Data>,
}
