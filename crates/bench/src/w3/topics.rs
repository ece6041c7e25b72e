//! Many topics at once: a probe of correctness more than of speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bowline_events::{PubSub, StartFrom, SubscribeOptions, Subscription, Topic};

use super::{bus, publish};
use crate::Result;
use crate::clock::{now_ns, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::subject::{run, until};

const EVENTS_PER_TOPIC: u64 = 10;
const STILL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Counts {
    live: AtomicU64,
    replayed: AtomicU64,
    restarted: AtomicU64,
}

/// Counts what a live subscriber gets, and whether its indices were 0, 1, 2 ...
async fn count_live(mut subscription: Subscription, counts: Arc<Counts>) {
    let (mut position, mut restarted) = (0, false);
    while let Some(Ok(batch)) = subscription.next_batch().await {
        for delivery in &batch {
            if delivery.event().index != Some(position) && !restarted {
                restarted = true;
                counts.restarted.fetch_add(1, Relaxed);
            }
            position += 1;
        }
        counts.live.fetch_add(batch.len() as u64, Relaxed);
    }
}

async fn count_replayed(mut subscription: Subscription, counts: Arc<Counts>) {
    while let Some(Ok(batch)) = subscription.next_batch().await {
        counts.replayed.fetch_add(batch.len() as u64, Relaxed);
    }
}

async fn attach(bus: &dyn PubSub, topics: &[Topic]) -> Result<Arc<Counts>> {
    let counts = Arc::new(Counts::default());
    let with_replay = SubscribeOptions::new().start(StartFrom::Earliest);
    for topic in topics {
        let live = bus.subscribe_with(topic, SubscribeOptions::new()).await?;
        tokio::spawn(count_live(live, Arc::clone(&counts)));
        let replayed = bus.subscribe_with(topic, with_replay.clone()).await?;
        tokio::spawn(count_replayed(replayed, Arc::clone(&counts)));
    }
    Ok(counts)
}

async fn many_topics(count: u64) -> Result<Outcome> {
    let bus = bus();
    let topics: Vec<_> = (0..count)
        .map(|number| Topic::new(format!("run-{number}")))
        .collect();
    let counts = attach(&*bus, &topics).await?;
    let start = now_ns();
    for seq in 0..EVENTS_PER_TOPIC {
        for topic in &topics {
            publish(&*bus, topic, seq).await?;
        }
    }
    let took = seconds(now_ns() - start);
    let published = count * EVENTS_PER_TOPIC;
    let received = || counts.live.load(Relaxed) + counts.replayed.load(Relaxed);
    until(received, 2 * published, STILL).await;
    let mut lengths = Vec::new();
    for topic in &topics {
        lengths.push(bus.history(topic, 0, usize::MAX).await?.len() as u64);
    }
    let complete = lengths.iter().filter(|length| **length == EVENTS_PER_TOPIC);
    let extras = Members::new()
        .with("topics_with_complete_history", complete.count())
        .with("events_still_cached", lengths.iter().sum::<u64>())
        .with(
            "topics_whose_index_restarted",
            counts.restarted.load(Relaxed),
        )
        .with("live_subscriber_got", counts.live.load(Relaxed))
        .with("replay_subscriber_got", counts.replayed.load(Relaxed));
    Ok(Outcome::new(published, took).extras(extras))
}

pub(super) fn measurement(topics: u64) -> Measurement {
    let params = Members::new()
        .with("topics", topics)
        .with("events_per_topic", EVENTS_PER_TOPIC);
    Measurement::one(Subject::new("W3.topics", params), move |settings| {
        run(settings.flavor, many_topics(topics))
    })
}
