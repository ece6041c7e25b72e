//! Sizes that the environment may change; the defaults are those of a comparable run.

use std::env;
use std::str::FromStr;
use std::time::Duration;

/// Which runtime the in-process workloads run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Publishers and subscribers share one thread.
    CurrentThread,
    /// So many worker threads.
    MultiThread(usize),
}

/// See the table in `bench/README.md`.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) length: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) failovers: usize,
    pub(crate) failover_rate: u64,
    pub(crate) flavor: Flavor,
}

/// Why a variable cannot be used.
type Refusal = String;

impl Settings {
    pub(crate) fn from_env() -> Result<Self, Refusal> {
        Ok(Self {
            length: duration("BENCH_SECONDS", 3.0)?,
            warm_up: duration("BENCH_WARMUP_SECONDS", 0.5)?,
            failovers: number("FAILOVERS", 20)?,
            failover_rate: number("FAILOVER_RATE", 1000)?,
            flavor: match number("BENCH_WORKERS", 0)? {
                0 => Flavor::CurrentThread,
                workers => Flavor::MultiThread(workers),
            },
        })
    }
}

/// `seconds` as a duration, if it is one.
pub(crate) fn span(seconds: f64) -> Result<Duration, Refusal> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| format!("{seconds} seconds: {error}; pass a number from 0 on"))
}

fn duration(name: &str, fallback: f64) -> Result<Duration, Refusal> {
    span(number(name, fallback)?).map_err(|error| format!("{name}: {error}"))
}

fn number<T: FromStr>(name: &str, fallback: T) -> Result<T, Refusal> {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .map_err(|_| format!("{name} is {text:?}; set it to a number or not at all")),
        Err(_) => Ok(fallback),
    }
}
