//! W7: a durable agent whose model answers with a thousand text deltas.

mod bed;
mod crowd;
mod memory;
mod model;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use bowline_agent::Strategy;
use tokio::task::JoinSet;

use crate::Result;
use crate::clock::{self, now_ns, round, seconds};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::settings::Settings;
use crate::subject::run;
use bed::{Bed, Read};
use model::Stamping;

/// Deltas of a run without pauses.
const DELTAS: u64 = 1000;
/// The pause between deltas of a paced run.
const GAP: Duration = Duration::from_millis(5);
/// The strategies, with the names of their measurements. A step of the reference's evented agents is taken by nobody else; one of
/// ours is.
const STRATEGIES: [(Strategy, [&str; 2]); 2] = [
    (Strategy::Durable, ["W7.durable", "W7.durable.paced"]),
    (Strategy::Evented, ["W7.evented", "W7.evented.paced"]),
];

/// What the readers of several runs saw.
#[derive(Default)]
struct Reads {
    runs: u64,
    deltas: u64,
    lost: u64,
    misordered: u64,
    without_finish: u64,
    latencies: Histogram,
    lengths: Histogram,
    firsts: Histogram,
}

impl Reads {
    fn add(&mut self, read: &Read, expected: u64) {
        self.runs += 1;
        self.deltas += read.deltas;
        self.lost += expected.saturating_sub(read.deltas);
        self.misordered += read.misordered;
        self.without_finish += u64::from(!read.finished);
        self.latencies.merge(&read.latencies);
        self.lengths.add(read.ended - read.called);
        if let Some(first) = read.first {
            self.firsts.add(first - read.called);
        }
    }

    /// The extras that the reference has as well.
    fn extras(&self, took: f64, published: u64) -> Members {
        let runs = self.runs.max(1) as f64;
        let run_ms = |q| self.lengths.quantile_us(q).map(|us| round(us / 1e3, 3));
        Members::new()
            .with("run_p50_ms", run_ms(0.5))
            .with("run_p99_ms", run_ms(0.99))
            .with("runs", self.runs)
            .with("runs_per_s", round(self.runs as f64 / took, 1))
            .with("first_delta_p50_us", self.firsts.quantile_us(0.5))
            .with("first_delta_p99_us", self.firsts.quantile_us(0.99))
            .with("bus_events_per_run", round(published as f64 / runs, 1))
            .with("lost", self.lost)
            .with("misordered", self.misordered)
            .with("without_finish", self.without_finish)
    }
}

/// Starts `width` runs at once and reads them to their ends.
async fn round_of(bed: &Arc<Bed>, width: usize, reads: &mut Reads) -> Result<()> {
    let mut readers = JoinSet::new();
    for _ in 0..width {
        let bed = Arc::clone(bed);
        readers.spawn(async move { bed.run().await });
    }
    while let Some(read) = readers.join_next().await {
        reads.add(&read??.0, bed.deltas);
    }
    Ok(())
}

async fn measure(width: usize, rounds: usize, strategy: Strategy) -> Result<Outcome> {
    let model = Stamping {
        deltas: DELTAS,
        gap: None,
    };
    let bed = Arc::new(Bed::make(model, false, strategy).await?);
    bed.run().await?;
    bed.counts.take();
    let mut reads = Reads::default();
    let rss_before = clock::rss_mb();
    let start = now_ns();
    for _ in 0..rounds {
        round_of(&bed, width, &mut reads).await?;
    }
    let took = seconds(now_ns() - start);
    let growth = clock::rss_mb().zip(rss_before);
    let counted = bed.counts.take();
    let runs = reads.runs.max(1) as f64;
    let kept = bed.left_after_retention().await?;
    let extras = reads
        .extras(took, counted.published)
        .with(
            "rss_growth_mb",
            growth.map(|(now, then)| round(now - then, 1)),
        )
        .with("commits_per_run", round(counted.commits as f64 / runs, 1))
        .with("store_bytes_per_run", round(counted.bytes as f64 / runs, 0))
        .with("kept_after_retention", kept)
        .with("bus_bytes_after_retention", bed.bus.bytes());
    bed.close().await?;
    Ok(Outcome::new(reads.deltas, took)
        .latencies(&reads.latencies)
        .extras(extras))
}

async fn measure_paced(length: Duration, strategy: Strategy) -> Result<Outcome> {
    let model = Stamping {
        deltas: paced_deltas(length),
        gap: Some(GAP),
    };
    let bed = Bed::make(model, false, strategy).await?;
    let (read, _) = bed.run().await?;
    bed.close().await?;
    let lost = model.deltas.saturating_sub(read.deltas);
    Ok(Outcome::new(read.deltas, seconds(read.ended - read.called))
        .latencies(&read.latencies)
        .extras(Members::new().with("lost", lost)))
}

fn paced_deltas(length: Duration) -> u64 {
    (length.as_secs_f64() / GAP.as_secs_f64()).round() as u64
}

fn params(width: usize) -> Members {
    Members::new()
        .with("concurrent_runs", width)
        .with("chunks", DELTAS)
}

pub(crate) fn measurements() -> Vec<Measurement> {
    let mut all = Vec::new();
    for (strategy, [name, _]) in STRATEGIES {
        all.extend([(1, 20), (50, 2)].map(|(width, rounds)| {
            let subject = Subject::new(name, params(width));
            Measurement::one(subject, move |settings: &Settings| {
                run(settings.flavor, measure(width, rounds, strategy))
            })
        }));
    }
    for (strategy, [_, name]) in STRATEGIES {
        let per_s = round(1.0 / GAP.as_secs_f64(), 0) as u64;
        let paced = Members::new()
            .with("concurrent_runs", 1)
            .with("rate_per_s", per_s);
        all.push(Measurement::one(
            Subject::new(name, paced),
            move |settings| run(settings.flavor, measure_paced(settings.length, strategy)),
        ));
    }
    all.push(observe::measurement());
    all.extend(crowd::measurements());
    all.push(memory::measurement());
    all
}
