//! An event in the hands of a subscriber.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Event, OpFuture};

/// What a subscriber decided about a grouped delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// Done; never deliver it to this group again.
    Ack,
    /// Not done; deliver it again, counted as an attempt.
    Nack,
    /// Never looked at; deliver it again, not counted.
    Release,
    /// Dropped without a decision: a nack for a group, nothing for an ungrouped subscriber.
    Dropped,
}

/// Takes the decisions of subscribers. Implemented by backends.
pub trait Settle: Send + Sync + 'static {
    /// Carries `settlement` out for the delivery of `event` called `token`. Starts at once; the future tells when it is safe.
    /// A token that was settled before is ignored.
    fn settle(
        &self,
        token: u64,
        event: &Arc<Event>,
        settlement: Settlement,
    ) -> OpFuture<'static, ()>;

    /// Tells that the delivery is still being worked on.
    fn renew(&self, token: u64) -> OpFuture<'static, ()>;
}

/// An event as one subscriber got it.
///
/// A grouped delivery is settled with [`ack`](Self::ack) or [`nack`](Self::nack). Dropping it unsettled is a nack, so a handler
/// that panics or is cancelled does not lose work. While it is held it belongs to this subscriber alone.
/// Ungrouped deliveries need no settling, and acking them is free.
#[must_use = "a grouped delivery that is dropped unsettled is nacked"]
pub struct Delivery {
    event: Arc<Event>,
    seq: Option<u64>,
    settle: Option<(Arc<dyn Settle>, u64)>,
}

impl Delivery {
    /// A delivery that needs no settling.
    pub fn new(event: Arc<Event>, seq: Option<u64>) -> Self {
        Self {
            event,
            seq,
            settle: None,
        }
    }

    /// A delivery that `settle` wants to hear about under the name `token`.
    pub fn with_settle(
        event: Arc<Event>,
        seq: Option<u64>,
        settle: Arc<dyn Settle>,
        token: u64,
    ) -> Self {
        Self {
            event,
            seq,
            settle: Some((settle, token)),
        }
    }

    /// The same delivery at position `seq`; for layers that count differently from what they wrap.
    pub fn at(mut self, seq: Option<u64>) -> Self {
        self.seq = seq;
        self
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event, to keep after the delivery is settled.
    pub fn share(&self) -> Arc<Event> {
        Arc::clone(&self.event)
    }

    /// The position of the event in its topic, where the bus has positions: resume with `StartFrom::Offset(seq + 1)`.
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Whether settling this delivery has an effect.
    pub fn is_settleable(&self) -> bool {
        self.settle.is_some()
    }

    /// Marks the work as done. Takes effect at once; the future tells when the backend has it.
    pub fn ack(self) -> OpFuture<'static, ()> {
        self.finish(Settlement::Ack)
    }

    /// Hands the event back for another attempt.
    pub fn nack(self) -> OpFuture<'static, ()> {
        self.finish(Settlement::Nack)
    }

    /// Hands the event back as if it had never been delivered.
    pub fn release(self) -> OpFuture<'static, ()> {
        self.finish(Settlement::Release)
    }

    /// Prolongs the lease on this delivery. Needed only where [`SubscribeOptions::lease`](crate::SubscribeOptions::lease) is set.
    pub fn renew(&self) -> OpFuture<'static, ()> {
        match &self.settle {
            Some((settle, token)) => settle.renew(*token),
            None => OpFuture::ready(Ok(())),
        }
    }

    fn finish(mut self, settlement: Settlement) -> OpFuture<'static, ()> {
        match self.settle.take() {
            Some((settle, token)) => settle.settle(token, &self.event, settlement),
            None => OpFuture::ready(Ok(())),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some((settle, token)) = self.settle.take() {
            // The decision takes effect when it is made; nobody is left to wait for its receipt.
            drop(settle.settle(token, &self.event, Settlement::Dropped));
        }
    }
}

impl Deref for Delivery {
    type Target = Event;
    fn deref(&self) -> &Event {
        &self.event
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event", &self.event)
            .field("seq", &self.seq)
            .field("settleable", &self.is_settleable())
            .finish()
    }
}
