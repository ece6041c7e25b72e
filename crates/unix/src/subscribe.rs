//! Subscriptions: a share in a membership, and the local stream of what it brings.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bowline_events::{
    Delivery, Error, ErrorKind, Fill, OpFuture, Result, SubscribeOptions, Subscription,
    SubscriptionSource, Topic,
};
use tokio::time::{Instant, timeout_at};

use crate::broker::Membership;
use crate::frame::{Kind, write_membership};
use crate::gate::GatedWaker;
use crate::participant::{Link, Participant, Role, copy};
use crate::pubsub::Handle;

/// How long an unsubscribe waits for its acknowledgement: old brokers send none.
const UNSUBSCRIBE_WAIT: Duration = Duration::from_secs(1);

/// Attaches a subscriber and waits until the broker knows of it.
pub(crate) async fn subscribe(
    handle: Arc<Handle>,
    topic: Topic,
    options: SubscribeOptions,
) -> Result<Subscription> {
    let participant = Arc::clone(handle.participant());
    let membership = Membership {
        topic,
        group: options.group.clone(),
    };
    let start = {
        let mut link = participant.link();
        participant.ensure_started(&mut link, "subscribe")?
    };
    let inner = participant.local.subscribe(&membership, options).await?;
    let share = Share::join(handle, membership);
    share.confirmed(start).await?;
    let waker = GatedWaker::new(&participant.local.gate);
    Ok(Subscription::new(Box::new(Source {
        inner,
        waker,
        share,
    })))
}

/// One subscriber's share in a membership; leaves when dropped.
struct Share {
    handle: Arc<Handle>,
    membership: Membership,
    left: bool,
}

impl Share {
    fn join(handle: Arc<Handle>, membership: Membership) -> Self {
        let participant = handle.participant();
        let mut link = participant.link();
        if link.memberships.join(&membership) {
            tell(participant, &mut link, Kind::Subscribe, &membership);
        }
        participant.memberships_changed();
        drop(link);
        Self {
            handle,
            membership,
            left: false,
        }
    }

    /// Waits until events of the membership come here.
    async fn confirmed(&self, start: u64) -> Result<()> {
        let participant = self.handle.participant();
        let timeout = participant.options.membership_ack_timeout;
        let deadline = Instant::now() + timeout;
        loop {
            let mut changed = pin!(participant.changed.notified());
            changed.as_mut().enable();
            if let Some(outcome) = self.outcome(&participant.link(), start) {
                return outcome;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return self.unconfirmed(timeout);
            }
        }
    }

    fn outcome(&self, link: &Link, start: u64) -> Option<Result<()>> {
        if link.closing {
            return Some(Err(self.handle.participant().closed("subscribe")));
        }
        if link.memberships.is_refused(&self.membership) {
            return Some(Err(self.refused()));
        }
        match &link.role {
            Role::Broker => Some(Ok(())),
            Role::Client(_) => link
                .memberships
                .is_confirmed(&self.membership)
                .then_some(Ok(())),
            Role::Idle | Role::Closed => match &link.failure {
                Some((failed, error)) if *failed == start => Some(Err(copy(error))),
                _ => None,
            },
            Role::Starting => None,
        }
    }

    /// Nothing was heard in time. A connection that has stood for a while has certainly carried the frame; the broker is slow,
    /// or does not acknowledge.
    fn unconfirmed(&self, timeout: Duration) -> Result<()> {
        let link = self.handle.participant().link();
        let stood = link
            .connected_at
            .is_some_and(|since| since.elapsed() >= timeout / 2);
        if stood && matches!(link.role, Role::Client(_)) {
            tracing::warn!(topic = %self.membership.topic, "the broker did not confirm a subscription in time; taken for granted");
            return Ok(());
        }
        let message =
            format!("no broker confirmed the subscription within {timeout:?}; try again later");
        let error = Error::new(ErrorKind::Unavailable, "subscribe", message)
            .with_subject(&self.membership.topic);
        Err(match &link.failure {
            Some((_, cause)) => error.with_source(copy(cause)),
            None => error,
        })
    }

    fn refused(&self) -> Error {
        let message = "the broker is an old version that does not know groups and would give every event to every member; update it, or subscribe without a group";
        Error::new(ErrorKind::Unsupported, "subscribe", message)
            .with_subject(&self.membership.topic)
    }

    /// Gives the share up. Whether the broker was told and will acknowledge.
    fn leave(&mut self) -> bool {
        if std::mem::replace(&mut self.left, true) {
            return false;
        }
        let participant = self.handle.participant();
        let mut link = participant.link();
        let last = link.memberships.leave(&self.membership);
        participant.memberships_changed();
        last && tell(participant, &mut link, Kind::Unsubscribe, &self.membership)
    }

    /// Waits a bounded time until the broker gives no more events to this process.
    async fn acknowledged(&self) {
        let participant = self.handle.participant();
        let wait = UNSUBSCRIBE_WAIT.min(participant.options.membership_ack_timeout);
        let deadline = Instant::now() + wait;
        loop {
            let mut changed = pin!(participant.changed.notified());
            changed.as_mut().enable();
            {
                let link = participant.link();
                let waiting = matches!(link.role, Role::Client(_)) && !link.no_unsubscribe_acks;
                if !waiting || link.memberships.is_left(&self.membership) {
                    return;
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                participant.link().no_unsubscribe_acks = true;
                return;
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Tells the broker of a change, in the order of everything else that is sent to it. Whether a frame went out.
fn tell(participant: &Participant, link: &mut Link, kind: Kind, membership: &Membership) -> bool {
    match link.role {
        Role::Client(_) => {
            link.memberships.requested(kind, membership);
            let mut frame = Vec::new();
            write_membership(
                kind,
                &membership.topic,
                membership.group.as_deref(),
                &mut frame,
            );
            link.window.control(frame);
            participant.wake_writer(link);
            true
        }
        Role::Broker => {
            participant.hub.with(|broker| match kind {
                Kind::Subscribe => broker.join_local(membership),
                _ => broker.leave_local(membership),
            });
            false
        }
        // The next connection begins with all memberships.
        Role::Idle | Role::Starting | Role::Closed => false,
    }
}

struct Source {
    inner: Subscription,
    waker: GatedWaker,
    share: Share,
}

impl SubscriptionSource for Source {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        _max: usize,
    ) -> Poll<Fill> {
        let batch = {
            let mut gated = Context::from_waker(self.waker.of(cx));
            let next = pin!(self.inner.next_batch());
            ready!(next.poll(&mut gated))
        };
        Poll::Ready(match batch {
            Some(Ok(mut deliveries)) => {
                into.append(&mut deliveries);
                Fill::Some
            }
            Some(Err(error)) if error.is_notice() => Fill::Notice(error),
            Some(Err(error)) => Fill::Failed(error),
            None if self.share.handle.participant().is_closing() => Fill::End,
            None => Fill::Failed(self.share.refused()),
        })
    }

    fn unsubscribe(self: Box<Self>) -> OpFuture<'static, ()> {
        let Self {
            inner, mut share, ..
        } = *self;
        let told = share.leave();
        let detached = inner.unsubscribe();
        OpFuture::new(async move {
            detached.await?;
            if told {
                share.acknowledged().await;
            }
            Ok(())
        })
    }
}
