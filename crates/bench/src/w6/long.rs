//! A run of many steps: whether the last ones cost what the first ones do.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Backend;
use super::bed::Bed;
use super::flow::{Flow, Seen};
use crate::Result;
use crate::clock::round;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::settings::Settings;
use crate::subject::run;

const STEPS: u64 = 10_000;
/// Steps that are averaged.
const SPAN: usize = 1000;

/// Microseconds per step, from the step `first` on, of the run that went through them last.
fn pace(seen: &Seen, first: usize) -> Option<f64> {
    let at = |step: usize| Some(seen.instants.get(step)?.load(Relaxed));
    let last = (first + SPAN).min(seen.instants.len().saturating_sub(1));
    let ns = at(last)?.saturating_sub(at(first)?);
    Some(round(ns as f64 / 1e3 / (last - first).max(1) as f64, 3))
}

async fn measure(settings: Settings) -> Result<Outcome> {
    let (store, _) = Backend::Memory.open().await?;
    let flow = Flow::timed(STEPS)?;
    let seen = Arc::clone(&flow.seen);
    let bed = Arc::new(Bed::make(flow, store).await?);
    bed.run().await?;
    let paces = |extras: Members| {
        extras
            .with("first1000_us", pace(&seen, 0))
            .with("last1000_us", pace(&seen, STEPS as usize - SPAN))
    };
    let outcome = bed.measure(1, settings.length, paces).await?;
    bed.close().await?;
    Ok(outcome)
}

pub(super) fn measurement() -> Measurement {
    let params = Members::new()
        .with("concurrent_runs", 1)
        .with("steps_per_run", STEPS);
    Measurement::one(Subject::new("W6.long", params), move |settings| {
        run(settings.flavor, measure(settings.clone()))
    })
}
