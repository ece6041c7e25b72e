//! Telling the other engines: there is work, and a run was cancelled. Of work one engine is told; if it has no room, or does not know
//! the workflow, it tells all of them.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Delivery, NewEvent, Payload, PubSub, PublishOptions, SubscribeOptions, Subscription, Text,
    Timestamp, Topic,
};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::record::{RUNS, RunRecord};
use super::shared::Shared;
use crate::json::Writer;
use crate::machine::RunStatus;

/// The group that shares the work.
const GROUP: &str = "bowline-orchestration";

/// What is told on the work topic. The store knows the truth; this is so that nobody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Start,
    Resume,
    Cancel,
}

impl Signal {
    fn event_type(self) -> &'static str {
        match self {
            Self::Start => "workflow.start",
            Self::Resume => "workflow.resume",
            Self::Cancel => "workflow.cancel",
        }
    }
}

impl Shared {
    fn work_topic(&self) -> Topic {
        Topic::new(format!("{}workflows", self.options.namespace))
    }

    fn control_topic(&self) -> Topic {
        Topic::new(format!("{}workflows-control", self.options.namespace))
    }

    /// Tells whoever has room that a run is there to go on with.
    pub(super) async fn offer(&self, run: &Text, workflow: &Text) {
        if !self.signal(Signal::Resume, run, workflow).await {
            self.due.notify_one();
        }
    }

    /// Tells the others; whether the bus took it. A bus that is away costs time, not work: runs are found in the store.
    pub(super) async fn signal(&self, signal: Signal, run: &Text, workflow: &Text) -> bool {
        let topic = match signal {
            Signal::Cancel => self.control_topic(),
            Signal::Start | Signal::Resume => self.work_topic(),
        };
        self.signal_on(&topic, signal, run, workflow).await
    }

    async fn signal_on(&self, topic: &Topic, signal: Signal, run: &Text, workflow: &Text) -> bool {
        let mut json = Writer::object();
        json.text("workflowId", workflow).text("runId", run);
        let data = Payload::from_valid_json(json.end().into(), bowline_events::Dialect::Plain);
        let event = NewEvent::new(signal.event_type(), run.clone()).with_data(data);
        let published = self
            .bus
            .publish_with(topic, event, PublishOptions::default());
        match published.await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(run = %run, %error, "the other engines were not told; they will look");
                false
            }
        }
    }
}

/// Hints that an engine follows at once.
const AT_ONCE: usize = 64;

/// What an engine listens to.
#[derive(Default)]
pub(super) struct Ears {
    work: Option<Subscription>,
    control: Option<Subscription>,
}

/// How long a bus is left alone that has ended a subscription.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// Begins to listen.
pub(super) async fn open(shared: &Shared) -> Ears {
    let mut ears = Ears::default();
    if shared.options.workers {
        ears.open(shared).await;
    }
    ears
}

impl Ears {
    /// Subscribes to what is not subscribed to.
    async fn open(&mut self, shared: &Shared) {
        if self.work.is_none() {
            let group = SubscribeOptions::new().group(GROUP);
            self.work = subscribe(&*shared.bus, &shared.work_topic(), group).await;
        }
        if self.control.is_none() {
            let all = SubscribeOptions::new();
            self.control = subscribe(&*shared.bus, &shared.control_topic(), all).await;
            // What was told meanwhile was missed.
            shared.doubt_all();
        }
    }

    fn is_deaf(&self) -> bool {
        self.work.is_none() || self.control.is_none()
    }
}

/// Listens to what the others tell until the engine is closed.
pub(super) async fn listen(shared: Arc<Shared>, mut ears: Ears) {
    let hands = Arc::new(Semaphore::new(AT_ONCE));
    while shared.options.workers && !shared.is_closing() {
        let deaf = ears.is_deaf();
        let hint = async {
            let hand = Arc::clone(&hands).acquire_owned().await;
            (hand, next(&mut ears.work).await)
        };
        tokio::select! {
            (hand, delivery) = hint => match delivery {
                Some(Ok(delivery)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        follow(&shared, delivery).await;
                        drop(hand);
                    });
                }
                Some(Err(error)) => tracing::debug!(%error, "hints were lost; the store is asked"),
                None => ears.work = None,
            },
            delivery = next(&mut ears.control) => match delivery {
                Some(Ok(delivery)) if delivery.event_type == Signal::Resume.event_type() => {
                    if shared.has_room() && let Ok(hand) = Arc::clone(&hands).try_acquire_owned() {
                        let shared = Arc::clone(&shared);
                        tokio::spawn(async move {
                            begin(&shared, &delivery.run_id).await;
                            drop(hand);
                        });
                    }
                }
                Some(Ok(delivery)) => {
                    if let Some(active) = shared.active(&delivery.run_id) {
                        active.doubt();
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "hints were lost; every run is looked at");
                    shared.doubt_all();
                }
                None => ears.control = None,
            },
            () = sleep(SUBSCRIBE_AGAIN), if deaf => ears.open(&shared).await,
            () = shared.stopped() => return,
        }
    }
}

async fn subscribe(
    bus: &dyn PubSub,
    topic: &Topic,
    options: SubscribeOptions,
) -> Option<Subscription> {
    match bus.subscribe_with(topic, options).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            tracing::debug!(topic = %topic, %error, "the engine cannot be told anything and looks by itself");
            None
        }
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Option<bowline_events::Result<Delivery>> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Whether a run waits for somebody to work on it now.
fn is_wanted(record: &RunRecord, now: Timestamp) -> bool {
    // What is to begin, and not to wake up, is not put off by the clock of who entered it.
    let pending = record.status == RunStatus::Pending;
    let due = pending || record.due.is_none_or(|due| due <= now);
    record.status.is_active() && record.body.worker.is_none() && due
}

/// Follows a hint at work, of which no other engine was told.
async fn follow(shared: &Arc<Shared>, delivery: Delivery) {
    // Whether it is taken or not: it is in the store.
    let run = delivery.run_id.clone();
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "a hint was not acknowledged");
    }
    if let Some(workflow) = begin(shared, &run).await {
        let topic = shared.control_topic();
        shared
            .signal_on(&topic, Signal::Resume, &run, &workflow)
            .await;
    }
}

/// Begins with a run that somebody told of, if nobody has. Its workflow, if this engine cannot.
async fn begin(shared: &Arc<Shared>, run: &str) -> Option<Text> {
    match shared.store.get(RUNS, run).await {
        Ok(Some(record)) => match RunRecord::read(&record) {
            Ok(record) if is_wanted(&record, shared.now()) => {
                let known = shared.workflow(&record.workflow).is_some();
                if !known || !shared.has_room() {
                    return Some(record.workflow);
                }
                if let Err(error) = shared.take(record, false).await {
                    tracing::debug!(%error, "a run was not begun; it will be found");
                }
            }
            _ => {}
        },
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a run was not looked up; it will be found"),
    }
    None
}
