//! Writing on the stream of a run: in order, without waiting for each event.

use std::future::poll_fn;
use std::task::Poll;

use bowline_events::{Error, ErrorKind, NewEvent, OpFuture, PubSub, PublishOptions, Topic};
use bowline_workflow::StepContext;

/// Events that may wait while others are on their way.
const MOST: usize = 256;
/// Bytes of them, about.
const MOST_BYTES: usize = 1024 * 1024;
/// Events that are published at once in one process, before readers and other runs get their turn.
const BURST: u32 = 32;

/// Publishes on the topic of a run. What was written is there when [`flush`](Self::flush) returns.
///
/// While events are on their way the next ones gather, and go together then: so the way is never empty, and the order cannot change.
/// When the bus does not take an event, nothing after it is published either; what follows a gap would be read in a wrong order.
/// Nothing is given to the bus while another process may have the run.
pub(crate) struct Writer<'a> {
    bus: &'a dyn PubSub,
    ctx: &'a StepContext,
    topic: &'a Topic,
    sending: Option<OpFuture<'a, ()>>,
    waiting: Vec<NewEvent>,
    bytes: usize,
    /// Events since others got their turn.
    burst: u32,
    failed: Option<Error>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bus: &'a dyn PubSub, ctx: &'a StepContext, topic: &'a Topic) -> Self {
        Self {
            bus,
            ctx,
            topic,
            sending: None,
            waiting: Vec::new(),
            bytes: 0,
            burst: 0,
            failed: None,
        }
    }

    /// Publishes `event` behind those before. Waits only while too much waits already.
    pub(crate) async fn write(&mut self, event: NewEvent) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.bus.check(self.topic, &event) {
            return self.note(Err(error));
        }
        if self.sending.is_none() {
            if !self.ctx.may_speak().await {
                return self.note(Err(lost()));
            }
            let options = PublishOptions::default();
            // A bus in this process has mostly taken it when this returns.
            match self
                .bus
                .publish_with(self.topic, event, options)
                .now_or_self()
            {
                Ok(result) => {
                    self.note(result.map(|_| ()));
                    self.burst += 1;
                    if self.burst == BURST {
                        self.burst = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Err(pending) => {
                    self.sending = Some(OpFuture::new(async move { pending.await.map(|_| ()) }));
                    self.look().await;
                }
            }
            return;
        }
        self.bytes += event.data.weight();
        self.waiting.push(event);
        self.look().await;
        while self.waiting.len() >= MOST || self.bytes >= MOST_BYTES {
            self.one().await;
        }
    }

    /// Waits until everything is published.
    ///
    /// # Errors
    /// The first failure of the bus; what was written behind it is missing.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.drive().await;
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Whether something is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.sending.is_some()
    }

    /// Done when nothing is on its way any more. Dropping it and calling it again later loses nothing.
    pub(crate) async fn drive(&mut self) {
        while self.is_busy() {
            self.one().await;
        }
    }

    /// Sees whether what is on its way has arrived.
    async fn look(&mut self) {
        poll_fn(|cx| {
            while let Some(sending) = &mut self.sending {
                match std::pin::Pin::new(sending).poll(cx) {
                    Poll::Ready(result) => self.arrived(result),
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until what is on its way has arrived.
    async fn one(&mut self) {
        if let Some(sending) = &mut self.sending {
            let result = sending.await;
            self.arrived(result);
        }
    }

    /// Sends what has gathered meanwhile.
    fn arrived(&mut self, result: Result<(), Error>) {
        self.sending = None;
        self.note(result);
        let events = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if events.is_empty() || self.failed.is_some() {
            return;
        }
        let (bus, ctx, topic) = (self.bus, self.ctx, self.topic);
        self.sending = Some(OpFuture::new(async move {
            if !ctx.may_speak().await {
                return Err(lost());
            }
            let options = PublishOptions::default();
            bus.publish_all(topic, events, options).await.map(|_| ())
        }));
    }

    fn note(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => {}
            // It never will be taken, and the run is worth more than one event of it.
            Err(error) if is_refusal(&error) => {
                tracing::error!(topic = %self.topic, %error, "an event of a run was left out");
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}

fn lost() -> Error {
    let message = "the run is not this process's any more";
    Error::new(ErrorKind::Closed, "publish", message)
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TooLarge | ErrorKind::InvalidPayload
    )
}
