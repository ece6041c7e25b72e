//! Delivery to the subscribers of this process.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::log::{Backlog, Redelivery};
use bowline_events::{
    Event, InProcessPubSub, OpFuture, PubSub, Published, SubscribeOptions, Subscription, Text,
    Topic,
};

use crate::broker::Membership;
use crate::gate::Gate;

/// Deliveries of one event to one subscriber at most, the first included.
pub(crate) const MAX_DELIVERIES: u32 = 7;

/// The k-th redelivery comes this long times k after the refusal.
pub(crate) const REDELIVERY_STEP: Duration = Duration::from_millis(100);

/// Deliveries of one group that one subscriber may hold unsettled. The reference has no limit.
const GROUP_WINDOW: usize = 1024;

/// Two buses of this process: ungrouped subscribers see every event of their topic, while a group sees only what the broker
/// gave to this process for it. So each group has a log of its own.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    fan_out: InProcessPubSub,
    groups: InProcessPubSub,
    /// Shut while a run of events is delivered.
    pub(crate) gate: Arc<Gate>,
}

impl Local {
    pub(crate) fn new() -> Self {
        let bus = || {
            let mut backlog = Backlog::default();
            backlog.events = 16 * 1024;
            backlog.bytes = 4 * 1024 * 1024;
            // Reading from the socket stops until the readers are back; only one that stands still ends the wait.
            backlog.max_delay = Duration::from_secs(60);
            InProcessPubSub::builder()
                .no_replay()
                .redelivery(Redelivery::new(Some(MAX_DELIVERIES), REDELIVERY_STEP))
                .fanout_redelivery(true)
                .group_window(GROUP_WINDOW)
                .backlog(backlog)
                .build()
        };
        Self {
            fan_out: bus(),
            groups: bus(),
            gate: Arc::new(Gate::default()),
        }
    }

    /// Attaches a subscriber.
    pub(crate) async fn subscribe(
        &self,
        membership: &Membership,
        mut options: SubscribeOptions,
    ) -> bowline_events::Result<Subscription> {
        options.start = bowline_events::StartFrom::Latest;
        options.batch = None;
        match &membership.group {
            None => {
                self.fan_out
                    .subscribe_with(&membership.topic, options)
                    .await
            }
            Some(group) => {
                let topic = group_topic(&membership.topic, group);
                self.groups.subscribe_with(&topic, options).await
            }
        }
    }

    /// Appends an event for the ungrouped subscribers, or for one member of `group`. The future waits for slow readers.
    pub(crate) fn deliver(
        &self,
        topic: &Topic,
        group: Option<&Text>,
        event: Event,
    ) -> OpFuture<'static, Published> {
        match group {
            None => self.fan_out.deliver(topic, event),
            Some(group) => self.groups.deliver(&group_topic(topic, group), event),
        }
    }

    /// Ends the subscriptions of one group.
    pub(crate) fn end_group(&self, topic: &Topic, group: &Text) {
        self.groups.close_topic(&group_topic(topic, group));
    }

    /// Ends all subscriptions.
    pub(crate) async fn close(&self) -> bowline_events::Result<()> {
        self.fan_out.close().await?;
        self.groups.close().await
    }
}

/// The length keeps pairs of group and topic apart whatever they contain.
fn group_topic(topic: &Topic, group: &Text) -> Topic {
    Topic::from(format!("{}:{group}{topic}", group.len()))
}
