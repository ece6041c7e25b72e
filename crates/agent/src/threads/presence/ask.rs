//! Asking all processes something, and hearing their answers on a topic of its own.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{NewEvent, PubSub, PubSubExt, SubscribeOptions, Text, Timestamp, Topic};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::record::PresenceRecord;
use crate::threads::keeper::next;
use crate::threads::runtime::Shared;

/// A request that is about to be sent.
pub(super) struct Asking {
    pub(super) id: Text,
    /// Where its answers come.
    pub(super) reply: Topic,
    pub(super) wait: Duration,
}

/// The topic of the answers to one request. Some buses keep a topic that was once read, so it is cleared in the end.
struct ReplyTopic {
    bus: Arc<dyn PubSub>,
    topic: Topic,
    runtime: Handle,
}

impl Drop for ReplyTopic {
    fn drop(&mut self) {
        let (bus, topic) = (Arc::clone(&self.bus), self.topic.clone());
        self.runtime.spawn(async move {
            if let Err(error) = bus.clear_topic(&topic).await {
                tracing::debug!(%topic, %error, "the topic of an answer was not cleared");
            }
        });
    }
}

impl Shared {
    /// Publishes the request on `topic`, made with the time when nobody waits any more, and gives every answer to `hear` until that has
    /// what it wants. `None` when it has not got it in time.
    pub(super) async fn ask<T>(
        &self,
        asking: &Asking,
        topic: Topic,
        request: impl FnOnce(i64) -> NewEvent,
        mut hear: impl FnMut(PresenceRecord) -> Option<T>,
    ) -> bowline_events::Result<Option<T>> {
        // Is dropped after the subscription, however this ends.
        let _cleared = ReplyTopic {
            bus: Arc::clone(&self.thread_bus),
            topic: asking.reply.clone(),
            runtime: self.runtime.clone(),
        };
        let replies = self
            .thread_bus
            .subscribe(asking.reply.clone(), SubscribeOptions::new());
        let mut replies = replies.await?;
        let wait = i64::try_from(asking.wait.as_millis()).unwrap_or(i64::MAX);
        let expires_at = Timestamp::now().as_millis().saturating_add(wait);
        self.thread_bus.publish(topic, request(expires_at)).await?;
        let answered = async {
            while let Some(reply) = next(&mut replies).await {
                match PresenceRecord::read(reply.event()) {
                    Ok(Some(record)) => {
                        if let Some(wanted) = hear(record) {
                            return Some(wanted);
                        }
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "an answer is not read"),
                }
            }
            None
        };
        Ok(timeout(asking.wait, answered).await.unwrap_or(None))
    }

    /// Publishes a record of who is there.
    pub(super) async fn say(
        &self,
        topic: Topic,
        record: &PresenceRecord,
    ) -> bowline_events::Result<()> {
        self.thread_bus.publish(topic, record.to_event()).await?;
        Ok(())
    }

    /// Answers a request that can be sent again.
    pub(super) async fn answer(&self, topic: &Text, record: &PresenceRecord) {
        if let Err(error) = self.say(Topic::new(topic.as_str()), record).await {
            tracing::warn!(%topic, %error, "{} was not told", record.kind());
        }
    }
}
