//! Reading the stream of a run from a bus.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bowline_events::{
    Delivery, ErrorKind as BusErrorKind, PubSub, StartFrom, SubscribeOptions, Subscription, Text,
    Topic,
};
use futures_core::Stream;

use super::idle::Idle;
use super::{Fold, Observe, RunOutput, StreamEvent, StreamItem};
use crate::chunk::Failure;
use crate::durable::stop;
use crate::{BoxFuture, Error, ErrorKind, Result};

/// The stream of a run, as one reader sees it. Dropping it ends the reading and nothing else: neither the run nor other readers
/// notice.
///
/// It ends with the run. An item that is an error tells of a loss, and more items follow as long as [`is_open`](Self::is_open):
/// - `NotFound` with [`truncated`](Self::truncated): events were trimmed before they were read. Reading goes on.
/// - `NotFound`: the stream was cleared; its retention is over. The end.
/// - `Corrupt`: an event that makes no sense was skipped. Reading goes on.
/// - `Bus`: the cache failed, and live events follow; or the bus did, and it is the end, until [`reopen`](Self::reopen).
/// - `Closed`: the bus was closed. The end.
///
/// ```
/// use std::sync::Arc;
/// use bowline_agent::chunk::event::Finish;
/// use bowline_agent::stream::{AgentStream, Observe};
/// use bowline_events::{CachingPubSub, PubSub, PubSubExt, Topic};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus: Arc<dyn PubSub> = Arc::new(CachingPubSub::in_process());
/// let mut finish = Finish::default();
/// finish.output.text = Some("Ahoy".into());
/// bus.publish(Topic::agent_stream("run-1"), finish.to_event(&"run-1".into())).await?;
///
/// let stream = AgentStream::open(&bus, "run-1", Observe::new()).await?;
/// assert_eq!(stream.collect().await?.text, "Ahoy");
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a stream ends the reading"]
pub struct AgentStream {
    bus: Arc<dyn PubSub>,
    run_id: Text,
    start: StartFrom,
    subscription: Option<Subscription>,
    fold: Fold,
    ready: VecDeque<StreamItem>,
    idle: Option<Idle>,
    again: Again,
    close_on_suspend: bool,
}

/// A look for what the bus has not brought, before the run is given up.
enum Again {
    /// Not taken since the last event.
    Open,
    Looking(BoxFuture<'static, Option<Subscription>>),
    Taken,
}

impl AgentStream {
    /// Begins to read the run `run_id` on `bus`. A bus that keeps nothing shows only what happens from now on.
    ///
    /// A run that nobody has heard of looks like one that has not begun; whoever has a store asks it first.
    ///
    /// # Errors
    /// `Bus` when it cannot be subscribed.
    pub async fn open(
        bus: &Arc<dyn PubSub>,
        run_id: impl Into<Text>,
        options: Observe,
    ) -> Result<Self> {
        let run_id = run_id.into();
        let start = options.start();
        let subscription = subscribe(bus, &run_id, start).await?;
        let mut fold = Fold::new();
        if options.discard_output {
            fold = fold.discard_output();
        }
        if let StartFrom::Offset(offset) = start {
            fold.skip_to(offset);
        }
        Ok(Self {
            bus: Arc::clone(bus),
            run_id,
            start,
            subscription: Some(subscription),
            fold,
            ready: VecDeque::new(),
            idle: options
                .idle
                .map(|timeout| Idle::new(timeout, options.alive)),
            again: Again::Open,
            close_on_suspend: options.close_on_suspend,
        })
    }

    /// Connects anew and goes on behind the last event that was seen: after an error that was the end, or after the run was resumed.
    /// Does nothing after the end of the run.
    ///
    /// # Errors
    /// `Bus` when it cannot be subscribed; what was read is kept.
    pub async fn reopen(&mut self) -> Result<()> {
        if !self.fold.is_ended() {
            let start = after(self.fold.next_offset(), self.start);
            self.subscription = Some(subscribe(&self.bus, &self.run_id, start).await?);
            if let Some(idle) = &mut self.idle {
                idle.heard();
            }
        }
        Ok(())
    }

    /// Ends the reading: nothing more is to come.
    pub(crate) fn close(&mut self) {
        self.subscription = None;
    }

    /// Asks whoever works on the run to stop it, in whatever language that is. Only who listens now hears it, so it is for runs of
    /// Node processes; a run of a store of ours is stopped by [`AgentHandle::abort`](crate::AgentHandle::abort), which holds.
    ///
    /// # Errors
    /// `Bus` when it takes nothing.
    pub async fn request_abort(&self) -> Result<()> {
        let told = stop::tell(&*self.bus, &self.run_id).await;
        told.map_err(|error| Error::bus("abort", error).with_subject(self.run_id.clone()))
    }

    /// The run.
    pub fn run_id(&self) -> &Text {
        &self.run_id
    }

    /// Where to come back in order to miss nothing of what was not read yet.
    pub fn next_offset(&self) -> u64 {
        match self.ready.front() {
            Some(item) => item.offset,
            None => self.fold.next_offset(),
        }
    }

    /// Whether more items may come.
    pub fn is_open(&self) -> bool {
        self.subscription.is_some() || !self.ready.is_empty()
    }

    /// What the model has said so far in the last iteration.
    pub fn text(&self) -> &str {
        self.fold.text()
    }

    /// The next item; `None` after the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Reads to the end and gives what the run made, including what was read before.
    ///
    /// # Errors
    /// The error that was the end of the stream; a loss, if the run has not told its whole output after it. A run that failed is no
    /// error of this kind: see [`RunOutput::error`].
    pub async fn collect(mut self) -> Result<RunOutput> {
        let mut loss = None;
        while let Some(item) = self.next().await {
            match item {
                Ok(item) if matches!(item.event, StreamEvent::Finished(_)) => loss = None,
                Ok(_) => {}
                Err(error) if self.is_open() => loss = Some(error),
                Err(error) => return Err(error),
            }
        }
        match loss {
            Some(error) => Err(error),
            None => Ok(self.into_output()),
        }
    }

