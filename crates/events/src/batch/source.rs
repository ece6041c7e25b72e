//! A subscription that gathers deliveries.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

use super::batcher::{Batcher, Next};
use super::{BatchPolicy, Overflow};
use crate::{Delivery, Fill, OpFuture, SubscriptionSource};

/// `source`, read by `policy` where there is one.
pub(crate) fn batched(
    source: Box<dyn SubscriptionSource>,
    policy: Option<BatchPolicy>,
) -> Box<dyn SubscriptionSource> {
    match policy {
        Some(policy) => Box::new(BatchSource::new(source, policy)),
        None => source,
    }
}

/// Reads from another source and hands over in batches.
struct BatchSource {
    source: Box<dyn SubscriptionSource>,
    batcher: Batcher,
    reduce_at: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    /// What the source said after the gathered deliveries.
    afterwards: Option<Fill>,
}

impl BatchSource {
    fn new(source: Box<dyn SubscriptionSource>, policy: BatchPolicy) -> Self {
        let reduce_at = match policy.overflow {
            Overflow::Wait => usize::MAX,
            Overflow::DropOldest | Overflow::DropNewest => policy.max_buffer.saturating_mul(2),
        };
        Self {
            source,
            batcher: Batcher::new(policy),
            reduce_at,
            sleep: None,
            afterwards: None,
        }
    }

    /// Takes what the source has.
    fn gather(&mut self, cx: &mut Context<'_>, max: usize) {
        let mut taken = VecDeque::new();
        while self.afterwards.is_none() && self.batcher.has_room() {
            match self.source.poll_fill(cx, &mut taken, max) {
                Poll::Pending => return,
                Poll::Ready(Fill::Some) => {
                    let now = Instant::now();
                    for delivery in taken.drain(..) {
                        self.batcher.push(delivery, now);
                    }
                    if self.batcher.len() >= self.reduce_at {
                        ack_all(self.batcher.reduce());
                    }
                }
                Poll::Ready(other) => self.afterwards = Some(other),
            }
        }
    }

    fn hand_over(&mut self, into: &mut VecDeque<Delivery>) -> bool {
        let batch = self.batcher.hand_over(Instant::now());
        ack_all(batch.dropped);
        into.extend(batch.kept);
        !into.is_empty()
    }

    /// Whether the time has come that `at` names; otherwise arranges for a wake-up.
    fn is_past(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
        if sleep.deadline() != at.into() {
            sleep.as_mut().reset(at.into());
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl SubscriptionSource for BatchSource {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        loop {
            self.gather(cx, max);
            let forced = self.source.take_flush() || self.afterwards.is_some();
            if forced && self.batcher.len() > 0 {
                if self.hand_over(into) {
                    return Poll::Ready(Fill::Some);
                }
                continue;
            }
            if let Some(fill) = self.afterwards.take() {
                return Poll::Ready(fill);
            }
            match self.batcher.next(Instant::now()) {
                Next::Wait => return Poll::Pending,
                Next::HandOver => {
                    if self.hand_over(into) {
                        return Poll::Ready(Fill::Some);
                    }
                }
                Next::At(at) => {
                    if !self.is_past(at, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        self.source.unsubscribe()
    }
}

fn ack_all(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        // Acking starts at once; a backend that fails to record it delivers again.
        drop(delivery.ack());
    }
}
