//! A run of many steps: whether the last ones cost what the first ones do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Backend;
use super::bed::Bed;
use super::flow::{Flow, Seen, Shape};
use crate::Result;
use crate::clock::{now_ns, round};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::settings::Settings;
use crate::subject::run;

/// How long steps take in the first and in the last tenth of runs that follow one another.
#[derive(Debug)]
pub(super) struct Pace {
    steps: u64,
    /// When the present tenth began.
    begun: AtomicU64,
    tenths: Mutex<Tenths>,
}

/// Nanoseconds per step of each run.
#[derive(Debug, Default)]
struct Tenths {
    head: Histogram,
    tail: Histogram,
}

impl Pace {
    fn new(steps: u64) -> Self {
        Self {
            steps,
            begun: AtomicU64::new(0),
            tenths: Mutex::default(),
        }
    }

    /// The step with this number is executed.
    pub(super) fn pass(&self, step: u64) {
        let (tenth, last) = ((self.steps / 10).max(1), self.steps.saturating_sub(1));
        let per_step = || (now_ns() - self.begun.load(Relaxed)) / tenth;
        if step == tenth {
            self.tenths().head.add(per_step());
        }
        if step == last {
            self.tenths().tail.add(per_step());
        }
        if step == 0 || step == last.saturating_sub(tenth) {
            self.begun.store(now_ns(), Relaxed);
        }
    }

    fn tenths(&self) -> MutexGuard<'_, Tenths> {
        self.tenths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the medians.
    fn tell(&self, extras: Members) -> Members {
        let tenths = self.tenths();
        let (head, tail) = (tenths.head.quantile_us(0.5), tenths.tail.quantile_us(0.5));
        let growth = tail.zip(head).map(|(tail, head)| round(tail / head, 3));
        extras
            .with("head10_us", head)
            .with("tail10_us", tail)
            .with("tail_over_head", growth)
    }
}

async fn measure(settings: Settings, steps: u64) -> Result<Outcome> {
    let (store, _) = Backend::Memory.open().await?;
    let pace = Arc::new(Pace::new(steps));
    let seen = Seen {
        pace: Some(Arc::clone(&pace)),
        ..Seen::default()
    };
    let flow = Flow::with(Shape::Linear(steps), seen)?;
    let bed = Arc::new(Bed::make(flow, store).await?);
    bed.runs(1, settings.warm_up).await?;
    *pace.tenths() = Tenths::default();
    let tell = |extras: Members| pace.tell(extras);
    let outcome = bed.measure(1, settings.length, tell).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_gives_one_pace_of_its_first_and_one_of_its_last_tenth() {
        let pace = Pace::new(100);
        for step in (0..100).chain(0..100) {
            pace.pass(step);
        }
        let Tenths { head, tail } = std::mem::take(&mut *pace.tenths());
        for tenth in [head, tail] {
            let told = serde_json::to_value(tenth).expect("a histogram");
            assert_eq!(told["n"], 2);
        }
        assert!(pace.tell(Members::new()).json().contains("tail_over_head"));
    }
}
