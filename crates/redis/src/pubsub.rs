//! The bus.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Capabilities, DeliveryModes, Dialect, Event, LeaseProvider, NewEvent, OpFuture, Ordering,
    PubSub, PublishOptions, PublishSafety, Published, Reach, Result, SubscribeOptions,
    Subscription, Topic, TopicInfo, pipeline,
};
use tokio::time::timeout;

use crate::bus::{Bus, RedisStats, runtime};
use crate::fan_out::FanOut;
use crate::group::Groups;
use crate::leases::RedisLeases;
use crate::settings::{Redelivery, RedisStreamsPubSubBuilder, Settings};
use crate::wire::{Client, Repeat, Server};

/// A bus on Redis Streams, one stream per topic, shared with processes written in Node.
///
/// See the [crate documentation](crate) for guarantees and limits. Handles are cheap to clone and share one bus.
#[derive(Clone)]
pub struct RedisStreamsPubSub {
    shared: Arc<Shared>,
}

struct Shared {
    bus: Arc<Bus>,
    fan_out: FanOut,
    groups: Groups,
    leases: Arc<RedisLeases>,
}

impl RedisStreamsPubSub {
    /// A bus with the default options on the server at `url`.
    ///
    /// # Errors
    /// As [`RedisStreamsPubSubBuilder::build`].
    pub fn new(url: impl AsRef<str>) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Sets options before the bus is made.
    pub fn builder(url: impl AsRef<str>) -> RedisStreamsPubSubBuilder {
        RedisStreamsPubSubBuilder::new(url.as_ref())
    }

    /// As [`builder`](Self::builder), for a server with certificates or an address of its own making.
    pub fn builder_on(server: Server) -> RedisStreamsPubSubBuilder {
        RedisStreamsPubSubBuilder::on(server)
    }

    pub(crate) fn open(client: Client, settings: Settings) -> Self {
        let bus = Arc::new(Bus::new(client, settings));
        Self {
            shared: Arc::new(Shared {
                fan_out: FanOut::new(Arc::clone(&bus)),
                groups: Groups::new(Arc::clone(&bus)),
                leases: Arc::new(RedisLeases::new(Arc::clone(&bus))),
                bus,
            }),
        }
    }

    /// Counts of what happened since the bus was made.
    pub fn stats(&self) -> RedisStats {
        self.shared.bus.counters.snapshot()
    }

    /// Where the bus is.
    pub fn server(&self) -> &Server {
        self.shared.bus.client.server()
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.shared.bus
    }

    async fn publish_locally(&self, topic: &Topic, event: NewEvent) -> Result<Published> {
        let event = event.stamp();
        let id = event.id.clone();
        self.shared
            .fan_out
            .deliver_locally(topic, event.clone())
            .await?;
        self.shared.groups.deliver_locally(topic, &event).await?;
        Ok(Published::new(Some(id), None))
    }

    async fn clear(&self, topic: &Topic) -> Result<()> {
        let bus = &self.shared.bus;
        let stream = bus.stream(topic);
        let clearing = self.shared.fan_out.clearing(topic);
        bus.link
            .run(&stream.delete(), Repeat::Yes)
            .await
            .map_err(|failure| bus.error(failure, "clear", "DEL", stream.key()))?;
        self.shared.groups.cleared(topic);
        self.shared.fan_out.cleared(clearing).await;
        Ok(())
    }
}

