//! Readers of a run that has ended.

use std::sync::Arc;

use bowline_agent::Strategy;
use tokio::task::JoinSet;

use super::bed::Bed;
use super::model::Stamping;
use super::{DELTAS, Reads};
use crate::Result;
use crate::clock::{milliseconds, now_ns, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::subject::run;

/// The first event that is read.
const OFFSET: u64 = 500;
/// Deltas before it: four events come before the first.
const BEFORE: u64 = OFFSET - 4;
const WIDTHS: [usize; 2] = [1, 50];

/// Attaches `width` readers at once.
async fn observe(bed: &Arc<Bed>, run: &str, width: usize) -> Result<(Reads, u64)> {
    let start = now_ns();
    let mut readers = JoinSet::new();
    for _ in 0..width {
        let (bed, run) = (Arc::clone(bed), run.to_owned());
        readers.spawn(async move { bed.observe(&run, OFFSET, BEFORE).await });
    }
    let mut reads = Reads::default();
    while let Some(read) = readers.join_next().await {
        reads.add(&read??, DELTAS - BEFORE);
    }
    Ok((reads, now_ns() - start))
}

/// One reader twice, of which the first counts for its `cold_ms` alone, and then many.
async fn measure() -> Result<Vec<Outcome>> {
    let model = Stamping {
        deltas: DELTAS,
        gap: None,
    };
    let bed = Arc::new(Bed::make(model, true, Strategy::Durable).await?);
    bed.run().await?;
    let (_, id) = bed.run().await?;
    let (_, cold) = observe(&bed, &id, 1).await?;
    let mut outcomes = Vec::new();
    for width in WIDTHS {
        let (reads, took) = observe(&bed, &id, width).await?;
        let cold_ms = (width == 1).then(|| milliseconds(cold));
        let extras = Members::new()
            .with("first_delta_p50_us", reads.firsts.quantile_us(0.5))
            .with("lost", reads.lost)
            .with("misordered", reads.misordered)
            .with("without_finish", reads.without_finish)
            .with("cold_ms", cold_ms);
        let outcome = Outcome::new(reads.deltas, seconds(took)).latencies(&reads.lengths);
        outcomes.push(outcome.extras(extras));
    }
    bed.close().await?;
    Ok(outcomes)
}

pub(super) fn measurement() -> Measurement {
    let subjects = WIDTHS.map(|width| {
        let params = Members::new()
            .with("observers", width)
            .with("offset", OFFSET)
            .with("chunks", DELTAS);
        Subject::new("W7.observe", params)
    });
    Measurement::new(subjects.to_vec(), move |settings, print| {
        let outcomes = run(settings.flavor, measure())?;
        for (subject, outcome) in subjects.iter().zip(outcomes) {
            print(subject, outcome)?;
        }
        Ok(())
    })
}
