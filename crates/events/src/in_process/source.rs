//! Subscriptions of the in-process bus.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::settle::{GroupSettle, ReaderSettle};
use super::topic::TopicState;
use crate::log::{MemberId, Read, ReaderId};
use crate::{Delivery, Error, ErrorKind, Fill, Settle, SubscribeOptions, SubscriptionSource, Text};

/// Events that a group member takes in one go: few, so that a slow member does not sit on work.
const MEMBER_BATCH: usize = 16;

/// An ungrouped subscription: a cursor.
pub(super) struct ReaderSource {
    state: Arc<TopicState>,
    reader: ReaderId,
    settle: Option<Arc<dyn Settle>>,
    parked: bool,
    flushes: u64,
}

impl ReaderSource {
    pub(super) fn attach(
        state: &Arc<TopicState>,
        options: &SubscribeOptions,
        redelivery: bool,
    ) -> Option<Self> {
        let reader = state.attach(|inner| {
            inner
                .log
                .attach(options.start, options.skippable, Instant::now())
        })?;
        let settle =
            redelivery.then(|| Arc::new(ReaderSettle::new(state, reader)) as Arc<dyn Settle>);
        Some(Self {
            state: Arc::clone(state),
            reader,
            settle,
            parked: false,
            flushes: state.flushes(),
        })
    }
}

impl SubscriptionSource for ReaderSource {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        let Self {
            state,
            reader,
            settle,
            parked,
            ..
        } = self;
        let read = state.update(|inner| {
            let read = inner.log.read(*reader, Instant::now(), max, |seq, event| {
                let event = Arc::clone(event);
                into.push_back(match settle {
                    Some(settle) => {
                        Delivery::with_settle(event, Some(seq), Arc::clone(settle), seq)
                    }
                    None => Delivery::new(event, Some(seq)),
                });
            });
            if read == Read::Empty {
                inner.park_reader(*reader, cx.waker(), *parked);
            }
            read
        });
        self.parked = read == Read::Empty;
        fill(read, &self.state)
    }

    fn take_flush(&mut self) -> bool {
        self.state.was_flushed_since(&mut self.flushes)
    }
}

impl Drop for ReaderSource {
    fn drop(&mut self) {
        self.state.detach(|inner| {
            inner.unpark_reader(self.reader);
            inner.log.detach(self.reader);
        });
    }
}

/// A grouped subscription.
pub(super) struct MemberSource {
    state: Arc<TopicState>,
    member: MemberId,
    settle: Arc<dyn Settle>,
    leased: bool,
    flushes: u64,
}

impl MemberSource {
    pub(super) fn join(
        state: &Arc<TopicState>,
        group: &Text,
        options: &SubscribeOptions,
    ) -> Option<Self> {
        let member = state.attach(|inner| inner.log.join(group, options.start, options.lease))?;
        Some(Self {
            state: Arc::clone(state),
            member,
            settle: Arc::new(GroupSettle::new(state, member.group)),
            leased: options.lease.is_some(),
            flushes: state.flushes(),
        })
    }
}

impl SubscriptionSource for MemberSource {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        let Self {
            state,
            member,
            settle,
            leased,
            ..
        } = self;
        let (read, timer) = state.update(|inner| {
            let read = inner
                .log
                .take(*member, Instant::now(), max.min(MEMBER_BATCH), |grant| {
                    into.push_back(Delivery::with_settle(
                        grant.event,
                        Some(grant.seq),
                        Arc::clone(settle),
                        grant.token,
                    ));
                });
            if read == Read::Empty {
                inner.park_member(*member, cx.waker());
            }
            (
                read,
                if *leased {
                    inner.log.next_timer()
                } else {
                    None
                },
            )
        });
        state.arm(timer);
        fill(read, &self.state)
    }

    fn take_flush(&mut self) -> bool {
        self.state.was_flushed_since(&mut self.flushes)
    }
}

impl Drop for MemberSource {
    fn drop(&mut self) {
        self.state.detach(|inner| {
            inner.unpark_member(self.member);
            inner.log.leave(self.member);
        });
    }
}

fn fill(read: Read, state: &TopicState) -> Poll<Fill> {
    let topic = state.topic();
    match read {
        Read::Some(_) => Poll::Ready(Fill::Some),
        Read::Empty => Poll::Pending,
        Read::Truncated(missed) => Poll::Ready(Fill::Notice(Error::truncation(
            topic,
            missed.wanted,
            missed.first,
        ))),
        Read::Cleared => {
            let message = "the history was cleared; reading goes on at the start of the new one";
            Poll::Ready(Fill::Notice(
                Error::new(ErrorKind::Cleared, "read", message).with_subject(topic),
            ))
        }
        Read::End | Read::Gone => Poll::Ready(Fill::End),
    }
}
