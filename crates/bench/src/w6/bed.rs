//! An engine on a store and a bus, and runs on it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bowline_events::{InProcessPubSub, PubSub};
use bowline_store::{Stats, Store, TableStats};
use bowline_workflow::Engine;

use super::flow::Flow;
use crate::Result;
use crate::clock::{self, now_ns, round, seconds};
use crate::counting::{Counted, CountingBus, CountingStore, Counts};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome};

/// How long a run and its events are kept after its end, and how often the engine looks for runs that are over. Long enough
/// for a result to be read, short enough that the warm-up sees runs go.
const RETENTION: Duration = Duration::from_millis(100);
/// How long runs that are over may take to go.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Tables that do not grow with the runs: the engines that work, and the graphs of the workflows.
const FIXED: [&str; 2] = ["workers", "graphs"];

/// The engine under measurement, with its default options except for the retention.
pub(super) struct Bed {
    flow: Arc<Flow>,
    bus: InProcessPubSub,
    engine: Engine,
    store: Arc<dyn Store>,
    counts: Arc<Counts>,
}

/// What runs took.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) histogram: Histogram,
    error: Option<String>,
}

impl Bed {
    /// On the in-process bus.
    pub(super) async fn make(flow: Flow, store: Arc<dyn Store>) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let store: Arc<dyn Store> = Arc::new(CountingStore {
            store,
            counts: Arc::clone(&counts),
        });
        let bus = InProcessPubSub::new();
        let counting: Arc<dyn PubSub> = Arc::new(CountingBus {
            bus: bus.clone(),
            counts: Arc::clone(&counts),
        });
        let engine = Engine::builder(Arc::clone(&store), counting)
            .workflow(flow.workflow.clone())
            .watch_retention(RETENTION)
            .run_retention(RETENTION)
            .poll(RETENTION)
            .start()
            .await?;
        Ok(Self {
            flow: Arc::new(flow),
            bus,
            engine,
            store,
            counts,
        })
    }

    /// Starts a run, waits for its result and checks it.
    pub(super) async fn run(&self) -> Result<()> {
        let run = self
            .engine
            .start(self.flow.workflow.id(), self.flow.start()?)
            .await?;
        self.flow.check(&run.result().await?)
    }

    /// Runs, `width` at a time, each task the next when its last has ended, until `length` is over; one per task at least.
    pub(super) async fn runs(self: &Arc<Self>, width: usize, length: Duration) -> Result<Runs> {
        let end = now_ns().saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let tasks: Vec<_> = (0..width)
            .map(|_| tokio::spawn(Arc::clone(self).runs_until(end)))
            .collect();
        let mut all = Runs::default();
        for task in tasks {
            let runs = task.await?;
            all.done += runs.done;
            all.failed += runs.failed;
            all.histogram.merge(&runs.histogram);
            all.error = all.error.or(runs.error);
        }
        match all.error.take() {
            Some(error) if all.done == 0 => Err(error.into()),
            error => Ok(Runs { error, ..all }),
        }
    }

    async fn runs_until(self: Arc<Self>, end: u64) -> Runs {
        let mut runs = Runs::default();
        loop {
            let called = now_ns();
            match self.run().await {
                Ok(()) => runs.done += 1,
                Err(error) => {
                    runs.failed += 1;
                    runs.error = Some(error.to_string());
                }
            }
            let now = now_ns();
            runs.histogram.add(now - called);
            if now >= end {
                return runs;
            }
        }
    }

    /// Measures runs, `width` at a time. `more` adds to what they tell.
    pub(super) async fn measure(
        self: &Arc<Self>,
        width: usize,
        length: Duration,
        more: impl FnOnce(Members) -> Members,
    ) -> Result<Outcome> {
        self.counts.take();
        self.flow.seen.executed.store(0, Relaxed);
        let rss_before = clock::rss_mb();
        let start = now_ns();
        let runs = self.runs(width, length).await?;
        let took = seconds(now_ns() - start);
        let counted = self.counts.take();
        let executed = self.flow.seen.executed.load(Relaxed);
        let growth = |before: Option<f64>| {
            let growth = clock::rss_mb().zip(before);
            growth.map(|(now, before)| round(now - before, 1))
        };
        let mut extras = self.extras(&runs, took, executed, counted);
        extras = extras.with("rss_growth_mb", growth(rss_before));
        let left = self.left_after_retention().await?;
        let records = left.tables.iter().filter(|table| !is_fixed(table));
        let records = records.map(|table| table.records + table.logs).sum::<u64>();
        extras = extras
            .with("commits_per_run", per(counted.commits, runs.done, 1))
            .with("store_bytes_per_step", per(counted.bytes, executed, 1))
            .with("kept_after_retention", records)
            .with("bus_bytes_after_retention", self.bus.bytes());
        Ok(Outcome::new(executed, took)
            .latencies(&runs.histogram)
            .extras(more(extras)))
    }

    /// The extras that the reference has as well.
    fn extras(&self, runs: &Runs, took: f64, executed: u64, counted: Counted) -> Members {
        let steps = self.flow.shape.steps();
        let median = runs.histogram.quantile_us(0.5);
        let latency = median.map(|us| round(us / steps as f64, 3));
        Members::new()
            .with("runs", runs.done)
            .with("failed", runs.failed)
            .with("runs_per_s", round(runs.done as f64 / took, 1))
            .with("per_step_us", round(took * 1e6 / executed as f64, 3))
            .with("per_step_latency_us", latency)
            .with("bus_events_per_run", per(counted.published, runs.done, 1))
            .with("steps_extra", executed as i64 - (runs.done * steps) as i64)
    }

    /// What is in the store when all runs are over for as long as they are kept.
    async fn left_after_retention(&self) -> Result<Stats> {
        let end = now_ns() + PATIENCE.as_nanos() as u64;
        loop {
            let stats = self.store.stats().await?;
            let mut tables = stats.tables.iter();
            let gone = tables.all(|table| is_fixed(table) || table.records + table.logs == 0);
            if gone || now_ns() >= end {
                return Ok(stats);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.engine.close().await;
        self.store.close().await?;
        Ok(())
    }
}

fn is_fixed(table: &TableStats) -> bool {
    FIXED.contains(&table.table.as_str())
}

/// `total` per one of `count`.
fn per(total: u64, count: u64, decimals: i32) -> f64 {
    round(total as f64 / count.max(1) as f64, decimals)
}
