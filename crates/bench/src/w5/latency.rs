//! From publish to subscriber at a rate that leaves the machine idle, beside a bare request at the same rate.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::server::Server;
use super::{Address, BYTES, clear, fresh_topic, start, start_publisher, tell};
use crate::Result;
use crate::clock::round;
use crate::deliveries::{Delivered, Publication, settled};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::process::{Process, call_each};
use crate::roles::Roles;
use crate::settings::Settings;

const RATE: u64 = 1000;
const WARM_UP: f64 = 1.0;
/// About what P(200) takes as the text of an entry.
const ENTRY_BYTES: usize = 350;

#[derive(Deserialize)]
struct Requested {
    hist: Histogram,
}

/// Requests without a bus, made by the publishing process, half as long as the events.
fn bare(publisher: &mut Process, topic: &str, settings: &Settings) -> Result<Histogram> {
    let request = json!({
        "topic": format!("{topic}-bare"),
        "rate": RATE,
        "seconds": settings.length.as_secs_f64() / 2.0,
        "bytes": ENTRY_BYTES,
    });
    Ok(publisher.call::<Requested>("request", request)?.hist)
}

fn measure(group: Option<&str>, roles: &Roles, settings: &Settings) -> Result<Outcome> {
    let server = Server::find()?;
    let address = Address::new(&server.url);
    let topic = fresh_topic();
    let mut publisher = start_publisher(roles, &address)?;
    let mut subscribers = start("subscriber", 1, &roles.subscriber, &address)?;
    let subscribe = json!({"topic": topic, "group": group, "ack": true});
    call_each::<Value>(&mut subscribers, "subscribe", &subscribe)?;
    let paced =
        |seconds: f64| json!({"topic": topic, "rate": RATE, "seconds": seconds, "bytes": BYTES});
    tell(&mut publisher, "paced", paced(WARM_UP))?;
    let mut requested = bare(&mut publisher, &topic, settings)?;
    settled(&mut subscribers, Duration::from_millis(300), |_| false)?;
    call_each::<Value>(&mut subscribers, "reset", &json!({"latency_every": 1}))?;
    let publication: Publication = publisher.call("paced", paced(settings.length.as_secs_f64()))?;
    let stats = settled(&mut subscribers, Duration::from_secs(3), |stats| {
        stats.iter().all(|stat| stat.acked >= publication.published)
    })?;
    requested.merge(&bare(&mut publisher, &topic, settings)?);
    drop((publisher, subscribers));
    for topic in [format!("{topic}-bare"), topic] {
        clear(settings.flavor, &address, &topic)?;
    }
    let delivered = Delivered::new(&publication, &stats, 1);
    let median = delivered.histogram.quantile_us(0.5);
    let bare_median = requested.quantile_us(0.5);
    let extras = Members::new()
        .with("lost", delivered.lost)
        .with(
            "max_us",
            round(delivered.histogram.max_ns() as f64 / 1e3, 3),
        )
        .with("bare_p50_us", bare_median)
        .with("bare_p99_us", requested.quantile_us(0.99))
        .with(
            "over_bare",
            median
                .zip(bare_median)
                .map(|(ours, bare)| round(ours / bare, 3)),
        );
    Ok(Outcome {
        rss_mb: stats.first().and_then(|stat| stat.rss_mb),
        ..Outcome::new(publication.published, delivered.seconds)
    }
    .latencies(&delivered.histogram)
    .extras(extras))
}

pub(super) fn measurements(roles: &Roles) -> Vec<Measurement> {
    [("fanout", None), ("group", Some("g"))]
        .map(|(mode, group)| {
            let params = Members::new()
                .with("mode", mode)
                .with("subscribers", 1)
                .with("rate_per_s", RATE)
                .with("payload_bytes", BYTES);
            let roles = roles.clone();
            Measurement::one(Subject::new("W5.latency", params), move |settings| {
                measure(group, &roles, settings)
            })
        })
        .into()
}
