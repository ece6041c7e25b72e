//! Reading a subscription in a clause.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bowline_events::{Delivery, Error, Event, Subscription};

use crate::session::{number, within};
use crate::verdict::ensure_eq;
use crate::{ClauseResult, Unmet};

/// A subscription that is read with a deadline.
pub(crate) struct Reader {
    pub(crate) subscription: Subscription,
    pub(crate) settle: Duration,
    pub(crate) deadline: Duration,
}

impl Reader {
    /// The next item, whatever it is; `None` is the end of the stream.
    pub(crate) async fn item(&mut self) -> Result<Option<Result<Delivery, Error>>, Unmet> {
        within(self.deadline, "next", self.subscription.next()).await
    }

    /// The next item, which must be a delivery.
    pub(crate) async fn delivery(&mut self) -> Result<Delivery, Unmet> {
        match self.item().await? {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(Unmet::violated(format!(
                "wanted a delivery, saw the notice or error: {error}"
            ))),
            None => Err(Unmet::violated(
                "wanted a delivery, saw the end of the stream",
            )),
        }
    }

    /// The next item, which must be a notice or an error.
    pub(crate) async fn notice(&mut self) -> Result<Error, Unmet> {
        match self.item().await? {
            Some(Err(error)) => Ok(error),
            Some(Ok(delivery)) => Err(Unmet::violated(format!(
                "wanted a notice, saw the event {}",
                describe(&delivery)
            ))),
            None => Err(Unmet::violated(
                "wanted a notice, saw the end of the stream",
            )),
        }
    }

    /// The event of the next delivery, which is acked.
    pub(crate) async fn event(&mut self) -> Result<Arc<Event>, Unmet> {
        let delivery = self.delivery().await?;
        let event = delivery.share();
        self.ack(delivery).await?;
        Ok(event)
    }

    /// The events of the next `count` deliveries, which are acked.
    pub(crate) async fn events(&mut self, count: usize) -> Result<Vec<Arc<Event>>, Unmet> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            let seen = events.len();
            let event = self.event().await;
            events.push(
                event.map_err(|unmet| unmet.within(format!("after {seen} of {count} events")))?,
            );
        }
        Ok(events)
    }

    /// The numbers of the next `count` events, which are acked.
    pub(crate) async fn numbers(&mut self, count: usize) -> Result<Vec<u64>, Unmet> {
        self.events(count)
            .await?
            .iter()
            .map(|event| number(event))
            .collect()
    }

    /// Demands that the next events are the numbers of `range`, in order.
    pub(crate) async fn expect_numbers(&mut self, range: std::ops::Range<u64>) -> ClauseResult {
        for wanted in range {
            let event = self
                .event()
                .await
                .map_err(|unmet| unmet.within(format!("waiting for event {wanted}")))?;
            ensure_eq!(number(&event)?, wanted, "next event");
        }
        Ok(())
    }

    /// Demands that nothing arrives any more.
    pub(crate) async fn expect_quiet(&mut self) -> ClauseResult {
        match tokio::time::timeout(self.settle, self.subscription.next()).await {
            Err(_) => Ok(()),
            Ok(Some(Ok(delivery))) => Err(Unmet::violated(format!(
                "wanted nothing more, saw the event {}",
                describe(&delivery)
            ))),
            Ok(Some(Err(error))) => Err(Unmet::violated(format!(
                "wanted nothing more, saw the notice or error: {error}"
            ))),
            Ok(None) => Err(Unmet::violated(
                "wanted an open stream without events, saw its end",
            )),
        }
    }

    /// What is there already, without waiting.
    pub(crate) async fn ready(&mut self) -> Option<Option<Result<Delivery, Error>>> {
        let mut next = pin!(self.subscription.next());
        poll_fn(|cx| {
            Poll::Ready(match next.as_mut().poll(cx) {
                Poll::Ready(item) => Some(item),
                Poll::Pending => None,
            })
        })
        .await
    }

    pub(crate) async fn ack(&mut self, delivery: Delivery) -> ClauseResult {
        Ok(within(self.deadline, "ack", delivery.ack()).await??)
    }

    pub(crate) async fn unsubscribe(self) -> ClauseResult {
        Ok(within(
            self.deadline,
            "unsubscribe",
            self.subscription.unsubscribe(),
        )
        .await??)
    }
}

fn describe(event: &Event) -> String {
    format!(
        "{} ({}, data {:?}, attempt {})",
        event.id, event.event_type, event.data, event.delivery_attempt
    )
}
