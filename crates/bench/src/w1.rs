//! W1: one topic of the in-process bus, subscribers without group.

use std::sync::Arc;

use bowline_events::{InProcessPubSub, PubSub, SubscribeOptions, Subscription, Topic};

use crate::Result;
use crate::clock::{now_ns, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::payload::{BenchEvents, Encoding};
use crate::publishers::{Publisher, blast};
use crate::settings::Settings;
use crate::subject::{Shared, Tallies, run};

const TOPIC: &str = "bench";
const BYTES: usize = 200;

/// The bus under measurement, with its default options, behind the public trait object.
pub(crate) fn bus() -> Arc<dyn PubSub> {
    Arc::new(InProcessPubSub::new())
}

/// Publishes P(200) on the topic of W1 and W2.
pub(crate) fn publisher(
    bus: &Arc<dyn PubSub>,
    topic: &Topic,
    encoding: Encoding,
) -> Arc<Publisher> {
    Publisher::new(bus, topic, BenchEvents::new(BYTES, encoding))
}

async fn read(mut subscription: Subscription, tally: Shared) {
    while let Some(item) = subscription.next_batch().await {
        // A notice tells of events that are missing; the counts show them.
        let Ok(batch) = item else { continue };
        let mut tally = tally.lock();
        for delivery in &batch {
            tally.count(delivery.event());
        }
        tally.last_ns = now_ns();
    }
}

async fn fan_out(
    settings: Settings,
    subscribers: usize,
    width: usize,
    encoding: Encoding,
) -> Result<Outcome> {
    let (bus, topic) = (bus(), Topic::new(TOPIC));
    let publisher = publisher(&bus, &topic, encoding);
    let options = SubscribeOptions::new();
    let tallies = Tallies::attach(&*bus, &topic, &options, subscribers, read).await?;
    let warm_up = blast(&publisher, width, settings.warm_up).await.all()?;
    tallies
        .wait_for(warm_up.published * subscribers as u64)
        .await;
    tallies.reset();

    let blasted = blast(&publisher, width, settings.length).await.all()?;
    let expected = blasted.published * subscribers as u64;
    tallies.wait_for(expected).await;
    bus.close().await?;
    let took = seconds(tallies.last_ns().max(blasted.last_ns) - blasted.first_ns);
    let deliveries = tallies.received();
    let extras = Members::new()
        .with("deliveries", deliveries)
        .with(
            "deliveries_per_s",
            (deliveries as f64 / took).round() as u64,
        )
        .with("lost", expected as i64 - deliveries as i64)
        .with("misordered", tallies.sum(|tally| tally.misordered));
    Ok(Outcome::new(blasted.published, took)
        .latencies(&tallies.histogram())
        .extras(extras))
}

fn measurement(subscribers: usize, width: usize, encoding: Encoding) -> Measurement {
    let params = Members::new()
        .with("subscribers", subscribers)
        .with("in_flight", width)
        .with("payload_bytes", BYTES);
    let params = match encoding {
        Encoding::Local => params,
        Encoding::Json => params.with("payload", "json"),
    };
    Measurement::one(Subject::new("W1", params), move |settings| {
        run(
            settings.flavor,
            fan_out(settings.clone(), subscribers, width, encoding),
        )
    })
}

pub(crate) fn measurements() -> Vec<Measurement> {
    let mut all = Vec::new();
    for encoding in [Encoding::Local, Encoding::Json] {
        for subscribers in [1, 8, 100] {
            for width in [1, 1000] {
                all.push(measurement(subscribers, width, encoding));
            }
        }
    }
    all
}
