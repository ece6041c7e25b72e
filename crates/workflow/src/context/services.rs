//! What an engine gives to the steps of a run.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bowline_events::Text;

use super::cancel::CancelToken;
use super::fence::Fence;
use crate::Clock;

/// Where the chunks go that steps write while they run.
pub(crate) trait ChunkSink: Send + Sync {
    /// Takes a watch event that a step of the run `run_id` made. It waits while readers are too slow.
    fn write<'a>(&'a self, run_id: &'a Text, json: String) -> SinkFuture<'a>;
}

/// Done when a sink has taken a chunk.
pub(crate) type SinkFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What all steps of a run share. The ids are those of the run itself, not of the workflows nested in it.
pub(crate) struct RunServices {
    pub(crate) run_id: Text,
    pub(crate) workflow_id: Text,
    pub(crate) resource_id: Option<Text>,
    pub(crate) sink: Arc<dyn ChunkSink>,
    pub(crate) cancel: CancelToken,
    pub(crate) fence: Fence,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for RunServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunServices")
            .field("run_id", &self.run_id)
            .field("workflow_id", &self.workflow_id)
            .finish_non_exhaustive()
    }
}
