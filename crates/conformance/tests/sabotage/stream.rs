//! Defects between the bus and the reader.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bowline_events::{
    Delivery, Dialect, Event, EventId, Fill, OpFuture, Payload, Settle, Settlement, Subscription,
    SubscriptionSource, Timestamp,
};
use futures_core::Stream;

use super::Sabotage;

/// A subscription that reads from another one and spoils what it reads.
pub(crate) struct Spoiled {
    inner: Option<Subscription>,
    sabotage: Sabotage,
    count: u64,
    pending: Option<Delivery>,
    ended: bool,
    lost: bool,
    leak: Arc<Mutex<Vec<Subscription>>>,
}

impl Spoiled {
    pub(crate) fn new(
        inner: Subscription,
        sabotage: Sabotage,
        leak: Arc<Mutex<Vec<Subscription>>>,
    ) -> Self {
        Self {
            inner: Some(inner),
            sabotage,
            count: 0,
            pending: None,
            ended: false,
            lost: false,
            leak,
        }
    }

    fn pass_on(&mut self, delivery: Delivery, into: &mut VecDeque<Delivery>) {
        self.count += 1;
        let seventh = self.count.is_multiple_of(7);
        match self.sabotage {
            Sabotage::LosesOneInSeven if seventh => drop(delivery.ack()),
            Sabotage::DoublesOneInSeven if seventh => {
                into.push_back(Delivery::new(delivery.share(), delivery.seq()));
                into.push_back(delivery);
            }
            Sabotage::LosesLineFeeds if holds_line_feed(&delivery) => drop(delivery.ack()),
            Sabotage::SwapsPairs => match self.pending.take() {
                Some(held) => into.extend([delivery, held]),
                None => self.pending = Some(delivery),
            },
            _ => into.push_back(self.rewrite(delivery)),
        }
    }

    fn rewrite(&self, delivery: Delivery) -> Delivery {
        let mut event = delivery.event().clone();
        let mut seq = delivery.seq();
        match self.sabotage {
            Sabotage::FreshIds => event.id = EventId::random(),
            Sabotage::SameIds => event.id = EventId::parse("always-the-same"),
            Sabotage::TimeFromTheEpoch => event.created_at = Timestamp::from_millis(0),
            Sabotage::AttemptTwo => event.delivery_attempt += 1,
            Sabotage::ForgetsExtras => event.extra = None,
            Sabotage::ForgetsIndex => (event.index, event.generation) = (None, None),
            Sabotage::AbsentBecomesNull if event.data.is_absent() => {
                event.data = Payload::serialize(&()).expect("null");
            }
            Sabotage::ReparsesData => {
                let value = event
                    .data
                    .parse::<f64>()
                    .map(|number| Payload::serialize(&number));
                event.data = value
                    .unwrap_or_else(|_| Payload::serialize("?"))
                    .expect("plain values serialise");
            }
            Sabotage::TruncatesLargeData if event.data.weight() > 16 => {
                event.data = Payload::serialize("short").expect("text");
            }
            Sabotage::LocalValuesSerialised => {
                event.data = Payload::json(event.data.to_json().expect("json")).expect("json");
            }
            Sabotage::PlainTaggedValues => {
                let plain = event.data.to_json_in(Dialect::Plain).expect("json");
                event.data = Payload::from_valid_json(plain, Dialect::Tagged);
            }
            Sabotage::LocalValuesVanish if event.data.as_json().is_none() => {
                event.data = Payload::absent();
            }
            Sabotage::EmptyTypes => event.event_type = "".into(),
            Sabotage::SkipsPositions => seq = seq.map(|seq| seq ^ 1),
            _ => {}
        }
        if !delivery.is_settleable() {
            return Delivery::new(Arc::new(event), seq);
        }
        let settle = Arc::new(Twisted {
            sabotage: self.sabotage,
            original: Mutex::new(HashMap::from([(0, delivery)])),
        });
        Delivery::with_settle(Arc::new(event), seq, settle, 0)
    }
}

impl SubscriptionSource for Spoiled {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        _max: usize,
    ) -> Poll<Fill> {
        if self.ended {
            return Poll::Ready(Fill::End);
        }
        loop {
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(Fill::End);
            };
            match Pin::new(inner).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(delivery))) => {
                    if self.sabotage == Sabotage::LosesCancelledReads
                        && !std::mem::replace(&mut self.lost, true)
                    {
                        drop(delivery.ack());
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    self.pass_on(delivery, into);
                    if !into.is_empty() {
                        return Poll::Ready(Fill::Some);
                    }
                }
                Poll::Ready(Some(Err(_))) if self.sabotage == Sabotage::HidesNotices => {}
                Poll::Ready(Some(Err(error))) => {
                    self.ended = self.sabotage == Sabotage::EndsAtNotices;
                    return Poll::Ready(Fill::Notice(error));
                }
                Poll::Ready(None) if self.sabotage == Sabotage::NeverEnds => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Fill::End),
            }
        }
    }

    fn unsubscribe(mut self: Box<Self>) -> OpFuture<'static, ()> {
        match self.inner.take() {
            Some(inner) if self.sabotage == Sabotage::UnsubscribeLeaks => {
                self.leak
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(inner);
                OpFuture::ready(Ok(()))
            }
            Some(inner) => inner.unsubscribe(),
            None => OpFuture::ready(Ok(())),
        }
    }
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        if self.sabotage == Sabotage::UnsubscribeLeaks {
            let mut leak = self.leak.lock().unwrap_or_else(PoisonError::into_inner);
            leak.extend(self.inner.take());
        }
    }
}

fn holds_line_feed(event: &Event) -> bool {
    event
        .data
        .as_json()
        .is_some_and(|text| text.contains(&b'\n'))
}

/// Settles the original delivery, though not always as told.
struct Twisted {
    sabotage: Sabotage,
    original: Mutex<HashMap<u64, Delivery>>,
}

impl Settle for Twisted {
    fn settle(&self, token: u64, _: &Arc<Event>, settlement: Settlement) -> OpFuture<'static, ()> {
        let taken = self
            .original
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&token);
        let Some(original) = taken else {
            return OpFuture::ready(Ok(()));
        };
        match (self.sabotage, settlement) {
            (Sabotage::SettleHangs, _) => OpFuture::new(std::future::pending()),
            (Sabotage::DropIsNackForAll, Settlement::Dropped) => original.nack(),
            (Sabotage::AckIsNack, Settlement::Ack) => original.nack(),
            (Sabotage::NackIsAck, Settlement::Nack) => original.ack(),
            (Sabotage::DropIsAck, Settlement::Dropped) => original.ack(),
            (Sabotage::ReleaseIsNack, Settlement::Release) => original.nack(),
            (_, Settlement::Ack) => original.ack(),
            (_, Settlement::Nack) => original.nack(),
            (_, Settlement::Release) => original.release(),
            _ => OpFuture::ready({
                let _: () = drop(original);
                Ok(())
            }),
        }
    }

    fn renew(&self, token: u64) -> OpFuture<'static, ()> {
        if self.sabotage == Sabotage::RenewDoesNothing {
            return OpFuture::ready(Ok(()));
        }
        let original = self.original.lock().unwrap_or_else(PoisonError::into_inner);
        match original.get(&token) {
            Some(delivery) => delivery.renew(),
            None => OpFuture::ready(Ok(())),
        }
    }
}
