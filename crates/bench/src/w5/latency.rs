//! From publish to subscriber at a rate that leaves the machine idle, beside a bare request at the same rate.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::server::Server;
use super::{Address, BYTES, clear, fresh_topic, key_of, start, start_publisher, tell};
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
/// Events and bare requests take turns so often: on a machine with few cores a median depends on which of them the three processes
/// happen to share, and that changes from second to second.
const TURNS: u32 = 8;
/// About what P(200) takes as the text of an entry.
const ENTRY_BYTES: usize = 350;

#[derive(Deserialize)]
struct Measured {
    hist: Histogram,
}

/// What there is to reach, measured by the same processes.
#[derive(Default)]
struct Bare {
    /// A request and its answer.
    round_trip: Histogram,
    /// From the call of a request to a reader of what it appended.
    one_way: Histogram,
}

impl Bare {
    /// Requests without a bus for a turn.
    fn request(&mut self, publisher: &mut Process, key: &str, turn: Duration) -> Result<()> {
        let request = json!({
            "topic": key,
            "rate": RATE,
            "seconds": turn.as_secs_f64(),
            "bytes": ENTRY_BYTES,
        });
        let measured: Measured = publisher.call("request", request)?;
        self.round_trip.merge(&measured.hist);
        Ok(())
    }

    fn extras(&self, median: Option<f64>) -> Members {
        let over = |bare: &Histogram| {
            let both = median.zip(bare.quantile_us(0.5));
            both.map(|(ours, bare)| round(ours / bare, 3))
        };
        Members::new()
            .with("bare_p50_us", self.round_trip.quantile_us(0.5))
            .with("bare_p99_us", self.round_trip.quantile_us(0.99))
            .with("bare_one_way_p50_us", self.one_way.quantile_us(0.5))
            .with("bare_one_way_p99_us", self.one_way.quantile_us(0.99))
            .with("over_bare", over(&self.round_trip))
            .with("over_bare_one_way", over(&self.one_way))
    }
}

/// What became of the events of all turns.
#[derive(Default)]
struct Events {
    published: u64,
    lost: i64,
    seconds: f64,
    histogram: Histogram,
    rss_mb: Option<f64>,
}

impl Events {
    /// Publishes for a turn, and waits until everything is delivered and acknowledged.
    fn publish(
        &mut self,
        publisher: &mut Process,
        subscribers: &mut [Process],
        paced: Value,
    ) -> Result<()> {
        call_each::<Value>(subscribers, "reset", &json!({"latency_every": 1}))?;
        let publication: Publication = publisher.call("paced", paced)?;
        let stats = settled(subscribers, Duration::from_secs(3), |stats| {
            stats.iter().all(|stat| stat.acked >= publication.published)
        })?;
        let delivered = Delivered::new(&publication, &stats, 1);
        self.published += publication.published;
        self.lost += delivered.lost;
        self.seconds += delivered.seconds;
        self.histogram.merge(&delivered.histogram);
        self.rss_mb = stats.first().and_then(|stat| stat.rss_mb);
        Ok(())
    }
}

fn measure(group: Option<&str>, roles: &Roles, settings: &Settings) -> Result<Outcome> {
    let server = Server::find()?;
    let address = Address::new(&server.url);
    let (topic, bare_topic) = (fresh_topic(), fresh_topic());
    let bare_key = key_of(&bare_topic);
    let mut publisher = start_publisher(roles, &address)?;
    let mut subscribers = start("subscriber", 1, &roles.subscriber, &address)?;
    let subscribe = json!({"topic": topic, "group": group, "ack": true});
    call_each::<Value>(&mut subscribers, "subscribe", &subscribe)?;
    call_each::<Value>(&mut subscribers, "listen", &json!({"topic": bare_key}))?;
    let paced =
        |seconds: f64| json!({"topic": topic, "rate": RATE, "seconds": seconds, "bytes": BYTES});
    tell(&mut publisher, "paced", paced(WARM_UP))?;
    settled(&mut subscribers, Duration::from_millis(300), |_| false)?;
    let (mut bare, mut events) = (Bare::default(), Events::default());
    let turn = settings.length / TURNS;
    for _ in 0..TURNS {
        bare.request(&mut publisher, &bare_key, turn)?;
        let paced = paced(turn.as_secs_f64());
        events.publish(&mut publisher, &mut subscribers, paced)?;
    }
    for heard in call_each::<Measured>(&mut subscribers, "heard", &json!({}))? {
        bare.one_way.merge(&heard.hist);
    }
    drop((publisher, subscribers));
    for topic in [topic, bare_topic] {
        clear(settings.flavor, &address, &topic)?;
    }
    let mut extras = Members::new()
        .with("lost", events.lost)
        .with("max_us", round(events.histogram.max_ns() as f64 / 1e3, 3));
    extras.append(bare.extras(events.histogram.quantile_us(0.5)));
    Ok(Outcome {
        rss_mb: events.rss_mb,
        ..Outcome::new(events.published, events.seconds)
    }
    .latencies(&events.histogram)
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
