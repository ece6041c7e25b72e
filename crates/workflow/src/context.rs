//! What a step sees.

use std::sync::Arc;

use bowline_events::Text;

use crate::machine::View;

/// What a step sees of its run.
#[derive(Debug)]
pub struct StepContext {
    pub(crate) view: View,
    pub(crate) services: Arc<RunServices>,
}

impl StepContext {
    pub(crate) fn new(view: View, services: Arc<RunServices>) -> Self {
        Self { view, services }
    }
}

#[derive(Debug)]
pub(crate) struct RunServices {
    pub(crate) run_id: Text,
    pub(crate) workflow_id: Text,
    pub(crate) resource_id: Option<Text>,
    pub(crate) sink: Arc<dyn ChunkSink>,
    pub(crate) cancel: CancelToken,
}

pub(crate) trait ChunkSink: Send + Sync + std::fmt::Debug {
    fn write<'a>(&'a self, run_id: &'a Text, json: String) -> SinkFuture<'a>;
}

#[derive(Debug, Default, Clone)]
pub(crate) struct CancelToken;
#[derive(Debug, Default)]
pub(crate) struct CancelSource;
impl CancelSource {
    pub(crate) fn token(&self) -> CancelToken {
        CancelToken
    }
    pub(crate) fn cancel(&self) {}
}

pub(crate) type SinkFuture<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
