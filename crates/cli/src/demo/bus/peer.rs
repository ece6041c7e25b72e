//! A process of the demo: it takes orders from standard input and tells what happens on standard output.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    CachingPubSub, MemoryCache, NewEvent, PubSub, PublishOptions, StartFrom, SubscribeOptions,
    Subscription, Topic,
};
use bowline_runtime::{BusConfig, OpenBus, UnixConfig};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::wire::{Numbered, Order, TOPIC, Word, now};
use crate::args::{DemoPeerArgs, Part};
use crate::bus;
use crate::outcome::{Failure, Outcome};

/// How often the publisher looks what is due.
const TICK: Duration = Duration::from_millis(1);

pub(crate) async fn run(args: DemoPeerArgs) -> Result<Outcome, Failure> {
    let opened = OpenBus::open(&BusConfig::Unix(UnixConfig::new(&args.socket)))?;
    let history = CachingPubSub::new(opened.shared(), Arc::new(MemoryCache::new()));
    let topic = Topic::from(TOPIC);
    // Subscribing puts the process on the bus; only a subscriber reads the topic of the demo.
    let heard = match args.part {
        Part::Subscriber => topic.clone(),
        Part::Broker | Part::Publisher | Part::Worker => Topic::from("demo.nothing"),
    };
    let subscription = opened
        .pubsub()
        .subscribe_with(&heard, SubscribeOptions::new())
        .await?;
    say(&Word::Ready {
        broker: opened.is_broker() == Some(true),
    })?;
    let listening = tokio::spawn(listen(subscription, |n| Word::Received { n, got: now() }));
    obey(&opened, &history, &topic).await?;
    listening.abort();
    let closed = bus::close(opened.pubsub()).await;
    // The last process to leave takes the folder with it, should the demo have been killed; it fails while others are there.
    if let Some(folder) = args.socket.parent() {
        let _ = std::fs::remove_dir(folder);
    }
    closed.map(|()| Outcome::Done)
}

/// Carries orders out until standard input ends, which it does when the demo is gone.
async fn obey(opened: &OpenBus, history: &CachingPubSub, topic: &Topic) -> Result<(), Failure> {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = orders.next_line().await {
        let order: Order = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("not an order of the demo: {error}")))?;
        match order {
            Order::Stream { events, per_second } => {
                let (bus, topic) = (history.clone(), topic.clone());
                tokio::spawn(async move { publish(&bus, &topic, events, per_second).await });
            }
            Order::Replay { from } => {
                let options = SubscribeOptions::new().start(StartFrom::Offset(from));
                let reader = history.subscribe_with(topic, options).await?;
                tokio::spawn(listen(reader, |n| Word::Replayed { n }));
            }
            Order::Role => say(&Word::Role {
                broker: opened.is_broker() == Some(true),
            })?,
        }
    }
    Ok(())
}

async fn publish(
    bus: &CachingPubSub,
    topic: &Topic,
    events: u64,
    per_second: u64,
) -> Result<(), Failure> {
    let start = Instant::now();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = 0;
    while next < events {
        tick.tick().await;
        let passed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = passed.saturating_mul(per_second) / 1000;
        while next < due.min(events) {
            say(&publish_one(bus, topic, next).await)?;
            next += 1;
        }
    }
    say(&Word::Streamed)
}

async fn publish_one(bus: &CachingPubSub, topic: &Topic, n: u64) -> Word {
    let called = now();
    let done = match bowline_events::Payload::serialize(&Numbered { n }) {
        Ok(data) => {
            let event = NewEvent::new("demo.event", "demo").with_data(data);
            bus.publish_with(topic, event, PublishOptions::default())
                .await
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(_) => Word::Published { n, called },
        Err(error) => Word::Refused {
            n,
            error: error.to_string(),
        },
    }
}

/// Tells of every event of `subscription`.
async fn listen(mut subscription: Subscription, word: fn(u64) -> Word) {
    while let Some(item) = subscription.next().await {
        let told = match item {
            Ok(delivery) => match delivery.data.parse::<Numbered>() {
                Ok(Numbered { n }) => say(&word(n)),
                Err(_) => Ok(()),
            },
            Err(notice) => {
                eprintln!("bowline: demo: {notice}");
                Ok(())
            }
        };
        if told.is_err() {
            return;
        }
    }
}

fn say(word: &Word) -> Result<(), Failure> {
    let gone = |error| Failure::failed(format!("the demo is gone: {error}"));
    // Words are plain structs, which serialise always.
    let mut line = serde_json::to_string(word).unwrap_or_default();
    line.push('\n');
    io::stdout().write_all(line.as_bytes()).map_err(gone)
}
