//! What follows when a member did not do an event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_events::{Error, Event, OpFuture, Result};
use tokio::sync::oneshot;

use super::share::{Phase, Share};
use super::work::Refused;
use crate::dead_letter::Dead;
use crate::settings::Redelivery;
use crate::stream::encode;
use crate::tickets::Tickets;
use crate::wire::{Failure, Repeat};

/// The pause before an event comes again here when it could not be appended anew.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Share {
    /// Has a refused event come again, or buries it.
    pub(super) fn refused(self: &Arc<Self>, refused: Refused) -> OpFuture<'static, ()> {
        if refused.lost {
            // Whoever took the entry over delivers it.
            self.forget(&refused);
            return OpFuture::ready(Ok(()));
        }
        let Some(id) = refused.id else {
            self.again_or_drop(&refused);
            return OpFuture::ready(Ok(()));
        };
        if self.is_last(&refused.event) {
            let share = Arc::clone(self);
            return self.under_way(async move { share.give_up(&refused).await });
        }
        match self.bus.settings.redelivery {
            Redelivery::GroupLocal { delay } if self.phase() == Phase::Running => {
                self.again(&refused, delay);
                self.count(id, refused.counted.saturating_add(1));
                OpFuture::ready(Ok(()))
            }
            Redelivery::GroupLocal { .. } => self.hand_back_one(&refused, refused.counted),
            Redelivery::Republish => {
                let share = Arc::clone(self);
                self.under_way(async move { share.republish(&refused).await })
            }
        }
    }

    /// Whether `event` was delivered as often as it may.
    pub(super) fn is_last(&self, event: &Event) -> bool {
        let cap = self.bus.settings.max_deliveries;
        cap.is_some_and(|cap| event.delivery_attempt >= cap)
    }

    /// Has an event come again to a member here.
    pub(super) fn again(&self, refused: &Refused, delay: Duration) {
        let now = Instant::now();
        let at = match delay.is_zero() {
            true => None,
            false => now.checked_add(delay),
        };
        self.update(|inner| {
            inner.work.retry(refused.serial, at);
            inner.work.offer(now);
        });
    }

    /// As [`again`](Self::again), for an event that is of no stream.
    fn again_or_drop(&self, refused: &Refused) {
        if self.is_last(&refused.event) || self.phase() != Phase::Running {
            tracing::warn!(topic = %self.topic, group = %self.group, id = %refused.event.id, "a local event was refused as often as it may");
            self.forget(refused);
            return;
        }
        match self.bus.settings.redelivery {
            Redelivery::GroupLocal { delay } => self.again(refused, delay),
            Redelivery::Republish => self.again(refused, Duration::ZERO),
        }
    }

    /// Buries an event that was delivered as often as it may, and acknowledges it.
    async fn give_up(&self, refused: &Refused) -> Result<()> {
        let dead = Dead::Refused(&refused.event);
        if let Err(failure) = self.bus.bury(&self.topic, Some(&self.group), dead).await {
            // It stays pending, and is found by whoever looks for entries that nobody cares for.
            self.forget(refused);
            let error = self.error(failure, "dead letter", "XADD");
            tracing::warn!(topic = %self.topic, group = %self.group, %error, "a dead letter could not be written");
            return Err(error);
        }
        self.acknowledged(refused).await
    }

    /// Appends a copy as the next attempt, and acknowledges the refused entry.
    async fn republish(self: &Arc<Self>, refused: &Refused) -> Result<()> {
        let text = self.next_attempt(refused)?;
        if let Err(failure) = self.append_again(&text).await {
            return Err(self.could_not_republish(refused, failure));
        }
        self.acknowledged(refused).await
    }

    /// The record with the next attempt.
    fn next_attempt(&self, refused: &Refused) -> Result<Vec<u8>> {
        let attempt = refused.event.delivery_attempt.saturating_add(1);
        encode(&refused.event.with_attempt(attempt)).inspect_err(|_| self.forget(refused))
    }

    async fn append_again(&self, text: &[u8]) -> Result<(), Failure> {
        let stream = self.stream();
        let add = stream.add(text);
        // When the connection breaks on the way the copy may exist: then the event comes twice, which beats not at all.
        let Some(expire) = stream.expire() else {
            return self.bus.link.run(&add, Repeat::No).await.map(drop);
        };
        let both = [add, expire];
        for reply in self.bus.link.run_all(&both, true, Repeat::No).await? {
            reply.into_result()?;
        }
        Ok(())
    }

    fn could_not_republish(&self, refused: &Refused, failure: Failure) -> Error {
        let error = self.error(failure, "nack", "XADD");
        tracing::warn!(topic = %self.topic, group = %self.group, id = %refused.event.id, %error, "a refused event could not be appended again; it comes again here");
        match self.phase() {
            Phase::Running => self.again(refused, AFTER_FAILURE),
            _ => self.forget(refused),
        }
        error
    }

    async fn acknowledged(&self, refused: &Refused) -> Result<()> {
        match self.finish(refused) {
            Some(batch) => {
                let answer = batch.answer().await;
                answer.map_err(|failure| self.error(failure, "nack", "XACK"))
            }
            None => Ok(()),
        }
    }

    /// Takes an event from a handler that holds it for too long, as if that had refused it.
    pub(super) async fn take_away(self: &Arc<Self>, refused: Refused) {
        tracing::warn!(topic = %self.topic, group = %self.group, id = %refused.event.id, "a handler held an event for longer than in_flight_timeout");
        let (Some(id), Redelivery::Republish) = (refused.id, self.bus.settings.redelivery) else {
            drop(self.refused(refused));
            return;
        };
        let last = self.is_last(&refused.event);
        let text = if last {
            let dead = Dead::Refused(&refused.event);
            match self.bus.bury(&self.topic, Some(&self.group), dead).await {
                Ok(()) => Vec::new(),
                Err(failure) => {
                    let error = self.error(failure, "dead letter", "XADD");
                    tracing::warn!(%error, "a dead letter could not be written");
                    self.forget(&refused);
                    return;
                }
            }
        } else {
            match self.next_attempt(&refused) {
                Ok(text) => text,
                Err(_) => return,
            }
        };
        let stream = self.stream();
        match self.owner(&stream).nack(&self.bus, id, &text).await {
            Ok(_) => self.forget(&refused),
            Err(failure) => drop(self.could_not_republish(&refused, failure)),
        }
    }

    /// Carries a refusal out, whether or not anybody waits for it.
    pub(super) fn under_way(
        self: &Arc<Self>,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> OpFuture<'static, ()> {
        let ticket = Tickets::draw(Arc::clone(&self.refusals));
        self.in_background(async move {
            let outcome = work.await;
            drop(ticket);
            outcome
        })
    }

    /// Runs `work` whether or not anybody waits for it.
    pub(super) fn in_background(
        self: &Arc<Self>,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> OpFuture<'static, ()> {
        let (tell, told) = oneshot::channel();
        self.runtime.spawn(async move {
            // Nobody may be left to be told.
            let _ = tell.send(work.await);
        });
        let share = Arc::clone(self);
        OpFuture::new(async move {
            match told.await {
                Ok(outcome) => outcome,
                Err(_) => Err(share.closed()),
            }
        })
    }
}
