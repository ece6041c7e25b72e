//! What the roles of a measurement report, and waiting until it does not change any more.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::Result;
use crate::clock::seconds;
use crate::histogram::Histogram;
use crate::process::{Process, call_each};

const POLL: Duration = Duration::from_millis(20);

/// The reply to `blast` and `paced`.
#[derive(Debug, Deserialize)]
pub(crate) struct Publication {
    pub(crate) published: u64,
    pub(crate) rejected: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) rss_mb: Option<f64>,
}

/// The reply to `stats`.
#[derive(Debug, Deserialize)]
pub(crate) struct Stats {
    pub(crate) received: u64,
    pub(crate) out_of_order_or_dup: u64,
    #[serde(default)]
    pub(crate) missed: u64,
    #[serde(default)]
    pub(crate) acked: u64,
    pub(crate) first_ns: Option<u64>,
    pub(crate) last_ns: Option<u64>,
    pub(crate) last_ack_ns: Option<u64>,
    pub(crate) hist: Histogram,
    pub(crate) rss_mb: Option<f64>,
    pub(crate) clients: u64,
}

/// Polls `processes` until `is_done` or nothing moved for `still`; the result is their last stats.
pub(crate) fn settled(
    processes: &mut [Process],
    still: Duration,
    is_done: impl Fn(&[Stats]) -> bool,
) -> Result<Vec<Stats>> {
    let (mut moved, mut since) = (None, Instant::now());
    loop {
        let stats: Vec<Stats> = call_each(processes, "stats", &json!({}))?;
        if is_done(&stats) {
            return Ok(stats);
        }
        let now = Some(
            stats
                .iter()
                .map(|stat| stat.received + stat.acked)
                .sum::<u64>(),
        );
        if now != moved {
            (moved, since) = (now, Instant::now());
        } else if since.elapsed() >= still {
            return Ok(stats);
        }
        sleep(POLL);
    }
}

/// What all subscribers got of a publication.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// From the first publish to the last delivery at the slowest subscriber.
    pub(crate) seconds: f64,
    pub(crate) histogram: Histogram,
    pub(crate) received: u64,
    pub(crate) lost: i64,
    pub(crate) misplaced: u64,
}

impl Delivered {
    /// `subscribers` is their number over all processes.
    pub(crate) fn new(publication: &Publication, stats: &[Stats], subscribers: usize) -> Self {
        let mut histogram = Histogram::default();
        for stat in stats {
            histogram.merge(&stat.hist);
        }
        let last_ns = stats.iter().filter_map(|stat| stat.last_ns).max();
        let received = stats.iter().map(|stat| stat.received).sum();
        let expected = publication.published * subscribers as u64;
        Self {
            seconds: seconds(last_ns.unwrap_or(0).saturating_sub(publication.first_ns)),
            histogram,
            received,
            lost: expected as i64 - received as i64,
            misplaced: stats.iter().map(|stat| stat.out_of_order_or_dup).sum(),
        }
    }

    pub(crate) fn per_second(&self) -> u64 {
        (self.received as f64 / self.seconds).round() as u64
    }
}
