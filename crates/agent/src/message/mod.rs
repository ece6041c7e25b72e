//! Messages in the form in which they are stored, which is that of the reference (format 2).

mod draft;
mod extra;
mod input;
mod outcome;
mod part;
mod prompt;
mod stored;

use bowline_events::codec::date;
use bowline_events::{Text, Timestamp};
use serde::{Deserialize, Serialize};

pub use draft::{AssistantDraft, ToolCall};
pub use extra::Extra;
pub use input::IntoMessages;
pub(crate) use outcome::NOT_APPROVED;
pub use outcome::{ToolOutcome, settle};
pub use part::{Approval, Part, ToolInvocation, ToolState};
pub use prompt::prompt;

use crate::{Data, random_id};

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
///
/// ```
/// use bowline_agent::Message;
/// let message = Message::user("Where is order 7?").with_thread("thread-1", "user-1");
/// assert_eq!(message.text(), "Where is order 7?");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: Text,
    /// Who speaks.
    pub role: Role,
    /// When, as an ISO date in UTC with milliseconds.
    pub created_at: Text,
    /// The conversation.
    pub thread_id: Option<Text>,
    /// Whom the conversation is with.
    pub resource_id: Option<Text>,
    /// What kind of message it is, where programs tell kinds apart.
    pub kind: Option<Text>,
    /// What is said.
    pub content: Content,
    /// Other members.
    pub extra: Extra,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The form: 2.
    pub format: u8,
    /// The pieces, in order.
    pub parts: Vec<Part>,
    /// The text of all pieces, where somebody stored it.
    pub content: Option<String>,
    /// What programs keep with it: an object.
    pub metadata: Option<Data>,
    /// What only one provider knows.
    pub provider_metadata: Option<Data>,
    /// Other members.
    pub extra: Extra,
}

impl Content {
    /// What consists of `parts`.
    pub fn new(parts: Vec<Part>) -> Self {
        Self {
            format: 2,
            parts,
            content: None,
            metadata: None,
            provider_metadata: None,
            extra: Extra::default(),
        }
    }
}

impl Message {
    /// What `role` says now in `parts`, with a random id.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self {
            id: random_id(),
            role,
            created_at: "".into(),
            thread_id: None,
            resource_id: None,
            kind: None,
            content: Content::new(parts),
            extra: Extra::default(),
        }
        .with_time(Timestamp::now())
    }

    /// What a person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of_text(Role::User, text.into())
    }

    /// What the model is to be.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of_text(Role::System, text.into())
    }

    /// What the model says.
    pub fn assistant(parts: Vec<Part>) -> Self {
        Self::new(Role::Assistant, parts)
    }

    fn of_text(role: Role, text: String) -> Self {
        let mut message = Self::new(role, vec![Part::text(text.clone())]);
        message.content.content = Some(text);
        message
    }

    /// The same message with this id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Text>) -> Self {
        self.id = id.into();
        self
    }

    /// The same message, said at `at`.
    #[must_use]
    pub fn with_time(mut self, at: Timestamp) -> Self {
        self.created_at = date::format_iso(at.as_millis()).into();
        self
    }

    /// The same message in a conversation with somebody.
    #[must_use]
    pub fn with_thread(mut self, thread: impl Into<Text>, resource: impl Into<Text>) -> Self {
        self.thread_id = Some(thread.into());
        self.resource_id = Some(resource.into());
        self
    }

    /// The same message with an object of what programs keep with it.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Data) -> Self {
        self.content.metadata = Some(metadata);
        self
    }

    /// When it was said; `None` when `created_at` is no date.
    pub fn time(&self) -> Option<Timestamp> {
        date::parse_iso(&self.created_at).map(Timestamp::from_millis)
    }

    /// Its texts, one after the other.
    pub fn text(&self) -> String {
        text(&self.content.parts)
    }
}

/// The texts of `parts`, one after the other.
pub(crate) fn text(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
