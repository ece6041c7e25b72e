//! Where the chunks go that steps write when another program orchestrates their run.

use std::sync::Arc;

use bowline_events::{Dialect, NewEvent, Payload, PubSub, PublishOptions, Text, Topic};

use crate::context::{ChunkSink, SinkFuture};

/// Nowhere.
pub(super) struct Nowhere;

impl ChunkSink for Nowhere {
    fn write<'a>(&'a self, _: &'a Text, _: String) -> SinkFuture<'a> {
        Box::pin(std::future::ready(()))
    }
}

/// To whoever watches the run on a bus.
pub(super) struct OnBus(pub(super) Arc<dyn PubSub>);

impl ChunkSink for OnBus {
    fn write<'a>(&'a self, run_id: &'a Text, json: String) -> SinkFuture<'a> {
        let data = Payload::from_valid_json(json.into(), Dialect::Plain);
        let event = NewEvent::new("watch", run_id.clone()).with_data(data);
        let topic = Topic::workflow_events(run_id);
        Box::pin(async move {
            let published = self
                .0
                .publish_with(&topic, event, PublishOptions::default());
            if let Err(error) = published.await {
                tracing::warn!(topic = %topic, %error, "what a step wrote was not published");
            }
        })
    }
}
