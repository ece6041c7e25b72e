//! The bus as users see it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Capabilities, DeliveryModes, NewEvent, OpFuture, Ordering, PubSub, PublishOptions,
    PublishSafety, Published, Reach, Result, SubscribeOptions, Subscription, Text, Topic,
    TopicInfo, pipeline,
};

use crate::broker::Membership;
use crate::directory;
use crate::local::{MAX_DELIVERIES, REDELIVERY_STEP};
use crate::options::UnixSocketBuilder;
use crate::participant::{Participant, Role};
use crate::stats::Stats;
use crate::subscribe;

/// How often closing looks whether everything has been written.
const POLL: Duration = Duration::from_millis(2);

/// The bus of one host: every process that opens the same socket path takes part. See the [crate](crate) for what it
/// guarantees.
///
/// Cheap to clone; clones are one participant. When the last clone and the last subscription are dropped the participant
/// leaves the bus; [`close`](PubSub::close) does so in order.
#[derive(Clone)]
pub struct UnixSocketPubSub {
    handle: Arc<Handle>,
}

/// Ends the participant when nobody uses it any more.
pub(crate) struct Handle(Arc<Participant>);

impl Handle {
    pub(crate) fn participant(&self) -> &Arc<Participant> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.link().closing = true;
        self.0.shutdown.notify_one();
    }
}

impl UnixSocketPubSub {
    /// A participant at `path` with the default limits. Nothing touches the file system before the first use.
    ///
    /// # Errors
    /// `InvalidInput` for a path over 107 bytes or one that names no file.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// Sets limits before the bus is made.
    pub fn builder(path: impl Into<PathBuf>) -> UnixSocketBuilder {
        UnixSocketBuilder::new(path)
    }

    /// A participant from a URL such as `unix:///run/app/events.sock?publish_deadline=2s&max_frame_bytes=8MiB`.
    ///
    /// The options are those of [`UnixSocketBuilder`]; sizes are in bytes, `KiB`, `MiB` or `GiB`, times in `ms`, `s` or `m`.
    ///
    /// # Errors
    /// `InvalidInput` for another scheme, a relative path, a value that cannot be read, and an unknown option, naming the
    /// nearest one that exists.
    ///
    /// ```
    /// use bowline_unix::UnixSocketPubSub;
    /// let bus = UnixSocketPubSub::from_url("unix:///tmp/app/events.sock?publish_deadline=2s")?;
    /// assert_eq!(bus.socket_path().to_str(), Some("/tmp/app/events.sock"));
    /// let error = UnixSocketPubSub::from_url("unix:///tmp/s.sock?publish_dedline=2s").unwrap_err();
    /// assert!(error.to_string().contains("publish_deadline"));
    /// # Ok::<(), bowline_events::Error>(())
    /// ```
    pub fn from_url(url: &str) -> Result<Self> {
        crate::url::parse(url)?.build()
    }

    pub(crate) fn from_builder(options: UnixSocketBuilder) -> Result<Self> {
        let participant = Participant::new(options)?;
        Ok(Self {
            handle: Arc::new(Handle(participant)),
        })
    }

    fn participant(&self) -> &Arc<Participant> {
        self.handle.participant()
    }

    /// Whether this process is the broker at present.
    pub fn is_broker(&self) -> bool {
        matches!(self.participant().link().role, Role::Broker)
    }

    /// The number of processes connected to this broker; 0 when this is not the broker.
    pub fn remote_client_count(&self) -> usize {
        let count = self.participant().hub.with(|broker| broker.connected());
        count.unwrap_or(0)
    }

    /// The path of the socket.
    pub fn socket_path(&self) -> &Path {
        &self.participant().path.socket
    }

    /// What this participant has been through so far.
    pub fn stats(&self) -> Stats {
        let participant = self.participant();
        if let Some(counters) = participant.hub.with(|broker| broker.take_counters()) {
            participant.count(counters);
        }
        participant.counters.read()
    }

