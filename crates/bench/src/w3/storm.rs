//! Many observers that attach to one cached topic at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_events::{PubSub, StartFrom, SubscribeOptions, Topic};

use super::{bus, fill, publish};
use crate::Result;
use crate::clock::{now_ns, seconds};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::subject::{PATIENCE, run, until};

const OBSERVERS: u64 = 1000;
const CACHED: u64 = 1000;

#[derive(Debug, Default)]
struct Totals {
    misordered: u64,
    last_ns: u64,
    finished: Histogram,
    attached: Histogram,
}

struct Storm {
    bus: Arc<dyn PubSub>,
    topic: Topic,
    offset: u64,
    live: u64,
    deliveries: AtomicU64,
    totals: Mutex<Totals>,
}

impl Storm {
    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> u64 {
        CACHED + self.live
    }

    /// One observer, up to its last event.
    async fn observe(self: Arc<Self>) -> Result<()> {
        let called = now_ns();
        let options = SubscribeOptions::new().start(StartFrom::Offset(self.offset));
        let mut subscription = self.bus.subscribe_with(&self.topic, options).await?;
        self.lock().attached.add(now_ns() - called);
        let (mut next, mut misordered) = (self.offset, 0);
        while next != self.end() {
            let Some(batch) = subscription.next_batch().await else {
                break;
            };
            let batch = batch?;
            for delivery in &batch {
                let index = delivery.event().index;
                if index != Some(next) {
                    misordered += 1;
                }
                next = index.map_or(next, |index| index + 1);
            }
            self.deliveries.fetch_add(batch.len() as u64, Relaxed);
        }
        let mut totals = self.lock();
        totals.last_ns = now_ns();
        let own = totals.last_ns - called;
        totals.finished.add(own);
        totals.misordered += misordered;
        Ok(())
    }

    async fn publish_live(self: Arc<Self>) -> Result<()> {
        for seq in CACHED..self.end() {
            tokio::task::yield_now().await;
            publish(&*self.bus, &self.topic, seq).await?;
        }
        Ok(())
    }
}

async fn storm_of(offset: u64, live: u64) -> Result<Outcome> {
    let storm = Arc::new(Storm {
        bus: bus(),
        topic: Topic::new("storm"),
        offset,
        live,
        deliveries: AtomicU64::new(0),
        totals: Mutex::default(),
    });
    fill(&*storm.bus, &storm.topic, CACHED).await?;
    let start = now_ns();
    let observers: Vec<_> = (0..OBSERVERS)
        .map(|_| tokio::spawn(Arc::clone(&storm).observe()))
        .collect();
    tokio::spawn(Arc::clone(&storm).publish_live()).await??;
    let finished = || storm.lock().finished.len();
    until(finished, OBSERVERS, PATIENCE).await;
    for observer in observers {
        if observer.is_finished() {
            observer.await??;
        }
    }
    let deliveries = storm.deliveries.load(Relaxed);
    let totals = storm.lock();
    let expected = OBSERVERS * (storm.end() - offset);
    let extras = Members::new()
        .with("attach_p99_us", totals.attached.quantile_us(0.99))
        .with("complete_observers", totals.finished.len())
        .with("lost", expected as i64 - deliveries as i64)
        .with("misordered", totals.misordered);
    Ok(Outcome::new(deliveries, seconds(totals.last_ns - start))
        .latencies(&totals.finished)
        .extras(extras))
}

pub(super) fn measurement(offset: u64, live: u64) -> Measurement {
    let params = Members::new()
        .with("observers", OBSERVERS)
        .with("cached_events", CACHED)
        .with("offset", offset)
        .with("live_during", live);
    Measurement::one(Subject::new("W3.storm", params), move |settings| {
        run(settings.flavor, storm_of(offset, live))
    })
}
