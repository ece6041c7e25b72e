//! Stopping a run whose process the bus has stopped telling anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::model::FinishReason;
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::{Agent, DurableAgent};
use bowline_events::{
    Capabilities, Delivery, Event, Fill, NewEvent, OpFuture, PubSub, PubSubExt, PublishOptions,
    Published, SubscribeOptions, Subscription, SubscriptionSource, Topic,
};
use tokio::sync::watch;

use crate::house::House;

/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(20);

/// A bus whose subscriptions to control topics end when it is told, and new ones too while it is deaf.
#[derive(Debug)]
struct Forgetful {
    inner: Arc<dyn PubSub>,
    ends: watch::Sender<u64>,
    deaf: AtomicBool,
    /// Subscriptions to control topics so far.
    heard: watch::Sender<u64>,
}

/// A subscription until it ends.
struct Passing {
    inner: Subscription,
    ended: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl SubscriptionSource for Passing {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Delivery>,
        max: usize,
    ) -> Poll<Fill> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Fill::End);
        }
        self.inner.poll_fill(cx, into, max)
    }
}

impl PubSub for Forgetful {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        self.inner.publish_with(topic, event, options)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        OpFuture::new(async move {
            let inner = self.inner.subscribe_with(topic, options).await?;
            if !topic.as_str().starts_with("agent.control.") {
                return Ok(inner);
            }
            let mut ends = self.ends.subscribe();
            let deaf = self.deaf.load(Ordering::SeqCst);
            self.heard.send_modify(|heard| *heard += 1);
            let ended = Box::pin(async move {
                if !deaf {
                    let _ = ends.changed().await;
                }
            });
            Ok(Subscription::new(Box::new(Passing { inner, ended })))
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        self.inner.history(topic, offset, limit)
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        self.inner.clear_topic(topic)
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        self.inner.flush()
    }

    fn close(&self) -> OpFuture<'_, ()> {
        self.inner.close()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

/// Whether a run ends that is stopped while its model speaks, by a word on the bus or only by a fact in the store.
async fn stops(deaf: bool) {
    let house = House::new();
    let bus = Arc::new(Forgetful {
        inner: Arc::clone(&house.bus),
        ends: watch::channel(0).0,
        deaf: AtomicBool::new(false),
        heard: watch::channel(0).0,
    });
    let model = ScriptedModel::new(|_| Answer::says("Once upon").hang());
    let agent = Agent::builder("teller").model(model).build().unwrap();
    let forgetful = Arc::clone(&bus) as Arc<dyn PubSub>;
    let one = DurableAgent::new(agent.clone(), Arc::clone(&house.store), forgetful);
    let engine = house.engine().workflow(one.workflow().unwrap());
    let one = one.on(&engine.start().await.unwrap()).unwrap();
    let other = house.on_engine(&agent, house.engine().workers(false)).await;
    let options = RunOptions::new().run_id("r");
    one.start("Tell.", options).await.unwrap();
    let says =
        |event: &Event| event.data.parse::<serde_json::Value>().unwrap()["type"] == "text-delta";
    house.told_until("r", says).await;

    bus.deaf.store(deaf, Ordering::SeqCst);
    let mut heard = bus.heard.subscribe();
    let before = *heard.borrow_and_update();
    bus.ends.send_modify(|ends| *ends += 1);
    let again = heard.wait_for(|heard| *heard > before);
    let again = tokio::time::timeout(FOREVER, again).await.is_ok();
    assert!(again, "it does not listen again");
    if deaf {
        other.abort("r").await.unwrap();
    } else {
        // As a Node process does: it has no store of ours.
        let word = NewEvent::new("abort-request", "r").with_json("{}").unwrap();
        house
            .bus
            .publish(&Topic::agent_control("r"), word)
            .await
            .unwrap();
    }
    let run = other.observe("r").await.unwrap();
    let ended = tokio::time::timeout(FOREVER, run.collect()).await;
    let output = ended.expect("it does not end").unwrap();
    assert_eq!(output.finish_reason, Some(FinishReason::Abort));
    assert_eq!(output.text, "Once upon");
    one.engine().close().await;
    other.engine().close().await;
}

#[tokio::test]
async fn a_run_is_stopped_whose_subscription_had_ended_and_was_renewed() {
    stops(false).await;
}

#[tokio::test]
async fn a_run_is_stopped_that_no_subscription_tells_anything() {
    stops(true).await;
}
