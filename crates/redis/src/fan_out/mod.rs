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
mod past;
mod private_group;
mod reading;
mod recent;
mod roster;
mod seam;
mod settle;
mod source;
mod track;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bowline_events::log::Backlog;
use bowline_events::{
    Error, ErrorKind, Event, InProcessPubSub, OpFuture, PubSub, Result, StartFrom,
    SubscribeOptions, Subscription, Topic, TopicInfo,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::bus::{Bus, runtime, unique};
use crate::history::PRIVATE;
use crate::stream::{Entry, StreamId, StreamInfo};
use crate::wire::Repeat;
use inbox::End;
use live::Live;
use past::Past;
use private_group::{Begin, Loss};
use reading::{Common, Reading};
use seam::Seam;
use source::Source;

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

#[derive(Debug)]
struct Shared {
    bus: Arc<Bus>,
    topics: Mutex<Topics>,
    /// Numbers the logs on the local bus.
    made: AtomicU64,
    /// Made by the first subscription, which brings a runtime.
    started: OnceLock<Started>,
}

#[derive(Debug, Default)]
struct Topics {
    slots: HashMap<Topic, Arc<Slot>>,
    closed: bool,
}

/// A topic, whether it has subscribers or not.
#[derive(Debug, Default)]
struct Slot {
    /// Held while the first subscriber comes, and while the last one leaves.
    changing: tokio::sync::Mutex<()>,
    member: Mutex<Option<Member>>,
}

#[derive(Debug, Clone)]
struct Member {
    live: Arc<Live>,
    reading: Arc<Reading>,
}

#[derive(Debug)]
struct Started {
    common: Arc<Common>,
    /// Reads all topics, unless this is a cluster.
    reading: Arc<Reading>,
    acks: AbortHandle,
}

impl Slot {
    fn member(&self) -> MutexGuard<'_, Option<Member>> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FanOut {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self {
            shared: Arc::new(Shared {
                bus,
                topics: Mutex::default(),
                made: AtomicU64::new(0),
                started: OnceLock::new(),
            }),
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
        let slots: Vec<(Topic, Arc<Slot>)> = {
            let mut topics = self.shared.topics();
            topics.closed = true;
            topics.slots.drain().collect()
        };
        if timeout(CLOSE_PATIENCE, self.shared.close(slots))
            .await
            .is_err()
        {
            tracing::warn!("the server did not answer in time; private groups may be left behind");
        }
        if let Some(started) = self.shared.started.get() {
            let _ = started.common.local.close().await;
            started.stop();
        }
    }
}

impl Started {
    fn stop(&self) {
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
    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, topic: &Topic) -> Option<Arc<Live>> {
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
            let group = format!("{PRIVATE}{}", uuid::Uuid::new_v4());
            let common = Arc::new(Common {
                bus: Arc::clone(&self.bus),
                local: local_bus(),
                consumer: unique(&group),
                group,
                acks: acks::Acks::default(),
                recent: Mutex::default(),
                names: recent::Names::default(),
                refused: settle::Refused::default(),
                runtime: runtime.clone(),
            });
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

    async fn subscribe(
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
        let source = share.source(options, past, StreamId::ZERO)?;
        member.reading.add(&member.live);
        self.sweep(topic, common);
        Ok(source)
    }

    /// Positions need a look at the stream.
    async fn check_offset(
        &self,
        options: &SubscribeOptions,
        info: Option<&StreamInfo>,
        commands: &crate::stream::StreamCommands<'_>,
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
            let seen = newest.first().map_or(StreamId::ZERO, |entry| entry.id);
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
        share.source(options, Some(past), StreamId::ZERO)
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
    async fn retire(&self, topic: &Topic, member: &Member) -> Result<()> {
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

    async fn close(&self, slots: Vec<(Topic, Arc<Slot>)>) {
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

/// A bus for the subscribers of this process. It keeps what they have not read yet, and nothing else.
fn local_bus() -> InProcessPubSub {
    let mut backlog = Backlog::default();
    backlog.events = 4 * 1024;
    backlog.bytes = 4 * 1024 * 1024;
    // Reading the topic stops until its subscribers are back; only one that stands still ends the wait.
    backlog.max_delay = Duration::from_secs(60);
    InProcessPubSub::builder()
        .no_replay()
        .backlog(backlog)
        .build()
}

fn closed(topic: &Topic) -> Error {
    let message = "the bus was closed; make a new one";
    Error::new(ErrorKind::Closed, "subscribe", message).with_subject(topic)
}

/// One subscriber's share in a topic; given up when it is dropped.
struct Share {
    shared: Arc<Shared>,
    topic: Topic,
    member: Member,
    /// The subscriber, once it is registered.
    reader: Option<u64>,
    left: bool,
}

impl Share {
    /// For a subscriber that the topic has counted already.
    fn new(shared: &Arc<Shared>, topic: &Topic, member: &Member) -> Self {
        Self {
            shared: Arc::clone(shared),
            topic: topic.clone(),
            member: member.clone(),
            reader: None,
            left: false,
        }
    }

    fn live(&self) -> &Arc<Live> {
        &self.member.live
    }

    fn common(&self) -> &Arc<Common> {
        &self.member.reading.common
    }

    fn reader(&self) -> u64 {
        self.reader.unwrap_or(u64::MAX)
    }

    /// The subscription: in the past where there is one to read, otherwise attached, passing over entries up to `seen`.
    fn source(
        mut self,
        options: SubscribeOptions,
        past: Option<Past>,
        seen: StreamId,
    ) -> Result<Source> {
        let (reader, inbox) = self.live().register();
        self.reader = Some(reader);
        let in_the_past = past.is_some();
        let mut source = Source::new(self, inbox, options, past);
        if !in_the_past {
            source.attach(seen)?;
        }
        Ok(source)
    }

    /// Gives the share up. If it was the last, the group is removed by the returned task.
    fn leave(&mut self) -> Option<tokio::task::JoinHandle<Result<()>>> {
        if std::mem::replace(&mut self.left, true) || !self.member.live.leave(self.reader) {
            return None;
        }
        let (shared, topic, member) = (
            Arc::clone(&self.shared),
            self.topic.clone(),
            self.member.clone(),
        );
        let runtime = self.common().runtime.clone();
        Some(runtime.spawn(async move { shared.retire(&topic, &member).await }))
    }

    fn unsubscribe(mut self) -> OpFuture<'static, ()> {
        match self.leave() {
            None => OpFuture::ready(Ok(())),
            Some(retired) => OpFuture::new(async move {
                // The runtime may be shut down meanwhile; then nothing is delivered any more, either.
                retired.await.unwrap_or(Ok(()))
            }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.leave());
    }
}
