//! What subscribers decide about deliveries.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Shared;
use super::append::Appendable;
use super::topic::TopicState;
use crate::log::{DeadLetter, GroupId, ReaderId};
use crate::{Event, OpFuture, Settle, Settlement, Topic};

/// Settles the deliveries of one group.
pub(super) struct GroupSettle {
    state: Arc<TopicState>,
    group: GroupId,
}

impl GroupSettle {
    pub(super) fn new(state: &Arc<TopicState>, group: GroupId) -> Self {
        Self {
            state: Arc::clone(state),
            group,
        }
    }
}

impl Settle for GroupSettle {
    fn settle(
        &self,
        token: u64,
        _event: &Arc<Event>,
        settlement: Settlement,
    ) -> OpFuture<'static, ()> {
        let later = matches!(settlement, Settlement::Nack | Settlement::Dropped);
        let timer = self.state.update(|inner| {
            inner
                .log
                .settle(self.group, token, settlement, Instant::now());
            if later { inner.log.next_timer() } else { None }
        });
        self.state.arm(timer);
        OpFuture::ready(Ok(()))
    }

    fn renew(&self, token: u64) -> OpFuture<'static, ()> {
        self.state
            .update(|inner| inner.log.renew(self.group, token, Instant::now()));
        OpFuture::ready(Ok(()))
    }
}

/// Settles the deliveries of one ungrouped subscriber on a bus that redelivers to those too.
pub(super) struct ReaderSettle {
    state: Weak<TopicState>,
    reader: ReaderId,
}

impl ReaderSettle {
    pub(super) fn new(state: &Arc<TopicState>, reader: ReaderId) -> Self {
        Self {
            state: Arc::downgrade(state),
            reader,
        }
    }
}

impl Settle for ReaderSettle {
    fn settle(
        &self,
        seq: u64,
        event: &Arc<Event>,
        settlement: Settlement,
    ) -> OpFuture<'static, ()> {
        if settlement == Settlement::Nack
            && let Some(state) = self.state.upgrade()
        {
            let timer =
                state.update(|inner| inner.log.refuse(self.reader, seq, event, Instant::now()));
            state.arm(timer);
        }
        OpFuture::ready(Ok(()))
    }

    fn renew(&self, _token: u64) -> OpFuture<'static, ()> {
        OpFuture::ready(Ok(()))
    }
}

/// Takes care of events that were refused as often as allowed.
pub(super) fn bury(bus: &Weak<Shared>, topic: &Topic, dead: Vec<DeadLetter>) {
    let Some(bus) = bus.upgrade() else { return };
    for letter in dead {
        tracing::warn!(%topic, group = %letter.group, id = %letter.event.id, attempts = letter.event.delivery_attempt, "event given up after its last delivery");
        let Some(target) = &bus.settings.dead_letters else {
            continue;
        };
        if target == topic {
            continue;
        }
        if let Err(error) = bus.append(target, Appendable::Ready(letter.event)) {
            tracing::error!(topic = %target, %error, "dead letter lost");
        }
    }
}
