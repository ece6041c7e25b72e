//! W4: the socket bus between processes.

mod cluster;
mod failover;
mod process;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Result;
use crate::clock::{round, seconds};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use cluster::Cluster;
pub(crate) use cluster::Roles;

const POLL: Duration = Duration::from_millis(20);
const RATE: u64 = 1000;
const BYTES: usize = 200;

/// The reply to `blast` and `paced`.
#[derive(Debug, Deserialize)]
struct Publication {
    published: u64,
    rejected: u64,
    first_ns: u64,
    last_ns: u64,
    rss_mb: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Stats {
    received: u64,
    out_of_order_or_dup: u64,
    last_ns: Option<u64>,
    hist: Histogram,
    rss_mb: Option<f64>,
    clients: u64,
}

/// Polls the subscribers until each has `expected` events or none moved for `still`; the result is their last stats.
fn settled(cluster: &mut Cluster, expected: u64, still: Duration) -> Result<Vec<Stats>> {
    let (mut received, mut since) = (None, Instant::now());
    loop {
        let stats: Vec<Stats> = cluster.call_subscribers("stats", &json!({}))?;
        if stats.iter().all(|stat| stat.received >= expected) {
            return Ok(stats);
        }
        let now = Some(stats.iter().map(|stat| stat.received).sum::<u64>());
        if now != received {
            (received, since) = (now, Instant::now());
        } else if since.elapsed() >= still {
            return Ok(stats);
        }
        sleep(POLL);
    }
}

/// What throughput and latency have in common.
struct Delivered {
    seconds: f64,
    histogram: Histogram,
    received: u64,
    lost: i64,
}

fn delivered(publication: &Publication, stats: &[Stats]) -> Delivered {
    let mut histogram = Histogram::default();
    for stat in stats {
        histogram.merge(&stat.hist);
    }
    let last_ns = stats.iter().filter_map(|stat| stat.last_ns).max();
    let received = stats.iter().map(|stat| stat.received).sum();
    let expected = publication.published * stats.len() as u64;
    Delivered {
        seconds: seconds(last_ns.unwrap_or(0).saturating_sub(publication.first_ns)),
        histogram,
        received,
        lost: expected as i64 - received as i64,
    }
}

fn with_roles(extras: Members, cluster: &Cluster) -> Members {
    match cluster.mixture() {
        Some(roles) => extras.with_group("roles", roles),
        None => extras,
    }
}

fn throughput(subscribers: usize, bytes: usize, width: usize, roles: &Roles) -> Measurement {
    let params = Members::new()
        .with("subscribers", subscribers)
        .with("payload_bytes", bytes)
        .with("in_flight", width);
    let roles = roles.clone();
    Measurement::one(Subject::new("W4.throughput", params), move |settings| {
        let mut cluster = Cluster::start(&roles, subscribers)?;
        let blast = |length: Duration| json!({"bytes": bytes, "width": width, "seconds": length.as_secs_f64()});
        cluster
            .publisher
            .call::<Value>("blast", blast(settings.warm_up))?;
        settled(&mut cluster, u64::MAX, Duration::from_millis(500))?;
        cluster.call_subscribers::<Value>("reset", &json!({}))?;
        let publication: Publication = cluster.publisher.call("blast", blast(settings.length))?;
        let stats = settled(&mut cluster, publication.published, Duration::from_secs(3))?;
        let broker: Stats = cluster.broker.call("stats", json!({}))?;
        let delivered = delivered(&publication, &stats);
        let misplaced: u64 = stats.iter().map(|stat| stat.out_of_order_or_dup).sum();
        let publishing = seconds(publication.last_ns - publication.first_ns);
        let extras = Members::new()
            .with("publish_seconds", round(publishing, 4))
            .with(
                "deliveries_per_s",
                (delivered.received as f64 / delivered.seconds).round() as u64,
            )
            .with("lost", delivered.lost)
            .with("out_of_order_or_dup", misplaced)
            .with("rejected", publication.rejected)
            .with("rss_pub_mb", publication.rss_mb)
            .with("rss_sub_mb", stats.first().and_then(|stat| stat.rss_mb))
            .with("broker_clients_after", broker.clients);
        Ok(Outcome {
            rss_mb: broker.rss_mb,
            ..Outcome::new(publication.published, delivered.seconds)
        }
        .latencies(&delivered.histogram)
        .extras(with_roles(extras, &cluster)))
    })
}

fn latency(subscribers: usize, roles: &Roles) -> Measurement {
    let params = Members::new()
        .with("subscribers", subscribers)
        .with("payload_bytes", BYTES)
        .with("rate_per_s", RATE);
    let roles = roles.clone();
    Measurement::one(Subject::new("W4.latency", params), move |settings| {
        let mut cluster = Cluster::start(&roles, subscribers)?;
        let paced = |seconds: f64| json!({"rate": RATE, "seconds": seconds, "bytes": BYTES});
        cluster.publisher.call::<Value>("paced", paced(1.0))?;
        settled(&mut cluster, u64::MAX, Duration::from_millis(300))?;
        cluster.call_subscribers::<Value>("reset", &json!({"latency_every": 1}))?;
        let publication: Publication = cluster
            .publisher
            .call("paced", paced(settings.length.as_secs_f64()))?;
        let stats = settled(&mut cluster, publication.published, Duration::from_secs(3))?;
        let broker: Stats = cluster.broker.call("stats", json!({}))?;
        let delivered = delivered(&publication, &stats);
        let extras = Members::new().with("lost", delivered.lost).with(
            "max_us",
            round(delivered.histogram.max_ns() as f64 / 1e3, 3),
        );
        Ok(Outcome {
            rss_mb: broker.rss_mb,
            ..Outcome::new(publication.published, delivered.seconds)
        }
        .latencies(&delivered.histogram)
        .extras(with_roles(extras, &cluster)))
    })
}

pub(crate) fn measurements(roles: &Roles, failovers: usize, rate: u64) -> Vec<Measurement> {
    let mut all = Vec::new();
    for (subscribers, bytes, width) in [
        (1, 200, 1),
        (1, 200, 256),
        (1, 16384, 1),
        (1, 16384, 256),
        (8, 200, 1),
        (8, 200, 256),
    ] {
        all.push(throughput(subscribers, bytes, width, roles));
    }
    all.extend([1, 8].map(|subscribers| latency(subscribers, roles)));
    all.push(failover::measurement(roles, failovers, rate));
    all
}
