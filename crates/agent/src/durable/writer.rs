//! Writing on the stream of a run: in order, without waiting for each event.

use std::future::poll_fn;
use std::task::Poll;

use bowline_events::{
    Error, ErrorKind, NewEvent, OpFuture, PubSub, PublishOptions, Published, Reach, Topic,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

/// Events that are on their way at a time.
const WINDOW: usize = 256;

/// Publishes on the topic of a run. What was written is there when [`flush`](Self::flush) returns.
///
/// When the bus does not take an event, nothing after it is published either, as far as it is not on its way: what follows a gap
/// would be read in a wrong order.
pub(crate) struct Writer<'a> {
    bus: &'a dyn PubSub,
    topic: &'a Topic,
    /// Whether to wait for each event: in one process it costs nothing, and who waits for a slow reader keeps the order so.
    near: bool,
    sent: FuturesOrdered<OpFuture<'a, Published>>,
    failed: Option<Error>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bus: &'a dyn PubSub, topic: &'a Topic) -> Self {
        Self {
            bus,
            topic,
            near: bus.capabilities().reach == Reach::Process,
            sent: FuturesOrdered::new(),
            failed: None,
        }
    }

    /// Publishes `event` behind those before. Waits only while too much is on its way.
    pub(crate) async fn write(&mut self, event: NewEvent) {
        if self.failed.is_some() {
            return;
        }
        let options = PublishOptions::default();
        let publishing = self.bus.publish_with(self.topic, event, options);
        if self.near {
            let result = publishing.await;
            self.note(result);
            return;
        }
        self.sent.push_back(publishing);
        // The first look at it puts it on its way, behind those before.
        while let Some(result) = self.done().await {
            self.note(result);
        }
        while self.sent.len() >= WINDOW {
            self.one().await;
        }
    }

    /// Waits until everything is published.
    ///
    /// # Errors
    /// The first failure of the bus; what was written behind it may be missing.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        while !self.sent.is_empty() {
            self.one().await;
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The result of the first, if it is there already.
    async fn done(&mut self) -> Option<Result<Published, Error>> {
        poll_fn(|cx| match self.sent.poll_next_unpin(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn one(&mut self) {
        if let Some(result) = self.sent.next().await {
            self.note(result);
        }
    }

    fn note(&mut self, result: Result<Published, Error>) {
        match result {
            Ok(_) => {}
            // It never will be taken, and the run is worth more than one event of it.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::TooLarge | ErrorKind::InvalidPayload
                ) =>
            {
                tracing::error!(topic = %self.topic, %error, "an event of a run was left out");
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}
