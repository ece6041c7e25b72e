//! What the in-process workloads have in common: the runtime, the bus, the subscribers and their tallies.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{Event, PubSub, SubscribeOptions, Subscription, Topic};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::payload::Stamped;
use crate::publishers::STAMP_EVERY;
use crate::settings::Flavor;

/// How long deliveries may take to come in after the last publish.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(1);

pub(crate) fn runtime(flavor: Flavor) -> Result<Runtime> {
    let mut builder = match flavor {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread(workers) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    Ok(builder.enable_all().build()?)
}

/// Runs `work` as a task of a fresh runtime.
pub(crate) fn run<T: Send + 'static>(
    flavor: Flavor,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let runtime = runtime(flavor)?;
    // A task, since the thread that blocks on a multi-threaded runtime is not one of its workers.
    runtime.block_on(runtime.spawn(work))?
}

/// What one subscriber saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Events that were handed over.
    pub(crate) seen: u64,
    /// Events that count as received; of a group, those that were acked.
    pub(crate) received: u64,
    pub(crate) misordered: u64,
    pub(crate) last_ns: u64,
    pub(crate) histogram: Histogram,
    next: u64,
}

impl Tally {
    /// Counts an event of P(n) as received.
    pub(crate) fn count(&mut self, event: &Event) {
        let seen = self.seen;
        self.look_at(event);
        self.received += self.seen - seen;
    }

    /// Counts an event of P(n) as seen; anything else is not counted.
    pub(crate) fn look_at(&mut self, event: &Event) {
        let Some(data) = Stamped::of(event) else {
            return;
        };
        let seq = data.seq();
        if seq.is_multiple_of(STAMP_EVERY)
            && let Some(ns) = data.latency_ns(now_ns())
        {
            self.histogram.add(ns);
        }
        if seq != self.next {
            self.misordered += 1;
        }
        self.next = seq + 1;
        self.seen += 1;
    }
}

/// A tally that its subscriber and the coordinator share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tallies of all subscribers of a measurement.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Vec<Shared>);

impl Tallies {
    /// Attaches `count` subscribers; each is read on a task of its own by what `read` returns.
    pub(crate) async fn attach<F: Future<Output = ()> + Send + 'static>(
        bus: &dyn PubSub,
        topic: &Topic,
        options: &SubscribeOptions,
        count: usize,
        read: impl Fn(Subscription, Shared) -> F,
    ) -> Result<Self> {
        let mut tallies = Self::default();
        for _ in 0..count {
            let subscription = bus.subscribe_with(topic, options.clone()).await?;
            let tally = Shared::default();
            tokio::spawn(read(subscription, tally.clone()));
            tallies.0.push(tally);
        }
        Ok(tallies)
    }

    pub(crate) fn sum(&self, number: impl Fn(&Tally) -> u64) -> u64 {
        self.0.iter().map(|tally| number(&tally.lock())).sum()
    }

    pub(crate) fn each(&self, number: impl Fn(&Tally) -> u64) -> Vec<u64> {
        self.0.iter().map(|tally| number(&tally.lock())).collect()
    }

    pub(crate) fn received(&self) -> u64 {
        self.sum(|tally| tally.received)
    }

    pub(crate) fn last_ns(&self) -> u64 {
        self.each(|tally| tally.last_ns)
            .into_iter()
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn histogram(&self) -> Histogram {
        let mut all = Histogram::default();
        for tally in &self.0 {
            all.merge(&tally.lock().histogram);
        }
        all
    }

    /// Waits until `deliveries` came in, or nothing more is to be expected.
    pub(crate) async fn wait_for(&self, deliveries: u64) {
        let received = || self.received();
        until(received, deliveries, PATIENCE).await;
    }

    pub(crate) fn reset(&self) {
        for tally in &self.0 {
            *tally.lock() = Tally::default();
        }
    }
}

/// Waits until `count` has reached `wanted` or did not grow for `patience`.
pub(crate) async fn until(count: impl Fn() -> u64, wanted: u64, patience: Duration) {
    let (mut best, mut since) = (0, now_ns());
    loop {
        let now = count();
        if now >= wanted {
            return;
        }
        if now > best {
            (best, since) = (now, now_ns());
        } else if now_ns() - since >= patience.as_nanos() as u64 {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}
