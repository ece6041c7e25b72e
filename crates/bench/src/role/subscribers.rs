//! The subscribers of a role: each reads on a task of its own and has a count of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_events::{OpFuture, PubSub, StartFrom, SubscribeOptions, Subscription, Topic};
use futures_util::future::{Either, FutureExt, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;

use super::command::Subscribe;
use super::counter::Counter;
use crate::Result;

type SharedCounter = Arc<Mutex<Counter>>;

#[derive(Default)]
pub(super) struct Subscribers {
    topics: Mutex<Vec<Topic>>,
    counters: Mutex<Vec<SharedCounter>>,
    /// What the last reset asked for: the interval of latencies, and whether to trace.
    counting: Mutex<Option<(u64, bool)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscribers {
    /// Attaches as many counting subscribers as `wanted` says; a topic that has some already is left as it is.
    pub(super) async fn count(
        &self,
        bus: &dyn PubSub,
        topic: &str,
        wanted: &Subscribe,
    ) -> Result<()> {
        let Some(topic) = self.note(topic) else {
            return Ok(());
        };
        for _ in 0..wanted.count() {
            let mut options = SubscribeOptions::new();
            options.group = wanted.group.clone().map(Into::into);
            if wanted.earliest {
                options.start = StartFrom::Earliest;
            }
            let subscription = bus.subscribe_with(&topic, options).await?;
            let counter = SharedCounter::default();
            if let Some((latency_every, tracing)) = *lock(&self.counting) {
                *lock(&counter) = Counter::new(latency_every, tracing);
            }
            lock(&self.counters).push(Arc::clone(&counter));
            if wanted.ack {
                tokio::spawn(read_and_ack(subscription, counter));
            } else {
                tokio::spawn(read(subscription, counter));
            }
        }
        Ok(())
    }

    /// Attaches a subscriber that counts nothing.
    pub(super) async fn ignore(&self, bus: &dyn PubSub, topic: &str) -> Result<()> {
        if let Some(topic) = self.note(topic) {
            let mut subscription = bus.subscribe_with(&topic, SubscribeOptions::new()).await?;
            tokio::spawn(async move { while subscription.next_batch().await.is_some() {} });
        }
        Ok(())
    }

    /// The topic, unless it was noted before.
    fn note(&self, topic: &str) -> Option<Topic> {
        let topic = Topic::new(topic);
        let mut topics = lock(&self.topics);
        if topics.contains(&topic) {
            return None;
        }
        topics.push(topic.clone());
        Some(topic)
    }

    pub(super) fn reset(&self, latency_every: u64, tracing: bool) {
        *lock(&self.counting) = Some((latency_every, tracing));
        for counter in lock(&self.counters).iter() {
            *lock(counter) = Counter::new(latency_every, tracing);
        }
    }

    pub(super) fn report(&self) -> Value {
        let counters = lock(&self.counters);
        let counters: Vec<_> = counters.iter().map(|counter| lock(counter)).collect();
        Counter::report(
            &counters
                .iter()
                .map(|counter| &**counter)
                .collect::<Vec<_>>(),
        )
    }

    /// Numbers and instants of the first subscriber, in order of receipt.
    pub(super) fn trace(&self) -> Vec<(u64, u64)> {
        lock(&self.counters)
            .first()
            .map(|counter| lock(counter).trace.clone())
            .unwrap_or_default()
    }
}

async fn read(mut subscription: Subscription, counter: SharedCounter) {
    while let Some(item) = subscription.next_batch().await {
        let mut counter = lock(&counter);
        match item {
            Ok(batch) => batch
                .iter()
                .for_each(|delivery| counter.count(delivery.event())),
            Err(notice) => counter.notice(&notice),
        }
    }
}

/// Acknowledges every event, without waiting for one acknowledgement before the next event is looked at.
async fn read_and_ack(mut subscription: Subscription, counter: SharedCounter) {
    let mut acks: FuturesUnordered<OpFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        let next = std::pin::pin!(subscription.next_batch());
        let item = if acks.is_empty() {
            next.await
        } else {
            match select(next, acks.next()).await {
                Either::Left((item, _)) => item,
                Either::Right((ack, _)) => {
                    acknowledge(&counter, ack.as_ref(), &mut acks);
                    continue;
                }
            }
        };
        let Some(item) = item else {
            return;
        };
        let mut counter = lock(&counter);
        match item {
            Ok(batch) => {
                for delivery in batch {
                    counter.count(delivery.event());
                    match delivery.ack().now_or_self() {
                        Ok(result) => counter.acknowledged(u64::from(result.is_ok())),
                        Err(pending) => acks.push(pending),
                    }
                }
            }
            Err(notice) => counter.notice(&notice),
        }
    }
}

/// Takes `ack` and whatever else is known already.
fn acknowledge(
    counter: &Mutex<Counter>,
    ack: Option<&bowline_events::Result<()>>,
    acks: &mut FuturesUnordered<OpFuture<'static, ()>>,
) {
    let mut count = u64::from(matches!(ack, Some(Ok(()))));
    while let Some(Some(ack)) = acks.next().now_or_never() {
        count += u64::from(ack.is_ok());
    }
    lock(counter).acknowledged(count);
}