    /// Ends the reading and gives what was read.
    pub fn into_output(self) -> RunOutput {
        self.fold.into_output()
    }

    /// What was trimmed before it was read, if `error` tells of that.
    pub fn truncated(error: &Error) -> Option<bowline_events::Truncated> {
        let source = std::error::Error::source(error)?;
        source.downcast_ref::<bowline_events::Error>()?.truncated()
    }

    fn take(&mut self, delivery: &Delivery) -> Result<()> {
        let position = delivery.index.or_else(|| delivery.seq());
        self.fold
            .push(position, delivery.event(), &mut self.ready)?;
        let closes = |item: &StreamItem| match item.event {
            StreamEvent::Suspended(_) => self.close_on_suspend,
            ref event => event.is_last(),
        };
        if self.ready.back().is_some_and(closes) {
            self.subscription = None;
        }
        Ok(())
    }

    /// What a reader is told of an error of the bus.
    fn trouble(&mut self, error: bowline_events::Error) -> Error {
        let (kind, message) = match error.kind() {
            BusErrorKind::Truncated => {
                self.fold.lose();
                let message = match error.truncated() {
                    Some(gap) => format!(
                        "the events {} to {} were trimmed before they were read; reading goes on at offset {}",
                        gap.wanted,
                        gap.first.saturating_sub(1),
                        gap.first
                    ),
                    None => error.message().to_owned(),
                };
                (ErrorKind::NotFound, message)
            }
            BusErrorKind::Cleared => {
                self.subscription = None;
                let message = "the stream was cleared: the run has ended and its retention is over";
                (ErrorKind::NotFound, message.to_owned())
            }
            _ => {
                if !error.is_notice() {
                    self.subscription = None;
                }
                (ErrorKind::Bus, error.to_string())
            }
        };
        Error::new(kind, "observe", message)
            .with_subject(self.run_id.clone())
            .with_source(error)
    }

    fn closed(&mut self) -> Error {
        self.subscription = None;
        let message = format!(
            "the bus was closed before the run ended; read on from offset {}",
            self.fold.next_offset()
        );
        Error::new(ErrorKind::Closed, "observe", message).with_subject(self.run_id.clone())
    }

    /// Ready when silence has an end: something was found that the bus has not brought, or nobody drives the run.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = &mut self.idle else {
            return Poll::Pending;
        };
        loop {
            match &mut self.again {
                Again::Looking(look) => {
                    let found = ready!(look.as_mut().poll(cx));
                    self.again = Again::Taken;
                    if let Some(found) = found {
                        self.subscription = Some(found);
                        return Poll::Ready(());
                    }
                    break;
                }
                Again::Open => {
                    ready!(idle.poll_dead(cx));
                    let next = self.fold.next_offset();
                    let start = after(next, self.start);
                    let look = look_again(Arc::clone(&self.bus), self.run_id.clone(), next, start);
                    self.again = Again::Looking(Box::pin(look));
                }
                Again::Taken => {
                    ready!(idle.poll_dead(cx));
                    break;
                }
            }
        }
        let message = format!(
            "Durable agent stream idle for {}ms with no live producer",
            idle.timeout().as_millis()
        );
        self.fold
            .fail(Failure::new("Error", message), &mut self.ready);
        self.subscription = None;
        Poll::Ready(())
    }
}

/// Where to go on when `next` is what was not seen yet.
fn after(next: u64, start: StartFrom) -> StartFrom {
    match next {
        0 => start,
        next => StartFrom::Offset(next),
    }
}

/// The rest of a run of which something is kept that was not seen.
async fn look_again(
    bus: Arc<dyn PubSub>,
    run_id: Text,
    next: u64,
    start: StartFrom,
) -> Option<Subscription> {
    if !bus.capabilities().replay || start == StartFrom::Latest {
        return None;
    }
    let topic = Topic::agent_stream(&run_id);
    let kept = bus.history(&topic, next, 1).await;
    if kept.is_ok_and(|kept| kept.is_empty()) {
        return None;
    }
    subscribe(&bus, &run_id, start).await.ok()
}

async fn subscribe(bus: &Arc<dyn PubSub>, run_id: &Text, start: StartFrom) -> Result<Subscription> {
    let options = match bus.capabilities().replay {
        // What it has not read is kept for it, so no run has to wait for a slow reader.
        true => SubscribeOptions::new().start(start).skippable(),
        false => SubscribeOptions::new(),
    };
    let topic = Topic::agent_stream(run_id);
    let subscribed = bus.subscribe_with(&topic, options).await;
    subscribed.map_err(|error| Error::bus("observe", error).with_subject(run_id.clone()))
}

impl Stream for AgentStream {
    type Item = Result<StreamItem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            let Some(subscription) = &mut this.subscription else {
                return Poll::Ready(None);
            };
            let Poll::Ready(delivery) = Pin::new(subscription).poll_next(cx) else {
                ready!(this.poll_idle(cx));
                continue;
            };
            if let Some(idle) = &mut this.idle {
                idle.heard();
                this.again = Again::Open;
            }
            match delivery {
                Some(Ok(delivery)) => {
                    if let Err(error) = this.take(&delivery) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(this.trouble(error)))),
                None => return Poll::Ready(Some(Err(this.closed()))),
            }
        }
    }
}

impl fmt::Debug for AgentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentStream")
            .field("run_id", &self.run_id)
            .field("next_offset", &self.next_offset())
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
