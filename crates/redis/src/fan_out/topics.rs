//! The topics of a bus: the first subscriber makes the private group, the last one removes it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bowline_events::{Error, ErrorKind, Result, StartFrom, SubscribeOptions, Subscription, Topic};
use tokio::task::AbortHandle;

use super::inbox::End;
use super::live::{Live, Seen};
use super::past::Past;
use super::private_group::{self, Begin};
use super::reading::{Common, Reading};
use super::seam::Seam;
use super::share::Share;
use super::source::Source;
use crate::bus::{Bus, runtime};
use crate::stream::{Entry, StreamCommands, StreamId, StreamInfo};
use crate::wire::Repeat;

/// All topics of a bus.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bus: Arc<Bus>,
    topics: Mutex<Topics>,
    /// Numbers the logs on the local bus.
    made: AtomicU64,
    /// Made by the first subscription, which brings a runtime.
    pub(super) started: OnceLock<Started>,
}

#[derive(Debug, Default)]
struct Topics {
    slots: HashMap<Topic, Arc<Slot>>,
    closed: bool,
}

/// A topic, whether it has subscribers or not.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Held while the first subscriber comes, and while the last one leaves.
    changing: tokio::sync::Mutex<()>,
    member: Mutex<Option<Member>>,
}

/// A topic that has subscribers, and who reads it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) live: Arc<Live>,
    pub(super) reading: Arc<Reading>,
}

/// What the first subscriber brings to life.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) common: Arc<Common>,
    /// Reads all topics, unless this is a cluster.
    reading: Arc<Reading>,
    acks: AbortHandle,
}

impl Slot {
    fn member(&self) -> MutexGuard<'_, Option<Member>> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Started {
    /// Ends the read loops and all subscriptions.
    pub(super) fn stop(&self) {
        self.acks.abort();
        for live in self.reading.stop() {
            live.end(&End::Closed);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(started) = self.started.get() {
            started.stop();
        }
    }
}

impl Shared {
    pub(super) fn new(bus: Arc<Bus>) -> Self {
        Self {
            bus,
            topics: Mutex::default(),
            made: AtomicU64::new(0),
            started: OnceLock::new(),
        }
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic, where it has subscribers.
    pub(super) fn live(&self, topic: &Topic) -> Option<Arc<Live>> {
        let slot = self.topics().slots.get(topic).cloned()?;
        let member = slot.member();
        member.as_ref().map(|member| Arc::clone(&member.live))
    }

    fn slot(&self, topic: &Topic) -> Result<Arc<Slot>> {
        let mut topics = self.topics();
        if topics.closed {
            return Err(closed(topic));
        }
        Ok(Arc::clone(topics.slots.entry(topic.clone()).or_default()))
    }

    /// Forgets a topic that nobody uses.
    fn tidy(&self, topic: &Topic, slot: &Arc<Slot>) {
        let mut topics = self.topics();
        // The map and the caller; whoever else has it is about to subscribe.
        if Arc::strong_count(slot) == 2 && slot.member().is_none() {
            topics.slots.remove(topic);
        }
    }

    fn started(self: &Arc<Self>) -> Result<&Started> {
        let runtime = runtime("subscribe")?;
        Ok(self.started.get_or_init(|| {
            let common = Arc::new(Common::new(&self.bus, &runtime));
            let acking = Arc::clone(&common);
            let acks =
                runtime.spawn(async move { acking.acks.run(&acking.bus, &acking.group).await });
            Started {
                reading: Reading::new(&common, None),
                acks: acks.abort_handle(),
                common,
            }
        }))
    }

    /// Attaches a subscriber.
    pub(super) async fn subscribe(
        self: Arc<Self>,
        topic: Topic,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        let source = loop {
            let slot = self.slot(&topic)?;
            let present = slot.member().clone();
            if let Some(member) = present
                && member.live.join()
            {
                break self.join(&topic, member, options).await?;
            }
            let changing = slot.changing.lock().await;
            let taken = slot
                .member()
                .as_ref()
                .is_some_and(|member| !member.live.is_ended());
            if !taken {
                let opened = self.open(&topic, &slot, options).await;
                drop(changing);
                self.tidy(&topic, &slot);
                break opened?;
            }
        };
        Ok(Subscription::new(Box::new(source)))
    }

    /// The first subscriber of a topic.
    async fn open(
        self: &Arc<Self>,
        topic: &Topic,
        slot: &Arc<Slot>,
        options: SubscribeOptions,
    ) -> Result<Source> {
        let started = self.started()?;
        let common = &started.common;
        let begin = match options.start {
            StartFrom::Earliest => Begin::Oldest,
            StartFrom::Latest | StartFrom::Offset(_) => Begin::Newest,
        };
        let info = private_group::open(&self.bus, topic, &common.group, begin).await?;
        let commands = self.bus.stream(topic);
        let seamless = self.check_offset(&options, info.as_ref(), &commands).await;
        let is_closed = self.topics().closed;
        if let Err(error) = seamless.and_then(|()| {
            if is_closed {
                Err(closed(topic))
            } else {
                Ok(())
            }
        }) {
            // What is left behind is only an idle group.
            let _ = private_group::remove(&self.bus, &commands, &common.group).await;
            return Err(error);
        }
        let number = self.made.fetch_add(1, Relaxed);
        let ledger = begin.ledger(info.as_ref());
        let live = Arc::new(Live::open(
            topic,
            commands.key(),
            number,
            &common.local,
            ledger,
        )?);
        let reading = match self.bus.settings.cluster {
            false => Arc::clone(&started.reading),
            true => Reading::new(common, Some(commands.key().to_owned())),
        };
        let member = Member { live, reading };
        let share = Share::new(self, topic, &member);
        let past = matches!(options.start, StartFrom::Offset(_)).then(|| {
            let seam = Seam::new(options.start, info.as_ref(), &member.live.present());
            Past::new(&self.bus, topic, seam)
        });
        *slot.member() = Some(member.clone());
        let source = share.source(options, past, Seen::default())?;
        member.reading.add(&member.live);
        self.sweep(topic, common);
        Ok(source)
    }

    /// Positions need a look at the stream.
    async fn check_offset(
        &self,
        options: &SubscribeOptions,
        info: Option<&StreamInfo>,
        commands: &StreamCommands<'_>,
    ) -> Result<()> {
        if info.is_some() || !matches!(options.start, StartFrom::Offset(_)) {
            return Ok(());
        }
        let looked = self.bus.stream_info(commands).await;
        looked.map(|_| ()).map_err(|failure| {
            self.bus
                .error(failure, "subscribe", "XINFO STREAM", commands.key())
        })
    }

    /// A subscriber of a topic that has some already.
    async fn join(
        self: &Arc<Self>,
        topic: &Topic,
        member: Member,
        options: SubscribeOptions,
    ) -> Result<Source> {
        let share = Share::new(self, topic, &member);
        let commands = self.bus.stream(topic);
        if options.start == StartFrom::Latest {
            let newest = self.bus.link.run(&commands.newest(1), Repeat::Yes).await;
            let newest = newest.and_then(Entry::list).map_err(|failure| {
                self.bus
                    .error(failure, "subscribe", "XREVRANGE", commands.key())
            })?;
            let seen = Seen {
                upto: newest.first().map_or(StreamId::ZERO, |entry| entry.id),
                next: None,
            };
            return share.source(options, None, seen);
        }
        let present = member.live.present();
        let info = match self.bus.stream_info(&commands).await {
            Ok(info) => Some(info.unwrap_or_default()),
            Err(failure)
                if failure.code() == Some("NOPERM") && options.start == StartFrom::Earliest =>
            {
                None
            }
            Err(failure) => {
                return Err(self
                    .bus
                    .error(failure, "subscribe", "XINFO STREAM", commands.key()));
            }
        };
        let seam = Seam::new(options.start, info.as_ref(), &present);
        let past = Past::new(&self.bus, topic, seam);
        share.source(options, Some(past), Seen::default())
    }

    /// Looks for what crashed processes left on the stream, in the background.
    fn sweep(&self, topic: &Topic, common: &Arc<Common>) {
        let Some(idle) = self.bus.settings.sweep_idle else {
            return;
        };
        let (common, topic) = (Arc::clone(common), topic.clone());
        let runtime = common.runtime.clone();
        runtime.spawn(async move {
            if let Err(failure) =
                private_group::sweep(&common.bus, &topic, &common.group, idle).await
            {
                tracing::debug!(%topic, ?failure, "abandoned groups were not looked for");
            }
        });
    }

    /// The last subscriber left: removes the group, unless somebody came in the meantime.
    pub(super) async fn retire(&self, topic: &Topic, member: &Member) -> Result<()> {
        let Ok(slot) = self.slot(topic) else {
            return Ok(());
        };
        let changing = slot.changing.lock().await;
        let current = slot
            .member()
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(&other.live, &member.live));
        let outcome = match current && member.live.end_if_unused() {
            true => {
                *slot.member() = None;
                self.remove(topic, member).await
            }
            false => Ok(()),
        };
        drop(changing);
        self.tidy(topic, &slot);
        outcome
    }

