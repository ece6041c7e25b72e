//! What a model is asked: the conversation in the form that providers understand.

use bowline_events::Text;

use crate::Data;

/// A conversation.
pub type Prompt = Vec<PromptMessage>;

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PromptMessage {
    /// What the model is to be.
    System(String),
    /// Somebody asks.
    User(Vec<PromptContent>),
    /// What the model said before.
    Assistant(Vec<PromptContent>),
    /// What tools returned.
    Tool(Vec<ToolOutput>),
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PromptContent {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What only one provider knows.
        metadata: Option<Data>,
    },
    /// What the model thought; it has to come back unchanged for some providers.
    Reasoning {
        /// The text.
        text: String,
        /// What only one provider knows, for example a signature.
        metadata: Option<Data>,
    },
    /// A file.
    File {
        /// A URL, or the content in base 64.
        data: Text,
        /// Its media type.
        media_type: Text,
        /// Its name.
        filename: Option<Text>,
    },
    /// A tool that the model called.
    ToolCall {
        /// The id of the call.
        id: Text,
        /// The name of the tool.
        name: Text,
        /// The arguments.
        args: Data,
        /// Whether the provider executed it.
        provider_executed: bool,
        /// What only one provider knows.
        metadata: Option<Data>,
    },
}

/// What a tool returned.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput {
    /// The id of the call.
    pub id: Text,
    /// The name of the tool.
    pub name: Text,
    /// What it returned: any JSON, or a text.
    pub result: Data,
    /// Whether it failed, or was refused.
    pub is_error: bool,
}
