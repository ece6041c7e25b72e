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

/// Microseconds per step between the steps `first` and `last` of the run that went through them last.
fn pace(seen: &Seen, first: usize, last: usize) -> Option<f64> {
    let at = |step: usize| Some(seen.instants.get(step)?.load(Relaxed));
    let ns = at(last)?.saturating_sub(at(first)?);
    Some(round(ns as f64 / 1e3 / (last - first).max(1) as f64, 3))
}

/// What the first tenth of the steps cost, and the last.
fn paces(seen: &Seen, extras: Members) -> Members {
    let last = seen.instants.len().saturating_sub(1);
    let tenth = seen.instants.len() / 10;
    let head = pace(seen, 0, tenth);
    let tail = pace(seen, last.saturating_sub(tenth), last);
    let growth = tail.zip(head).map(|(tail, head)| round(tail / head, 3));
    extras
        .with("head10_us", head)
        .with("tail10_us", tail)
        .with("tail_over_head", growth)
}

async fn measure(settings: Settings, steps: u64) -> Result<Outcome> {
    let (store, _) = Backend::Memory.open().await?;
    let flow = Flow::timed(steps)?;
    let seen = Arc::clone(&flow.seen);
    let bed = Arc::new(Bed::make(flow, store).await?);
    bed.runs(1, settings.warm_up).await?;
    let paces = |extras: Members| paces(&seen, extras);
    let outcome = bed.measure(1, settings.length, paces).await?;
    bed.close().await?;
    Ok(outcome)
}

pub(super) fn measurement(steps: u64) -> Measurement {
    let params = Members::new()
        .with("concurrent_runs", 1)
        .with("steps_per_run", steps);
    Measurement::one(Subject::new("W6.long", params), move |settings| {
        run(settings.flavor, measure(settings.clone(), steps))
    })
}
