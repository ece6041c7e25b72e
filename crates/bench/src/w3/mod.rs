//! W3: resumable streams, the caching layer over the in-process bus with the in-memory cache.

mod history;
mod storm;
mod topics;

use std::sync::Arc;

use bowline_events::{CachingPubSub, PubSub, PublishOptions, Topic};

use crate::Result;
use crate::measurement::Measurement;
use crate::payload::chunk_event;

/// The bus under measurement, with its default options, behind the public trait object.
fn bus() -> Arc<dyn PubSub> {
    Arc::new(CachingPubSub::in_process())
}

async fn publish(bus: &dyn PubSub, topic: &Topic, seq: u64) -> Result<()> {
    bus.publish_with(topic, chunk_event(seq), PublishOptions::default())
        .await?;
    Ok(())
}

async fn fill(bus: &dyn PubSub, topic: &Topic, count: u64) -> Result<()> {
    for seq in 0..count {
        publish(bus, topic, seq).await?;
    }
    Ok(())
}

pub(crate) fn measurements() -> Vec<Measurement> {
    let mut all: Vec<_> = [1000, 10_000, 100_000].map(history::measurement).into();
    all.extend([(0, 0), (900, 0), (0, 200)].map(|(offset, live)| storm::measurement(offset, live)));
    all.extend([400, 700, 50_000].map(topics::measurement));
    all
}
