//! One server on which scenarios of the capture are played one after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bowline_events::{Delivery, NewEvent, Subscription};
use bowline_redis::{RedisStreamsPubSub, RedisStreamsPubSubBuilder};
use bowline_testkit::{Monitor, MonitorLine, PATIENCE, RedisServer};

use crate::capture::scenarios;
use crate::normal::Normal;

/// The server, what it was told, and what it was told in the capture.
pub(crate) struct Scene<'a> {
    server: &'a RedisServer,
    monitor: Monitor<'a>,
    captured: BTreeMap<String, Vec<MonitorLine>>,
    wanted: Normal,
    got: Normal,
}

impl<'a> Scene<'a> {
    pub(crate) async fn begin(server: &'a RedisServer) -> Self {
        Self {
            server,
            monitor: server.monitor().await.unwrap(),
            captured: scenarios(),
            wanted: Normal::default(),
            got: Normal::default(),
        }
    }

    /// A bus with the options of the capture: blocks for 400 ms, reads 10 entries at a time, no reclaim.
    pub(crate) fn bus(
        &self,
        set: impl FnOnce(RedisStreamsPubSubBuilder) -> RedisStreamsPubSubBuilder,
    ) -> RedisStreamsPubSub {
        let bus = RedisStreamsPubSub::builder(self.server.url())
            .block(Duration::from_millis(400))
            .reclaim_interval(None)
            .read_batch(10);
        set(bus).build().unwrap()
    }

    /// Waits until everything told to the server since the last call is what it was told in scenario `number`.
    #[track_caller]
    pub(crate) fn is(&mut self, number: &str) -> impl Future<Output = ()> {
        let wanted = self.wanted.lines(&self.captured[number]);
        async move {
            let end = Instant::now() + PATIENCE;
            let mut told: Vec<MonitorLine> = Vec::new();
            loop {
                told.extend(self.monitor.take().await.unwrap());
                // On a copy, because what comes later may be part of this scenario.
                let mut after = self.got.clone();
                let got = after.lines(&told);
                if got == wanted {
                    self.got = after;
                    return;
                }
                assert!(
                    Instant::now() < end,
                    "scenario {number}\n got {got:#?}\nwanted {wanted:#?}"
                );
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// An event of the run of the capture, with `data`.
pub(crate) fn event_of(kind: &'static str, data: &str) -> NewEvent {
    NewEvent::new(kind, "run-1")
        .with_json(data.to_owned())
        .unwrap()
}

/// The same without members in its data.
pub(crate) fn event(kind: &'static str) -> NewEvent {
    event_of(kind, "{}")
}

/// The next delivery, which must come.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let item = tokio::time::timeout(PATIENCE, subscription.next()).await;
    item.expect("a delivery").expect("the bus is open").unwrap()
}
