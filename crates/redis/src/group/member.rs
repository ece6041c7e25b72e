//! The subscription of a member.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use bowline_events::{Delivery, Error, ErrorKind, Fill, OpFuture, Settle, SubscriptionSource};

use super::Registry;
use super::settle::Settler;
use super::share::{Ending, Share};
use super::work::{MemberId, Notice, SMALL_SHARE};

/// One member of a group.
pub(super) struct Member {
    share: Arc<Share>,
    id: MemberId,
    settler: Arc<dyn Settle>,
    registry: Arc<Registry>,
    /// What it takes counts as being worked on: take little.
    timed: bool,
    flushes: u64,
    left: bool,
}

impl Member {
    /// The member `id` of `share`. `timed` when it may hold a delivery for a limited time only.
    pub(super) fn new(
        share: Arc<Share>,
        id: MemberId,
        timed: bool,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            settler: Arc::new(Settler(Arc::clone(&share))),
            id,
            registry,
            timed: timed || share.bus.settings.in_flight_timeout.is_some(),
            flushes: share.flushes(),
            left: false,
            share,
        }
    }

    fn fill(&self, notice: Notice) -> Fill {
        let topic = &self.share.topic;
        Fill::Notice(match notice {
            Notice::Cleared => {
                let message = "the topic was cleared; reading goes on with what is published since";
                Error::new(ErrorKind::Cleared, "read", message).with_subject(topic)
            }
            Notice::Truncated { wanted, first } => Error::truncation(topic, wanted, first),
        })
    }

    /// Leaves; the future of what follows when it was the last.
    fn leave(&mut self) -> Option<OpFuture<'static, ()>> {
        if std::mem::replace(&mut self.left, true) || !self.share.leave(self.id) {
            return None;
        }
        let registry = Arc::clone(&self.registry);
        let share = Arc::clone(&self.share);
        Some(self.share.in_background(async move {
            registry.depart(&share).await;
            Ok(())
        }))
    }
}

impl SubscriptionSource for Member {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        let Self {
            share, id, settler, ..
        } = self;
        let most = match self.timed {
            true => max.min(SMALL_SHARE),
            false => max.min(share.portion.load(Relaxed)),
        };
        let fill = share.update(|inner| {
            if let Some(notice) = inner.work.take_notice(*id) {
                return Poll::Ready(Err(notice));
            }
            match &inner.ending {
                None => {}
                Some(Ending::Closed) => return Poll::Ready(Ok(Fill::End)),
                Some(Ending::Failed(failure)) => {
                    let error = share.error(failure.clone(), "read", "XREADGROUP");
                    return Poll::Ready(Ok(Fill::Failed(error)));
                }
            }
            let taken = inner.work.take(*id, most, Instant::now(), |event, token| {
                into.push_back(Delivery::with_settle(
                    event,
                    None,
                    Arc::clone(settler),
                    token,
                ));
            });
            if taken > 0 {
                return Poll::Ready(Ok(Fill::Some));
            }
            inner.park(*id, cx.waker());
            Poll::Pending
        });
        fill.map(|fill| fill.unwrap_or_else(|notice| self.fill(notice)))
    }

    fn take_flush(&mut self) -> bool {
        let flushes = self.share.flushes();
        std::mem::replace(&mut self.flushes, flushes) != flushes
    }

    fn unsubscribe(mut self: Box<Self>) -> OpFuture<'static, ()> {
        self.leave().unwrap_or_else(|| OpFuture::ready(Ok(())))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.leave());
    }
}
