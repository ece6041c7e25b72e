//! Ungrouped subscribers.
//!
//! All ungrouped subscribers of a process share one private group per topic, and all topics one read loop. What it reads goes into
//! a log in this process, in which every subscriber is a cursor: an event is read and decoded once, however many subscribers there
//! are. [`roster`] says how a topic joins while the loop waits on the server, [`lane`] how a loss is noticed, [`seam`] how a
//! subscriber gets from the history to the present.

mod acks;
mod gate;
mod inbox;
mod lane;
mod ledger;
mod live;
#[cfg(test)]
mod model;
mod past;
mod private_group;
mod reading;
mod recent;
mod roster;
mod seam;
mod settle;
mod share;
mod source;
mod topics;
mod track;

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Error, ErrorKind, Event, PubSub, Result, SubscribeOptions, Subscription, Topic, TopicInfo,
};
use tokio::time::timeout;

use crate::bus::{Bus, runtime};
use live::Live;
use private_group::Loss;
use topics::Shared;

/// How long a local publish waits for slow readers.
const LOCAL_PATIENCE: Duration = Duration::from_millis(25);

/// How long closing waits for a server that does not answer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A topic whose stream is about to be deleted, and the epoch of its group.
#[derive(Debug)]
pub(crate) struct Clearing(Option<(Arc<Live>, u64)>);

/// The ungrouped subscribers of a process.
#[derive(Debug)]
pub(crate) struct FanOut {
    shared: Arc<Shared>,
}

impl FanOut {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self {
            shared: Arc::new(Shared::new(bus)),
        }
    }

    /// Attaches a subscriber. Resolves when what is published from then on reaches it.
    pub(crate) async fn subscribe(
        &self,
        topic: &Topic,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.shared.bus.check("subscribe", topic)?;
        let (shared, topic) = (Arc::clone(&self.shared), topic.clone());
        // In a task of its own, so that nothing is left on the server when the caller gives up halfway.
        let work =
            runtime("subscribe")?.spawn(async move { shared.subscribe(topic, options).await });
        work.await.unwrap_or_else(|error| {
            let message = "the runtime was shut down before the subscription was made";
            Err(Error::new(ErrorKind::Closed, "subscribe", message).with_source(error))
        })
    }

    /// Delivers an event to the ungrouped subscribers of this process only.
    pub(crate) async fn deliver_locally(&self, topic: &Topic, event: Event) -> Result<()> {
        let (Some(live), Some(started)) = (self.shared.live(topic), self.shared.started.get())
        else {
            return Ok(());
        };
        if let Some(delivered) = live.append_local(&started.common.local, event)
            && let Err(waits) = delivered.now_or_self()
        {
            // It is appended; this is only the courtesy to slow readers.
            let _ = timeout(LOCAL_PATIENCE, waits).await;
        }
        Ok(())
    }

    /// This process is about to delete the stream of `topic`.
    pub(crate) fn clearing(&self, topic: &Topic) -> Clearing {
        Clearing(self.shared.live(topic).map(|live| {
            let epoch = live.present().epoch;
            (live, epoch)
        }))
    }

    /// The stream was deleted: its subscribers are told at once.
    pub(crate) async fn cleared(&self, clearing: Clearing) {
        let (Some((live, epoch)), Some(started)) = (clearing.0, self.shared.started.get()) else {
            return;
        };
        let made = reading::make_anew(&started.common, &live, epoch, Some(Loss::Stream));
        if let Err(failure) = made.await {
            tracing::debug!(
                key = &*live.key,
                ?failure,
                "the group is made anew later, by the read loop"
            );
        }
    }

    /// Counts the subscribers of this process in `infos`, where each topic has its private group counted as one.
    pub(crate) fn count(&self, infos: &mut [TopicInfo]) {
        for info in infos {
            if let (Some(live), Some(private)) =
                (self.shared.live(&info.topic), &mut info.subscribers)
            {
                *private = private.saturating_sub(1) + live.users();
            }
        }
    }

    /// Hands over what subscriptions with a batch policy have gathered.
    pub(crate) async fn flush(&self) {
        if let Some(started) = self.shared.started.get() {
            // The local bus flushes at once and never fails.
            let _ = started.common.local.flush().await;
        }
    }

    /// Ends all subscriptions and removes the private groups.
    pub(crate) async fn close(&self) {
        if timeout(CLOSE_PATIENCE, self.shared.close()).await.is_err() {
            tracing::warn!("the server did not answer in time; private groups may be left behind");
        }
        if let Some(started) = self.shared.started.get() {
            let _ = started.common.local.close().await;
            started.stop();
        }
    }
}
