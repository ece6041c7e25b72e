//! W2: one consumer group on the in-process bus, every event acknowledged.

use bowline_events::{SubscribeOptions, Subscription, Topic};

use crate::Result;
use crate::clock::{now_ns, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::payload::Encoding;
use crate::publishers::blast;
use crate::settings::Settings;
use crate::subject::{Shared, Tallies, run};
use crate::w1;

const TOPIC: &str = "bench";
const MEMBERS: usize = 4;

async fn work(mut subscription: Subscription, tally: Shared) {
    while let Some(item) = subscription.next_batch().await {
        // A notice tells of events that are missing; the counts show them.
        let Ok(batch) = item else { continue };
        for delivery in batch {
            tally.lock().look_at(delivery.event());
            if delivery.ack().await.is_ok() {
                tally.lock().received += 1;
            }
        }
        tally.lock().last_ns = now_ns();
    }
}

async fn group(settings: Settings, width: usize) -> Result<Outcome> {
    let (bus, topic) = (w1::bus(), Topic::new(TOPIC));
    let publisher = w1::publisher(&bus, &topic, Encoding::Local);
    let options = SubscribeOptions::new().group("g");
    let tallies = Tallies::attach(&*bus, &topic, &options, MEMBERS, work).await?;
    let warm_up = blast(&publisher, width, settings.warm_up).await.all()?;
    tallies.wait_for(warm_up.published).await;
    tallies.reset();

    let blasted = blast(&publisher, width, settings.length).await.all()?;
    tallies.wait_for(blasted.published).await;
    bus.close().await?;
    let took = seconds(tallies.last_ns().max(blasted.last_ns) - blasted.first_ns);
    let extras = Members::new()
        .with("acked", tallies.received())
        .with(
            "lost",
            blasted.published as i64 - tallies.sum(|tally| tally.seen) as i64,
        )
        .with("per_member", tallies.each(|tally| tally.seen));
    Ok(Outcome::new(blasted.published, took)
        .latencies(&tallies.histogram())
        .extras(extras))
}

fn measurement(width: usize) -> Measurement {
    let params = Members::new()
        .with("group_members", MEMBERS)
        .with("in_flight", width)
        .with("payload_bytes", 200);
    Measurement::one(Subject::new("W2", params), move |settings| {
        run(settings.flavor, group(settings.clone(), width))
    })
}

pub(crate) fn measurements() -> Vec<Measurement> {
    [1, 1000].map(measurement).into()
}
