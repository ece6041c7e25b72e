//! What an agent asks: one call of a language model, streamed.

mod attempts;
mod fallback;
#[cfg(feature = "genai")]
mod genai;
#[cfg(any(feature = "genai", feature = "mcp"))]
pub(crate) mod http;
mod part;
mod prompt;
mod request;
mod unavailable;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;

pub use attempts::{Attempts, NextAttempt};
pub use fallback::{Candidate, Fallback};
#[cfg(feature = "genai")]
pub use genai::{GenaiModel, genai};
pub use part::{FinishReason, ModelPart, ResponseMetadata, Source, ToolInput, Usage};
pub use prompt::{Prompt, PromptContent, PromptMessage, ToolOutput};
pub use request::{ChatRequest, ModelSettings, ResponseFormat, ToolChoice, ToolDefinition};
pub use unavailable::Unavailable;

use crate::{BoxFuture, Result};

/// What a model says, as it comes. Dropping it ends the call.
pub type ModelStream = Pin<Box<dyn Stream<Item = Result<ModelPart>> + Send>>;

/// A language model. One call of [`stream`](Self::stream) is one request: no loop, no tools executed, no attempt repeated; all
/// that is the business of the agent.
///
/// # Contract
/// - Parts come in the order in which the model makes them, and the last one of a good answer is [`ModelPart::Finish`].
/// - A tool call has one id from its first part on, different from that of every other call of the answer.
/// - An error of kind `ModelUnavailable` means that another attempt may succeed; after an error the stream ends.
/// - Dropping the future or the stream ends the request.
pub trait ChatModel: fmt::Debug + Send + Sync + 'static {
    /// Who serves the model: `openai`, `anthropic`, ...
    fn provider(&self) -> &str;

    /// The name of the model at the provider.
    fn model_id(&self) -> &str;

    /// Sends `request`. Resolves when the model begins to answer.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ModelStream>>;
}

impl<M: ChatModel + ?Sized> ChatModel for Arc<M> {
    fn provider(&self) -> &str {
        (**self).provider()
    }

    fn model_id(&self) -> &str {
        (**self).model_id()
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ModelStream>> {
        (**self).stream(request)
    }
}
