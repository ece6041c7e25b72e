//! Requests as fast as a number of tasks can make them, each timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Result;
use crate::clock::{CpuTime, now_ns, seconds};
use crate::histogram::Histogram;

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// Processor time of this process.
    pub(super) cpu: Duration,
    /// From the call to the answer.
    pub(super) histogram: Histogram,
}

impl Made {
    pub(super) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// Processor time of one request, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    pub(super) fn merge(&mut self, more: &Self) {
        self.count += more.count;
        self.seconds += more.seconds;
        self.cpu += more.cpu;
        self.histogram.merge(&more.histogram);
    }
}

/// How many requests are made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// As many as begin in this time.
    Passed(Duration),
    /// So many.
    Count(u64),
}

/// `width` tasks that each make a request and await it, until there are enough. Numbers count from `first` on, the requests of
/// all tasks.
///
/// # Errors
/// The first failure of a request.
pub(super) async fn make<F, R>(width: usize, until: Until, first: u64, request: F) -> Result<Made>
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let (begun, cpu_before) = (now_ns(), CpuTime::now());
    let (end, last) = match until {
        Until::Passed(length) => (begun + length.as_nanos() as u64, u64::MAX),
        Until::Count(count) => (u64::MAX, first + count),
    };
    let next = Arc::new(AtomicU64::new(first));
    let tasks: Vec<_> = (0..width)
        .map(|_| {
            let (next, request) = (Arc::clone(&next), request.clone());
            tokio::spawn(async move {
                let mut histogram = Histogram::default();
                loop {
                    let called = now_ns();
                    if called >= end || next.load(Relaxed) >= last {
                        return Result::Ok(histogram);
                    }
                    request(next.fetch_add(1, Relaxed)).await?;
                    histogram.add(now_ns() - called);
                }
            })
        })
        .collect();
    let mut histogram = Histogram::default();
    for task in tasks {
        histogram.merge(&task.await??);
    }
    Ok(Made {
        count: next.load(Relaxed) - first,
        seconds: seconds(now_ns() - begun),
        cpu: CpuTime::now().total() - cpu_before.total(),
        histogram,
    })
}
