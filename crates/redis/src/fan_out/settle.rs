//! What ungrouped subscribers decide about deliveries: only a refusal has an effect.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_events::{Error, ErrorKind, Event, OpFuture, Result, Settle, Settlement};
use tokio::time::Instant;

use super::inbox::{Again, Inbox};
use super::live::Live;
use super::reading::Common;
use crate::dead_letter::Dead;
use crate::settings::Redelivery;
use crate::stream::encode;
use crate::wire::{Failure, Repeat};

/// Refused deliveries that are remembered, so that each is published again once, whoever refuses it.
const REMEMBERED: usize = 4096;

/// Stands for a delivery without a position.
pub(super) const NOWHERE: u64 = u64::MAX;

/// The refused deliveries of one process.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Order>);

#[derive(Debug, Default)]
struct Order {
    names: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Refused {
    /// Remembers a refusal; false when somebody refused the same delivery before.
    fn insert(&self, name: u64) -> bool {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !order.names.insert(name) {
            return false;
        }
        order.order.push_back(name);
        if order.order.len() > REMEMBERED
            && let Some(oldest) = order.order.pop_front()
        {
            order.names.remove(&oldest);
        }
        true
    }

    /// Forgets a refusal that had no effect.
    fn forget(&self, name: u64) {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if order.names.remove(&name) {
            order.order.retain(|other| *other != name);
        }
    }
}

/// Settles the deliveries of one subscriber.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) common: Arc<Common>,
    pub(super) live: Arc<Live>,
    pub(super) inbox: Arc<Inbox>,
}

impl Settle for Settler {
    fn settle(
        &self,
        token: u64,
        event: &Arc<Event>,
        settlement: Settlement,
    ) -> OpFuture<'static, ()> {
        if settlement != Settlement::Nack {
            return OpFuture::ready(Ok(()));
        }
        let settings = &self.common.bus.settings;
        let attempt = event.delivery_attempt;
        let exhausted = settings.max_deliveries.is_some_and(|most| attempt >= most);
        match settings.redelivery {
            Redelivery::GroupLocal { delay } if !exhausted => {
                self.inbox.again(Again {
                    at: Instant::now() + delay,
                    position: (token != NOWHERE).then_some(token),
                    event: Arc::new(event.with_attempt(attempt.saturating_add(1))),
                });
                OpFuture::ready(Ok(()))
            }
            _ => self.once(event, exhausted),
        }
    }

    fn renew(&self, _token: u64) -> OpFuture<'static, ()> {
        OpFuture::ready(Ok(()))
    }
}

impl Settler {
    /// Publishes or buries an event, for all subscribers of this process together.
    fn once(&self, event: &Arc<Event>, exhausted: bool) -> OpFuture<'static, ()> {
        let (common, live) = (Arc::clone(&self.common), Arc::clone(&self.live));
        let name = common.names.of(&live.topic, event);
        if !common.refused.insert(name) {
            return OpFuture::ready(Ok(()));
        }
        let event = Arc::clone(event);
        let work = self.common.runtime.spawn(async move {
            let done = match exhausted {
                true => bury(&common, &live, &event).await,
                false => republish(&common, &live, &event).await,
            };
            if done.is_err() {
                common.refused.forget(name);
            }
            done
        });
        OpFuture::new(async move {
            work.await.unwrap_or_else(|error| {
                let message = "the runtime was shut down before the refusal was carried out";
                Err(Error::new(ErrorKind::Closed, "nack", message).with_source(error))
            })
        })
    }
}

async fn bury(common: &Common, live: &Live, event: &Event) -> Result<()> {
    let buried = common
        .bus
        .bury(&live.topic, None, Dead::Refused(event))
        .await;
    buried.map_err(|failure| common.bus.error(failure, "nack", "XADD", &live.key))
}

/// Appends a copy of `event` as the next attempt. When the connection breaks on the way there may be two.
async fn republish(common: &Common, live: &Live, event: &Event) -> Result<()> {
    let bus = &common.bus;
    let copy = event.with_attempt(event.delivery_attempt.saturating_add(1));
    let text = encode(&copy).map_err(|error| error.with_subject(&live.topic))?;
    let commands = bus.stream(&live.topic);
    let add = commands.add(&text);
    let _publishing = bus.publishing();
    let added = match commands.expire() {
        None => bus.link.run(&add, Repeat::Yes).await.map(|_| ()),
        Some(expire) => {
            let replies = bus.link.run_all(&[add, expire], true, Repeat::Yes).await;
            replies.and_then(|replies| {
                let first = replies.into_iter().next();
                first.map_or(Ok(()), |reply| reply.into_result().map(|_| ()))
            })
        }
    };
    added.map_err(|failure: Failure| bus.error(failure, "nack", "XADD", &live.key))
}
