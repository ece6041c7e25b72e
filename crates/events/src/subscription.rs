//! A subscription: a cursor in a topic, read as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::{Delivery, Error, OpFuture, Result};

/// Deliveries that are taken from the backend in one go.
const BATCH: usize = 128;

/// What [`SubscriptionSource::poll_fill`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fill {
    /// At least one delivery was added.
    Some,
    /// A notice; the subscription goes on.
    Notice(Error),
    /// The last item.
    Failed(Error),
    /// There will be nothing more.
    End,
}

/// Where a [`Subscription`] gets its deliveries from. Implemented by backends; dropping it unsubscribes.
pub trait SubscriptionSource: Send {
    /// Adds up to `max` deliveries to `into`, or arranges for a wake-up.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill>;

    /// Whether the bus was flushed since the last call, so that gathered deliveries are to be handed over.
    fn take_flush(&mut self) -> bool {
        false
    }

    /// Unsubscribes; resolves when the backend will deliver nothing more.
    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        OpFuture::ready(Ok(()))
    }
}

/// A live subscription: a stream of deliveries and notices. Dropping it unsubscribes.
///
/// An item `Err` with [`Error::is_notice`] tells of something missed and the stream goes on; any other `Err` is its last item.
/// Reading is cancellation safe: a dropped `next` future loses nothing.
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    source: Option<Box<dyn SubscriptionSource>>,
    buffer: VecDeque<Delivery>,
}

impl Subscription {
    /// A subscription that reads from `source`.
    pub fn new(source: Box<dyn SubscriptionSource>) -> Self {
        Self {
            source: Some(source),
            buffer: VecDeque::new(),
        }
    }

    /// The next delivery or notice; `None` after the end.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// All deliveries that are there, at least one and at most 128: fewer steps per event than [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Option<Result<VecDeque<Delivery>>> {
        poll_fn(|cx| {
            if self.buffer.is_empty() {
                match ready!(self.poll_source(cx)) {
                    Fill::Some => {}
                    Fill::Notice(error) | Fill::Failed(error) => {
                        return Poll::Ready(Some(Err(error)));
                    }
                    Fill::End => return Poll::Ready(None),
                }
            }
            let batch = std::mem::take(&mut self.buffer);
            self.buffer.reserve(batch.len());
            Poll::Ready(Some(Ok(batch)))
        })
        .await
    }

    /// Unsubscribes. After the future resolved, nothing is delivered any more; what was taken but not yet read is handed back.
    pub fn unsubscribe(mut self) -> OpFuture<'static, ()> {
        self.release_buffer();
        match self.source.take() {
            Some(source) => source.unsubscribe(),
            None => OpFuture::ready(Ok(())),
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        if let Some(delivery) = self.buffer.pop_front() {
            return Poll::Ready(Some(Ok(delivery)));
        }
        match ready!(self.poll_source(cx)) {
            Fill::Some => Poll::Ready(self.buffer.pop_front().map(Ok)),
            Fill::Notice(error) | Fill::Failed(error) => Poll::Ready(Some(Err(error))),
            Fill::End => Poll::Ready(None),
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Fill> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(Fill::End);
        };
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let fill = ready!(source.poll_fill(cx, &mut self.buffer, BATCH));
        turn.made_progress();
        if matches!(fill, Fill::Failed(_) | Fill::End) {
            self.source = None;
        }
        Poll::Ready(fill)
    }

    fn release_buffer(&mut self) {
        for delivery in self.buffer.drain(..) {
            drop(delivery.release());
        }
    }
}

/// A subscription can be the source of another one: for layers that wrap what they read.
impl SubscriptionSource for Subscription {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        if !self.buffer.is_empty() {
            into.append(&mut self.buffer);
            return Poll::Ready(Fill::Some);
        }
        match &mut self.source {
            Some(source) => source.poll_fill(cx, into, max),
            None => Poll::Ready(Fill::End),
        }
    }

    fn take_flush(&mut self) -> bool {
        self.source
            .as_mut()
            .is_some_and(|source| source.take_flush())
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        Self::unsubscribe(*self)
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.release_buffer();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("buffered", &self.buffer.len())
            .field("ended", &self.source.is_none())
            .finish()
    }
}
