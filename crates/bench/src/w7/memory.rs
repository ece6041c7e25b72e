//! What finished runs leave in memory when they are over for as long as they are kept.

use std::sync::Arc;

use bowline_agent::Strategy;
use bowline_events::PubSub;

use super::bed::Bed;
use super::model::Stamping;
use super::{DELTAS, Reads, round_of};
use crate::Result;
use crate::clock::{self, now_ns, round, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::subject::run;

/// Runs at a time, and how often, before the memory is looked at.
const WIDTH: usize = 50;
const ROUNDS: usize = 4;
/// The first batches show what the process needs for so many runs at once, the others what it keeps of them.
const BATCHES: [usize; 2] = [2, 4];

/// What there is when nothing of the runs is left.
struct Seen {
    rss_mb: Option<f64>,
    records: u64,
    topics: usize,
}

/// Several runs until nothing of them is left.
async fn batch(bed: &Arc<Bed>, reads: &mut Reads) -> Result<Seen> {
    for _ in 0..ROUNDS {
        round_of(bed, WIDTH, reads).await?;
    }
    Ok(Seen {
        records: bed.left_after_retention().await?,
        rss_mb: clock::rss_mb(),
        topics: bed.bus.topics().await?.len(),
    })
}

async fn measure() -> Result<Outcome> {
    let model = Stamping {
        deltas: DELTAS,
        gap: None,
    };
    let bed = Arc::new(Bed::make(model, false, Strategy::Durable).await?);
    let start = now_ns();
    let mut reads = Reads::default();
    let mut seen = Vec::new();
    for batches in BATCHES {
        for _ in 1..batches {
            batch(&bed, &mut reads).await?;
        }
        seen.push(batch(&bed, &mut reads).await?);
    }
    let took = seconds(now_ns() - start);
    let [before, after] = &seen[..] else {
        return Err("not every batch was measured".into());
    };
    let (topics, records) = (after.topics as i64 - before.topics as i64, after.records);
    let (before, after) = (before.rss_mb, after.rss_mb);
    let growth = after.zip(before).map(|(after, before)| after - before);
    let runs = (WIDTH * ROUNDS * BATCHES[1]) as f64;
    let per_run = growth.map(|mb| round(mb * 1024.0 / runs, 3));
    let extras = Members::new()
        .with("rss_growth_mb", growth.map(|mb| round(mb, 1)))
        .with("growth_kb_per_run", per_run)
        .with("topics_growth", topics)
        .with("kept_after_retention", records)
        .with("bus_bytes_after_retention", bed.bus.bytes())
        .with("lost", reads.lost);
    bed.close().await?;
    Ok(Outcome::new(reads.deltas, took).extras(extras))
}

pub(super) fn measurement() -> Measurement {
    let params = Members::new()
        .with("runs", WIDTH * ROUNDS * BATCHES.iter().sum::<usize>())
        .with("chunks", DELTAS);
    Measurement::one(Subject::new("W7.memory", params), |settings| {
        run(settings.flavor, measure())
    })
}
