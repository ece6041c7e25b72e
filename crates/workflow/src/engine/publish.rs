//! Telling the watchers of runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_events::{NewEvent, Payload, PubSub, PublishOptions, Reach, Text, Topic};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

use crate::context::{ChunkSink, SinkFuture};

/// Events that wait to be sent; who has more to tell waits.
const QUEUE: usize = 4096;
/// Events that are on their way at a time.
const IN_FLIGHT: usize = 256;
/// The pauses between attempts while the bus is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How much of what a run had to tell is published.
pub(super) type Progress = Arc<AtomicU64>;

/// Publishes the events of all runs of an engine, in order and without a round trip for each.
#[derive(Debug)]
pub(super) struct Publisher {
    bus: Arc<dyn PubSub>,
    /// `None` where the bus is in this process and publishing waits for nobody.
    queue: Option<mpsc::Sender<Message>>,
}

struct Message {
    topic: Topic,
    event: NewEvent,
    progress: Option<Progress>,
}

impl Publisher {
    /// Must be called in a Tokio runtime.
    pub(super) fn new(bus: Arc<dyn PubSub>) -> Self {
        let queue = (bus.capabilities().reach != Reach::Process).then(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(send_all(Arc::clone(&bus), receiver));
            sender
        });
        Self { bus, queue }
    }

    /// Tells the watchers of `topic`. Waits only while the queue is full, or a reader of this process is too slow.
    pub(super) async fn tell(
        &self,
        topic: &Topic,
        run_id: &Text,
        json: String,
        progress: &Progress,
    ) {
        let event = watch_event(run_id, json);
        match &self.queue {
            None => {
                let published = self
                    .bus
                    .publish_with(topic, event, PublishOptions::default());
                if let Err(error) = published.await {
                    tracing::warn!(topic = %topic, %error, "an event of a run was not published");
                }
                progress.fetch_add(1, Ordering::Relaxed);
            }
            Some(queue) => {
                let message = Message {
                    topic: topic.clone(),
                    event,
                    progress: Some(Arc::clone(progress)),
                };
                // The receiver lives as long as the queue does.
                let _ = queue.send(message).await;
            }
        }
    }

    async fn send(&self, topic: Topic, event: NewEvent) {
        match &self.queue {
            None => {
                let published = self
                    .bus
                    .publish_with(&topic, event, PublishOptions::default());
                if let Err(error) = published.await {
                    tracing::warn!(topic = %topic, %error, "what a step wrote was not published");
                }
            }
            Some(queue) => {
                let message = Message {
                    topic,
                    event,
                    progress: None,
                };
                // The receiver lives as long as the queue does.
                let _ = queue.send(message).await;
            }
        }
    }
}

impl ChunkSink for Publisher {
    fn write<'a>(&'a self, run_id: &'a Text, json: String) -> SinkFuture<'a> {
        let event = watch_event(run_id, json);
        Box::pin(self.send(Topic::workflow_events(run_id), event))
    }
}

fn watch_event(run_id: &Text, json: String) -> NewEvent {
    let data = Payload::from_valid_json(Bytes::from(json), bowline_events::Dialect::Plain);
    NewEvent::new("watch", run_id.clone()).with_data(data)
}

/// Sends in order, many at a time, and again what the bus did not take because it was away.
async fn send_all(bus: Arc<dyn PubSub>, mut queue: mpsc::Receiver<Message>) {
    let mut sending = FuturesOrdered::new();
    let mut open = true;
    while open || !sending.is_empty() {
        tokio::select! {
            message = queue.recv(), if open && sending.len() < IN_FLIGHT => match message {
                Some(message) => sending.push_back(send(Arc::clone(&bus), message)),
                None => open = false,
            },
            Some(()) = sending.next(), if !sending.is_empty() => {}
        }
    }
}

async fn send(bus: Arc<dyn PubSub>, message: Message) {
    let Message {
        topic,
        event,
        progress,
    } = message;
    let mut pause = FIRST_PAUSE;
    loop {
        let published = bus.publish_with(&topic, event.clone(), PublishOptions::default());
        match published.await {
            Ok(_) => break,
            Err(error) if error.is_retryable() => {
                tracing::debug!(topic = %topic, %error, "an event of a run is published again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                tracing::warn!(topic = %topic, %error, "an event of a run was not published");
                break;
            }
        }
    }
    if let Some(progress) = progress {
        progress.fetch_add(1, Ordering::Relaxed);
    }
}
