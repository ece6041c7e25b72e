//! What finished runs leave in memory when they are over for as long as they are kept.

use std::sync::Arc;

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

/// Several runs until nothing of them is left; the memory of this process then.
async fn batch(bed: &Arc<Bed>, reads: &mut Reads) -> Result<(Option<f64>, u64)> {
    for _ in 0..ROUNDS {
        round_of(bed, WIDTH, reads).await?;
    }
    let left = bed.left_after_retention().await?;
    Ok((clock::rss_mb(), left))
}

async fn measure() -> Result<Outcome> {
    let model = Stamping {
        deltas: DELTAS,
        gap: None,
    };
    let bed = Arc::new(Bed::make(model, false).await?);
    let start = now_ns();
    let mut reads = Reads::default();
    let mut seen = Vec::new();
    for batches in BATCHES {
        let mut last = (None, 0);
        for _ in 0..batches {
            last = batch(&bed, &mut reads).await?;
        }
        seen.push(last);
    }
    let took = seconds(now_ns() - start);
    let [(before, _), (after, left)] = seen[..] else {
        return Err("not every batch was measured".into());
    };
    let growth = after.zip(before).map(|(after, before)| after - before);
    let runs = (WIDTH * ROUNDS * BATCHES[1]) as f64;
    let per_run = growth.map(|mb| round(mb * 1024.0 / runs, 3));
    let extras = Members::new()
        .with("rss_growth_mb", growth.map(|mb| round(mb, 1)))
        .with("growth_kb_per_run", per_run)
        .with("kept_after_retention", left)
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
