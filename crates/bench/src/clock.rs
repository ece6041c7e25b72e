//! Clocks and the footprint of this process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of the machine.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is ever negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Processor time of this process since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// The sum is exact; the share of the system is known in clock ticks only, and 0 where there is no `/proc`.
    pub(crate) fn now() -> Self {
        let total = Duration::from_nanos(nanoseconds(ClockId::ProcessCPUTime));
        let system = system_time().unwrap_or_default().min(total);
        Self {
            user: total - system,
            system,
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

fn system_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold spaces; the 13th field after it is the system time.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_ascii_whitespace().nth(12)?.parse().ok()?;
    Some(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
    ))
}

/// Resident set in MB with one decimal; `None` where there is no `/proc`.
pub(crate) fn rss_mb() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(round(
        pages * rustix::param::page_size() as f64 / f64::from(1 << 20),
        1,
    ))
}

/// The load average of the last minute; `None` where there is no `/proc`.
pub(crate) fn load1() -> Option<f64> {
    let loads = fs::read_to_string("/proc/loadavg").ok()?;
    loads.split_ascii_whitespace().next()?.parse().ok()
}

/// `number` with that many decimals.
pub(crate) fn round(number: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (number * unit).round() / unit
}

/// Nanoseconds as milliseconds with three decimals.
pub(crate) fn milliseconds(ns: u64) -> f64 {
    round(ns as f64 / 1e6, 3)
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
