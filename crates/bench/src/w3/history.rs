//! Publishing with replay kept, and replaying the same topic.

use std::sync::Arc;

use bowline_events::{PubSub, PublishOptions, StartFrom, SubscribeOptions, Topic};

use super::{bus, fill};
use crate::Result;
use crate::clock::{self, milliseconds, now_ns, round, seconds};
use crate::histogram::Histogram;
use crate::line::{Members, Outcome, Subject};
use crate::measurement::{Measurement, Print};
use crate::payload::chunk_event;
use crate::settings::Settings;
use crate::subject::runtime;

const REPETITIONS: usize = 5;
/// Published and cleared before anything is measured.
const WARM_UP_EVENTS: u64 = 3000;

async fn publishing(bus: Arc<dyn PubSub>, topic: Topic, count: u64) -> Result<Outcome> {
    let warm_up = Topic::new("warm-up");
    fill(&*bus, &warm_up, WARM_UP_EVENTS).await?;
    bus.clear_topic(&warm_up).await?;
    let [mut all, mut head, mut tail] = [(); 3].map(|()| Histogram::default());
    let rss_before = clock::rss_mb();
    let start = now_ns();
    for seq in 0..count {
        let event = chunk_event(seq);
        let called = now_ns();
        bus.publish_with(&topic, event, PublishOptions::default())
            .await?;
        let ns = now_ns() - called;
        let head = (seq < count / 10).then_some(&mut head);
        let tail = (seq >= count - count / 10).then_some(&mut tail);
        Histogram::add_to_each([Some(&mut all), head, tail], ns);
    }
    let took = seconds(now_ns() - start);
    let growth = clock::rss_mb().zip(rss_before);
    let extras = Members::new()
        .with("head10_p50_us", head.quantile_us(0.5))
        .with("tail10_p50_us", tail.quantile_us(0.5))
        .with("head10_p99_us", head.quantile_us(0.99))
        .with("tail10_p99_us", tail.quantile_us(0.99))
        .with(
            "rss_growth_mb",
            growth.map(|(now, before)| round(now - before, 1)),
        );
    Ok(Outcome::new(count, took).latencies(&all).extras(extras))
}

/// What one observer saw, in nanoseconds since it called subscribe.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    misordered: u64,
    first_ns: u64,
    last_ns: u64,
}

/// Reads from `offset` to the end of `count` cached events; the observer stays attached.
async fn observe(bus: &Arc<dyn PubSub>, topic: &Topic, offset: u64, count: u64) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut next = offset;
    let start = now_ns();
    let options = SubscribeOptions::new().start(StartFrom::Offset(offset));
    let mut subscription = bus.subscribe_with(topic, options).await?;
    while seen.events < count - offset {
        let Some(batch) = subscription.next_batch().await else {
            break;
        };
        if seen.events == 0 {
            seen.first_ns = now_ns() - start;
        }
        for delivery in &batch? {
            let index = delivery.event().index;
            if index != Some(next) {
                seen.misordered += 1;
            }
            next = index.map_or(next, |index| index + 1);
            seen.events += 1;
        }
        seen.last_ns = now_ns() - start;
    }
    tokio::spawn(async move { while subscription.next().await.is_some() {} });
    Ok(seen)
}

async fn replay(bus: Arc<dyn PubSub>, topic: Topic, offset: u64, count: u64) -> Result<Outcome> {
    let mut runs = Vec::new();
    for _ in 0..REPETITIONS {
        runs.push(observe(&bus, &topic, offset, count).await?);
    }
    runs.sort_by_key(|run| run.last_ns);
    let median = &runs[REPETITIONS / 2];
    let extras = Members::new()
        .with("first_ms", milliseconds(median.first_ns))
        .with("last_ms", milliseconds(median.last_ns))
        .with("lost", (count - offset) as i64 - median.events as i64)
        .with(
            "misordered",
            runs.iter().map(|run| run.misordered).sum::<u64>(),
        );
    Ok(Outcome::new(median.events, seconds(median.last_ns)).extras(extras))
}

pub(super) fn measurement(count: u64) -> Measurement {
    let published = Subject::new(
        "W3.publish",
        Members::new()
            .with("cached_events", count)
            .with("payload_bytes", 200),
    );
    let offsets = [0, count - 100];
    let replays = offsets.map(|offset| {
        let params = Members::new()
            .with("cached_events", count)
            .with("offset", offset);
        Subject::new("W3.replay", params)
    });
    let mut subjects = vec![published.clone()];
    subjects.extend(replays.clone());
    let measure = move |settings: &Settings, print: &mut Print<'_>| {
        let runtime = runtime(settings.flavor)?;
        let (bus, topic) = (bus(), Topic::new("history"));
        let publishing = publishing(Arc::clone(&bus), topic.clone(), count);
        print(&published, runtime.block_on(runtime.spawn(publishing))??)?;
        for (subject, offset) in replays.iter().zip(offsets) {
            let replay = replay(Arc::clone(&bus), topic.clone(), offset, count);
            print(subject, runtime.block_on(runtime.spawn(replay))??)?;
        }
        Ok(())
    };
    Measurement::new(subjects, measure)
}