    async fn remove(&self, topic: &Topic, member: &Member) -> Result<()> {
        let Member { live, reading } = member;
        reading.remove(live);
        if self.bus.settings.cluster {
            reading.stop();
        }
        let _regrouping = live.regrouping.lock().await;
        let common = &reading.common;
        common.acks.forget(&live.key);
        let commands = self.bus.stream(topic);
        let removed = private_group::remove(&self.bus, &commands, &common.group).await;
        removed.map_err(|failure| {
            self.bus
                .error(failure, "unsubscribe", "XGROUP DESTROY", commands.key())
        })
    }

    /// Refuses new subscribers, ends the others, and removes all private groups.
    pub(super) async fn close(&self) {
        let slots: Vec<(Topic, Arc<Slot>)> = {
            let mut topics = self.topics();
            topics.closed = true;
            topics.slots.drain().collect()
        };
        let mut removals = tokio::task::JoinSet::new();
        for (topic, slot) in slots {
            let Some(started) = self.started.get() else {
                return;
            };
            let (bus, group) = (Arc::clone(&self.bus), started.common.group.clone());
            let cluster = self.bus.settings.cluster;
            removals.spawn(async move {
                let _changing = slot.changing.lock().await;
                let Some(Member { live, reading }) = slot.member().take() else {
                    return;
                };
                live.end(&End::Closed);
                reading.remove(&live);
                if cluster {
                    reading.stop();
                }
                let _regrouping = live.regrouping.lock().await;
                let commands = bus.stream(&topic);
                if let Err(failure) = private_group::remove(&bus, &commands, &group).await {
                    tracing::warn!(
                        key = commands.key(),
                        ?failure,
                        "a private group is left behind"
                    );
                }
            });
        }
        while removals.join_next().await.is_some() {}
    }
}

fn closed(topic: &Topic) -> Error {
    let message = "the bus was closed; make a new one";
    Error::new(ErrorKind::Closed, "subscribe", message).with_subject(topic)
}
