//! What a tool sees of the run that calls it.

use std::fmt;
use std::sync::Arc;

use bowline_events::Text;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ToolError;
use crate::{BoxFuture, Data, Error, ErrorKind, Result};

/// What a tool sees of the run that calls it. Cheap to clone.
#[derive(Clone)]
pub struct ToolContext(Arc<Call>);

/// One call of a tool.
pub(crate) struct Call {
    pub(crate) tool: Text,
    pub(crate) call_id: Text,
    pub(crate) run_id: Text,
    pub(crate) agent_id: Text,
    pub(crate) thread_id: Option<Text>,
    pub(crate) resource_id: Option<Text>,
    pub(crate) resume: Option<Data>,
    pub(crate) suspended_with: Option<Data>,
    pub(crate) sink: Arc<dyn ToolSink>,
}

/// Where a tool writes, and how it learns that nobody waits for it any more.
pub trait ToolSink: Send + Sync + 'static {
    /// Takes a chunk for the stream of the run, complete with its type. It waits while the bus is slow.
    fn write(&self, chunk: Data) -> BoxFuture<'_, ()>;

    /// Ready when the run is aborted.
    fn aborted(&self) -> BoxFuture<'_, ()>;

    /// Whether the run is aborted.
    fn is_aborted(&self) -> bool;
}

impl ToolContext {
    pub(crate) fn new(call: Call) -> Self {
        Self(Arc::new(call))
    }

    /// The name of the tool.
    pub fn tool(&self) -> &Text {
        &self.0.tool
    }

    /// The id of the call: the same when it is made again after a crash, so it serves as a key against doing things twice.
    pub fn call_id(&self) -> &Text {
        &self.0.call_id
    }

    /// The run.
    pub fn run_id(&self) -> &Text {
        &self.0.run_id
    }

    /// The agent.
    pub fn agent_id(&self) -> &Text {
        &self.0.agent_id
    }

    /// The conversation, if the run belongs to one.
    pub fn thread_id(&self) -> Option<&Text> {
        self.0.thread_id.as_ref()
    }

    /// Whom the run is for.
    pub fn resource_id(&self) -> Option<&Text> {
        self.0.resource_id.as_ref()
    }

    /// What the call was resumed with; `None` when it was not.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `T`.
    pub fn resumed<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.read("resume data", self.0.resume.as_ref())
    }

    /// What the call suspended with before it was resumed; `None` when it did not.
    ///
    /// # Errors
    /// `InvalidInput` when it is no `T`.
    pub fn suspended_with<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.read("suspend payload", self.0.suspended_with.as_ref())
    }

    fn read<T: DeserializeOwned>(&self, what: &str, data: Option<&Data>) -> Result<Option<T>> {
        data.map(Data::parse).transpose().map_err(|error| {
            let message = format!("the {what} is not of the expected type: {error}");
            Error::new(ErrorKind::InvalidInput, "call tool", message)
                .with_subject(self.tool().clone())
                .with_source(error)
        })
    }

    /// The error to return in order to wait until the call is resumed; `payload` says what for. The tool is called again then,
    /// from its top, and [`resumed`](Self::resumed) has the answer.
    pub fn suspend<T: Serialize + ?Sized>(&self, payload: &T) -> ToolError {
        match Data::of(payload) {
            Ok(payload) => ToolError::Suspended(payload),
            Err(error) => ToolError::fail("Error", error.to_string()),
        }
    }

    /// Ready when the run is aborted. A tool that waits for something long waits for this too.
    pub async fn aborted(&self) {
        self.0.sink.aborted().await;
    }

    /// Whether the run is aborted.
    pub fn is_aborted(&self) -> bool {
        self.0.sink.is_aborted()
    }

    pub(crate) fn sink(&self) -> &Arc<dyn ToolSink> {
        &self.0.sink
    }
}

impl fmt::Debug for ToolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolContext")
            .field("tool", self.tool())
            .field("call_id", self.call_id())
            .field("run_id", self.run_id())
            .finish_non_exhaustive()
    }
}