impl PubSub for RedisStreamsPubSub {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        let bus = &self.shared.bus;
        if let Err(error) = bus.check("publish", topic) {
            return OpFuture::ready(Err(error));
        }
        if options.local_only {
            return OpFuture::new(self.publish_locally(topic, event));
        }
        OpFuture::new(bus.publish(topic, event))
    }

    fn publish_all<'a>(
        &'a self,
        topic: &'a Topic,
        events: Vec<NewEvent>,
        options: PublishOptions,
    ) -> OpFuture<'a, Vec<Published>> {
        let publish = |event| self.publish_with(topic, event, options);
        pipeline(events.into_iter().map(publish).collect())
    }

    fn check(&self, topic: &Topic, event: &NewEvent) -> Result<()> {
        let bus = &self.shared.bus;
        bus.settings.check_topic("publish", topic)?;
        if is_surely_small(event, bus.settings.max_event_bytes)
            .map_err(|error| error.with_subject(topic))?
        {
            return Ok(());
        }
        let text = crate::stream::encode(&event.clone().stamp())
            .map_err(|error| error.with_subject(topic))?;
        bus.check_size(topic, text.len())
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        let checked = self
            .shared
            .bus
            .check("subscribe", topic)
            .and_then(|()| runtime("subscribe"));
        if let Err(error) = checked {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(async move {
            match options.group.clone() {
                None => self.shared.fan_out.subscribe(topic, options).await,
                Some(group) => self.shared.groups.subscribe(topic, &group, options).await,
            }
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a Topic,
        offset: u64,
        limit: usize,
    ) -> OpFuture<'a, Vec<Arc<Event>>> {
        if let Err(error) = self.shared.bus.check("history", topic) {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(self.shared.bus.history(topic, offset, limit))
    }

    fn clear_topic<'a>(&'a self, topic: &'a Topic) -> OpFuture<'a, ()> {
        if let Err(error) = self.shared.bus.check("clear", topic) {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(self.clear(topic))
    }

    fn trim_topic<'a>(&'a self, topic: &'a Topic, before: u64) -> OpFuture<'a, ()> {
        if let Err(error) = self.shared.bus.check("trim", topic) {
            return OpFuture::ready(Err(error));
        }
        OpFuture::new(self.shared.bus.trim(topic, before))
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        if self.shared.bus.is_closed() {
            return OpFuture::ready(Ok(Vec::new()));
        }
        OpFuture::new(async {
            let mut infos = self.shared.bus.topics().await?;
            self.shared.fan_out.count(&mut infos);
            Ok(infos)
        })
    }

    fn flush(&self) -> OpFuture<'_, ()> {
        OpFuture::new(async {
            self.shared.bus.settled().await;
            self.shared.groups.settled().await;
            self.shared.fan_out.flush().await;
            Ok(())
        })
    }

    fn close(&self) -> OpFuture<'_, ()> {
        OpFuture::new(async {
            if !self.shared.bus.start_closing() {
                return Ok(());
            }
            self.shared.groups.close().await;
            self.shared.fan_out.close().await;
            // Publishes end within this time, unless they are not polled.
            let patience = self.shared.bus.settings.publish_timeout;
            let _ = timeout(patience, self.shared.bus.settled()).await;
            self.shared.bus.link.close();
            Ok(())
        })
    }

    fn capabilities(&self) -> Capabilities {
        let settings = &self.shared.bus.settings;
        let delay = match settings.redelivery {
            Redelivery::Republish => Duration::ZERO,
            Redelivery::GroupLocal { delay } => delay,
        };
        Capabilities {
            name: "redis",
            replay: true,
            groups: true,
            group_redelivery: true,
            group_redelivery_moves: true,
            fanout_redelivery: true,
            private_redelivery: settings.redelivery != Redelivery::Republish,
            max_deliveries: settings.max_deliveries,
            redelivery_delay: delay,
            leases: true,
            local_only: true,
            batching: true,
            clear: true,
            list_topics: true,
            max_event_bytes: Some(settings.max_event_bytes),
            ordering: Ordering::Topic,
            publish_safety: PublishSafety::Stored,
            reach: Reach::Network,
            modes: DeliveryModes {
                pull: true,
                push: false,
            },
        }
    }

    fn lease_provider(&self) -> Option<Arc<dyn LeaseProvider>> {
        Some(Arc::clone(&self.shared.leases) as Arc<dyn LeaseProvider>)
    }
}

/// Whether `event` stays under `limit` bytes however much of its texts must be escaped.
///
/// # Errors
/// `InvalidPayload` when its data cannot be written as JSON.
fn is_surely_small(event: &NewEvent, limit: usize) -> Result<bool> {
    const ENVELOPE: usize = 512;
    const LONGEST_ESCAPE: usize = 6;
    let data = event.data.to_json_in(Dialect::Plain)?;
    let generation = event.generation.as_ref().map_or(0, |text| text.len());
    let texts = event.event_type.len() + event.run_id.len() + generation;
    let bound = data.len() + texts * LONGEST_ESCAPE + ENVELOPE;
    Ok(event.extra.is_none() && bound <= limit)
}

impl fmt::Debug for RedisStreamsPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreamsPubSub")
            .field("server", self.server())
            .field("key_prefix", &self.shared.bus.settings.key_prefix)
            .field("link", &self.shared.bus.link)
            .finish()
    }
}
