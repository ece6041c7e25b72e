//! What members decide about deliveries.

use std::sync::Arc;
use std::time::Instant;

use bowline_events::{Event, OpFuture, Settle, Settlement};

use super::share::{Phase, Share};
use super::work::Refused;
use crate::stream::StreamId;

/// Takes the decisions of all members of a share.
#[derive(Debug)]
pub(super) struct Settler(pub(super) Arc<Share>);

impl Settle for Settler {
    fn settle(
        &self,
        token: u64,
        _event: &Arc<Event>,
        settlement: Settlement,
    ) -> OpFuture<'static, ()> {
        match settlement {
            Settlement::Ack => self.0.ack(token),
            Settlement::Release => self.0.release(token),
            _ => self.0.refuse(token),
        }
    }

    fn renew(&self, token: u64) -> OpFuture<'static, ()> {
        self.0.renew(token)
    }
}

impl Share {
    fn ack(self: &Arc<Self>, token: u64) -> OpFuture<'static, ()> {
        let mut inner = self.lock();
        let acked = inner.work.ack(token);
        // Under the lock, so that the entry is always known here.
        let batch = acked.flatten().map(|id| self.acks.push(id));
        let room = inner.has_room(&self.acks);
        drop(inner);
        if room {
            self.room.notify_one();
        }
        if acked.is_none() {
            return self.too_late();
        }
        self.settled_one();
        let Some(batch) = batch else {
            self.hands.notify_waiters();
            return OpFuture::ready(Ok(()));
        };
        let share = Arc::clone(self);
        OpFuture::new(async move {
            let answer = batch.answer().await;
            answer.map_err(|failure| share.error(failure, "ack", "XACK"))
        })
    }

    fn release(self: &Arc<Self>, token: u64) -> OpFuture<'static, ()> {
        if self.phase() == Phase::Running {
            let released = self.update(|inner| {
                let released = inner.work.release(token);
                inner.work.offer(Instant::now());
                released
            });
            return match released {
                true => OpFuture::ready(Ok(())),
                false => self.too_late(),
            };
        }
        let Some(refused) = self.update(|inner| inner.work.refuse(token)) else {
            return self.too_late();
        };
        // Not counted, as if it had not been delivered.
        let counted = refused.counted.saturating_sub(1);
        self.hand_back_one(&refused, counted)
    }

    fn refuse(self: &Arc<Self>, token: u64) -> OpFuture<'static, ()> {
        match self.update(|inner| inner.work.refuse(token)) {
            Some(refused) => self.refused(refused),
            None => self.too_late(),
        }
    }

    fn renew(self: &Arc<Self>, token: u64) -> OpFuture<'static, ()> {
        let Some(renewed) = self.update(|inner| inner.work.renew(token, Instant::now())) else {
            return self.too_late();
        };
        let Some(id) = renewed else {
            return OpFuture::ready(Ok(()));
        };
        let share = Arc::clone(self);
        OpFuture::new(async move {
            let stream = share.stream();
            let kept = share.owner(&stream).keep(&share.bus, &[id]).await;
            let lost = kept.map_err(|failure| share.error(failure, "renew", "EVAL"))?;
            share.update(|inner| inner.work.lost(&lost));
            Ok(())
        })
    }

    /// A member settled something; somebody may wait for the last one.
    fn settled_one(&self) {
        if self.phase() == Phase::Draining {
            self.hands.notify_one();
        }
    }

    /// The token is not valid any more: the event went elsewhere, or the bus was closed.
    fn too_late(&self) -> OpFuture<'static, ()> {
        OpFuture::ready(match self.phase() {
            Phase::Ended if self.bus.is_closed() => Err(self.closed()),
            _ => Ok(()),
        })
    }

    /// Acknowledges an entry that is in nobody's hands.
    pub(super) fn finish(&self, refused: &Refused) -> Option<Arc<super::acks::Batch>> {
        let mut inner = self.lock();
        let batch = refused.id.map(|id| self.acks.push(id));
        inner.work.forget(refused.serial);
        let room = inner.has_room(&self.acks);
        drop(inner);
        if room {
            self.room.notify_one();
        }
        self.settled_one();
        batch
    }

    /// Forgets an entry that is in nobody's hands. It stays pending on the server.
    pub(super) fn forget(&self, refused: &Refused) {
        self.update(|inner| inner.work.forget(refused.serial));
        self.settled_one();
        if refused.id.is_none() {
            self.hands.notify_waiters();
        }
    }

    /// Gives an entry back to the group: nobody reads here any more.
    pub(super) fn hand_back_one(
        self: &Arc<Self>,
        refused: &Refused,
        counted: u32,
    ) -> OpFuture<'static, ()> {
        let entry: Option<(StreamId, u32)> = refused.id.map(|id| (id, counted));
        let share = Arc::clone(self);
        let refused = refused.clone();
        self.under_way(async move {
            let entries: Vec<_> = entries_of(entry, refused.lost);
            let given = share.hand_back(&entries).await;
            share.forget(&refused);
            given.map_err(|failure| share.error(failure, "release", "EVAL"))
        })
    }
}

fn entries_of(entry: Option<(StreamId, u32)>, lost: bool) -> Vec<(StreamId, u32)> {
    entry.into_iter().filter(|_| !lost).collect()
}
