//! W4: the socket bus between processes.

mod cluster;
mod failover;

use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;
use crate::clock::{round, seconds};
use crate::deliveries::{self, Delivered, Publication, Stats};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::roles::Roles;
use cluster::Cluster;

const RATE: u64 = 1000;
const BYTES: usize = 200;

/// Polls the subscribers until each has `expected` events or none moved for `still`; the result is their last stats.
fn settled(cluster: &mut Cluster, expected: u64, still: Duration) -> Result<Vec<Stats>> {
    deliveries::settled(&mut cluster.subscribers, still, |stats| {
        stats.iter().all(|stat| stat.received >= expected)
    })
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
        let delivered = Delivered::new(&publication, &stats, subscribers);
        let publishing = seconds(publication.last_ns - publication.first_ns);
        let extras = Members::new()
            .with("publish_seconds", round(publishing, 4))
            .with("deliveries_per_s", delivered.per_second())
            .with("lost", delivered.lost)
            .with("out_of_order_or_dup", delivered.misplaced)
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
        let delivered = Delivered::new(&publication, &stats, subscribers);
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