    /// Waits until `done`, a bounded time.
    async fn drained(&self, done: impl Fn(&Participant) -> bool) {
        let deadline = tokio::time::Instant::now() + self.participant().options.flush_timeout;
        while !done(self.participant()) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn close_now(&self) -> Result<()> {
        let participant = self.participant();
        let starts = {
            let mut link = participant.link();
            link.closing = true;
            let error = participant.closed("publish");
            link.pending.fail(&error);
            if matches!(link.role, Role::Idle) {
                link.role = Role::Closed;
            }
            !matches!(link.role, Role::Closed)
        };
        participant.changed.notify_waiters();
        if starts {
            participant.hub.flush_own();
            self.drained(|participant| {
                participant.hub.outstanding() == 0 && participant.link().window.is_empty()
            })
            .await;
            participant.shutdown.notify_one();
            let end = participant.options.flush_timeout + Duration::from_secs(1);
            // A supervisor whose runtime does not run any more ends nothing, and holds nothing up.
            let _ = tokio::time::timeout(end, self.ended()).await;
        }
        participant.local.close().await
    }

    async fn ended(&self) {
        let participant = self.participant();
        loop {
            let mut changed = pin!(participant.changed.notified());
            changed.as_mut().enable();
            if matches!(participant.link().role, Role::Closed | Role::Idle) {
                return;
            }
            changed.await;
        }
    }

    /// Own memberships, and those of all clients when this is the broker. How many subscribers share the membership of another
    /// process is not known.
    /// What this process knows, and the memberships that the broker told of.
    fn list(&self, told: Vec<Membership>) -> Vec<TopicInfo> {
        let participant = self.participant();
        let link = participant.link();
        let mut topics: BTreeMap<Topic, TopicInfo> = BTreeMap::new();
        let mut info_of = |topic: &Topic, group: Option<&Text>, subscribers: Option<u64>| {
            let info = topics.entry(topic.clone()).or_insert_with(|| {
                let mut info = TopicInfo::new(topic.clone());
                info.subscribers = Some(0);
                info
            });
            match group {
                Some(group) if info.groups.contains(group) => {}
                Some(group) => info.groups.push(group.clone()),
                None => info.subscribers = info.subscribers.zip(subscribers).map(|(a, b)| a + b),
            }
        };
        for membership in link.memberships.active() {
            let own = link.memberships.subscribers(&membership) as u64;
            info_of(&membership.topic, membership.group.as_ref(), Some(own));
        }
        participant.hub.with(|broker| {
            for subscribers in broker.topics() {
                for group in &subscribers.groups {
                    info_of(&subscribers.topic, Some(&group.name), None);
                }
                if !subscribers.remote.is_empty() {
                    info_of(&subscribers.topic, None, None);
                }
            }
        });
        for membership in told {
            let unknown =
                membership.group.is_none() && !link.memberships.active().contains(&membership);
            info_of(
                &membership.topic,
                membership.group.as_ref(),
                if unknown { None } else { Some(0) },
            );
        }
        topics.into_values().collect()
    }
}

impl PubSub for UnixSocketPubSub {
    fn publish_with<'a>(
        &'a self,
        topic: &'a Topic,
        event: NewEvent,
        options: PublishOptions,
    ) -> OpFuture<'a, Published> {
        if options.local_only {
            self.participant().publish_local(topic, event)
        } else {
            self.participant().publish(topic, event)
        }
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
        self.participant().check(topic, event)
    }

    fn subscribe_with<'a>(
        &'a self,
        topic: &'a Topic,
        options: SubscribeOptions,
    ) -> OpFuture<'a, Subscription> {
        OpFuture::new(subscribe::subscribe(
            Arc::clone(&self.handle),
            topic.clone(),
            options,
        ))
    }

    fn topics(&self) -> OpFuture<'_, Vec<TopicInfo>> {
        OpFuture::new(async move {
            let known = match self.participant().is_closing() {
                true => Vec::new(),
                false => directory::ask(self.participant()).await?,
            };
            Ok(self.list(known))
        })
    }

    /// Waits until the kernel has taken what this process sent, at most the flush timeout.
    fn flush(&self) -> OpFuture<'_, ()> {
        OpFuture::new(async move {
            self.participant().hub.flush_own();
            self.drained(|participant| {
                participant.hub.queued() == 0 && participant.link().window.is_empty()
            })
            .await;
            Ok(())
        })
    }

    /// Refuses new work, writes what is queued for at most the flush timeout, and leaves the bus. A broker removes its socket
    /// if it is still its own.
    fn close(&self) -> OpFuture<'_, ()> {
        OpFuture::new(self.close_now())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "unix",
            replay: false,
            groups: true,
            group_redelivery: true,
            group_redelivery_moves: false,
            fanout_redelivery: true,
            private_redelivery: true,
            max_deliveries: Some(MAX_DELIVERIES),
            redelivery_delay: REDELIVERY_STEP,
            leases: false,
            local_only: true,
            batching: false,
            clear: false,
            list_topics: true,
            max_event_bytes: Some(self.participant().options.max_event_bytes()),
            ordering: Ordering::Publisher,
            publish_safety: PublishSafety::SendWindow,
            reach: Reach::Host,
            modes: DeliveryModes {
                pull: false,
                push: true,
            },
        }
    }
}

impl fmt::Debug for UnixSocketPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.participant().link().role {
            Role::Idle => "idle",
            Role::Starting => "starting",
            Role::Client(_) => "client",
            Role::Broker => "broker",
            Role::Closed => "closed",
        };
        f.debug_struct("UnixSocketPubSub")
            .field("path", &self.socket_path())
            .field("role", &role)
            .finish()
    }
}
