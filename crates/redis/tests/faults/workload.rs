//! Publishers, groups and readers at work while something breaks, and the history of what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bowline_events::{
    Delivery, NewEvent, PubSub, PubSubExt, Result, StartFrom, SubscribeOptions, Subscription,
};
use bowline_redis::RedisStreamsPubSub;
use bowline_testkit::{Audience, FaultProxy, History, RedisServer, Report};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const TOPICS: [&str; 2] = ["orders", "agent.stream.run-1"];
const GROUP: &str = "workers";
const PROCESSES: usize = 2;

/// How long nothing may arrive before the rest counts as lost: longer than entries wait to be reclaimed.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server behind a proxy, and the buses of some processes on it.
pub(crate) struct Stage {
    pub(crate) server: RedisServer,
    pub(crate) proxy: FaultProxy,
    pub(crate) history: History,
    buses: Vec<RedisStreamsPubSub>,
}

impl Stage {
    pub(crate) async fn set(server: RedisServer) -> Self {
        let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        let bus = || {
            RedisStreamsPubSub::builder(&url)
                .block(Duration::from_millis(500))
                .max_stream_length(None)
                .reclaim_interval(Some(Duration::from_millis(500)))
                .reclaim_idle(Duration::from_secs(5))
                .max_deliveries(None)
                .build()
                .expect("a bus")
        };
        Self {
            buses: (0..PROCESSES).map(|_| bus()).collect(),
            server,
            proxy,
            history: History::new(),
        }
    }

    /// Publishes `events` per publisher while `trouble` goes on, waits until all who read have everything, and checks.
    pub(crate) async fn play<F: Future<Output = ()>>(
        &self,
        events: u64,
        trouble: impl FnOnce(Arc<AtomicBool>) -> F,
    ) -> Report {
        let mut readers = JoinSet::new();
        for topic in TOPICS {
            self.history.expect(topic, Audience::group(GROUP));
            for (process, bus) in self.buses.iter().enumerate() {
                self.read(&mut readers, bus, topic, format!("reader-{process}"))
                    .await;
                for member in 0..2 {
                    self.work(
                        &mut readers,
                        bus,
                        topic,
                        format!("member-{process}-{member}"),
                    )
                    .await;
                }
            }
        }
        let done = Arc::new(AtomicBool::new(false));
        let publishing = self.publish(events, &done);
        let ((), ()) = tokio::join!(publishing, trouble(Arc::clone(&done)));
        self.quiet().await;
        for bus in &self.buses {
            bus.close().await.expect("closed");
        }
        while readers.join_next().await.is_some() {}
        self.history.check()
    }

    async fn publish(&self, events: u64, done: &AtomicBool) {
        let mut publishers = JoinSet::new();
        for topic in TOPICS {
            for (number, bus) in self.buses.iter().enumerate() {
                let (bus, history) = (bus.clone(), self.history.clone());
                publishers.spawn(async move {
                    let name = format!("publisher-{number}");
                    for n in 0..events {
                        publish_one(&bus, &history, &name, topic, n).await;
                        sleep(Duration::from_millis(2)).await;
                    }
                });
            }
        }
        while let Some(ended) = publishers.join_next().await {
            ended.expect("no publisher panics");
        }
        done.store(true, Relaxed);
    }

    async fn read(
        &self,
        tasks: &mut JoinSet<()>,
        bus: &RedisStreamsPubSub,
        topic: &'static str,
        name: String,
    ) {
        self.history.expect(topic, Audience::reader(&name));
        let options = SubscribeOptions::new();
        let subscription = bus.subscribe(topic, options).await.expect("subscribed");
        let history = self.history.clone();
        tasks.spawn(follow(subscription, move |delivery| {
            let (publisher, n) = contents(&delivery);
            let attempt = delivery.delivery_attempt;
            history
                .taken(&name, None, topic, &publisher, n, attempt)
                .acked();
        }));
    }

    async fn work(
        &self,
        tasks: &mut JoinSet<()>,
        bus: &RedisStreamsPubSub,
        topic: &'static str,
        name: String,
    ) {
        let options = SubscribeOptions::new()
            .group(GROUP)
            .start(StartFrom::Earliest);
        let mut subscription = bus.subscribe(topic, options).await.expect("subscribed");
        let history = self.history.clone();
        tasks.spawn(async move {
            while let Some(item) = subscription.next().await {
                let Ok(delivery) = item else { continue };
                let (publisher, n) = contents(&delivery);
                let attempt = delivery.delivery_attempt;
                let hand = history.taken(&name, Some(GROUP), topic, &publisher, n, attempt);
                // Now and then the work fails.
                if n % 17 == 3 && attempt == 1 {
                    hand.released();
                    drop(delivery.nack());
                } else {
                    hand.acked();
                    drop(delivery.ack());
                }
            }
        });
    }

    /// Waits until nothing is missing, or nothing more comes: the check says what is missing.
    async fn quiet(&self) {
        let (mut missing, mut since) = (usize::MAX, Instant::now());
        loop {
            sleep(Duration::from_millis(200)).await;
            let report = self.history.check();
            // An event that was refused is a violation until it has come again and was acknowledged.
            let lost = report.lost as usize + report.violations.len();
            if lost != missing {
                (missing, since) = (lost, Instant::now());
            }
            if lost == 0 || since.elapsed() > PATIENCE {
                // What is doubled would come late.
                sleep(Duration::from_millis(700)).await;
                return;
            }
        }
    }
}

async fn publish_one(
    bus: &RedisStreamsPubSub,
    history: &History,
    publisher: &str,
    topic: &str,
    n: u64,
) {
    let publish = history.publishing(publisher, topic, n);
    let data = serde_json::json!({ "publisher": publisher, "n": n }).to_string();
    let event = NewEvent::new("work", "run-1")
        .with_json(data)
        .expect("JSON");
    match bus.publish(topic, event).await {
        Ok(_) => publish.resolved(),
        Err(error) if error.kind() == bowline_events::ErrorKind::Full => publish.failed(),
        Err(_) => publish.unknown(),
    }
}

async fn follow(mut subscription: Subscription, mut take: impl FnMut(Delivery)) {
    while let Some(item) = subscription.next().await {
        if let Ok(delivery) = item {
            take(delivery);
        }
    }
}

fn contents(delivery: &Delivery) -> (String, u64) {
    let data: serde_json::Value = delivery.data.parse().expect("JSON");
    let publisher = data["publisher"].as_str().expect("a name").to_owned();
    (publisher, data["n"].as_u64().expect("a number"))
}

/// Repeats `act` until `done`, with pauses of `pause`.
pub(crate) async fn until<F: Future<Output = Result<()>>>(
    done: &AtomicBool,
    pause: Duration,
    mut act: impl FnMut(u32) -> F,
) {
    for round in 0.. {
        if done.load(Relaxed) {
            return;
        }
        sleep(pause).await;
        let acted = timeout(PATIENCE, act(round)).await;
        acted
            .expect("the trouble ends")
            .expect("the trouble can be made");
    }
}
