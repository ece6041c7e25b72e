//! One topic: its log, and whom to wake.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::Notify;
use uuid::Uuid;

use super::Shared;
use super::append::{Appendable, Appended};
use super::pressure::Pressure;
use crate::log::{AppendError, LogConfig, LogStats, MemberId, ReaderId, TopicLog};
use crate::{CachePage, Error, ErrorKind, Event, Result, Text, Timestamp, Topic, TopicInfo};

pub(super) struct TopicState {
    topic: Topic,
    /// Topics made before this one.
    born: u64,
    inner: Mutex<Inner>,
    /// Wakes publishers that wait for readers.
    pub(super) room: Notify,
    /// Goes up when batches are to be handed over although they are not full.
    flushes: AtomicU64,
    pub(super) bus: Weak<Shared>,
    /// Bytes kept in all topics of the bus.
    bytes: Arc<AtomicUsize>,
}

pub(super) struct Inner {
    pub(super) log: TopicLog,
    /// Readers that found nothing.
    parked: Vec<(ReaderId, Waker)>,
    members: HashMap<MemberId, Waker>,
    /// When the armed timer goes off.
    timer_at: Option<Instant>,
    pub(super) publishers_wait: bool,
    /// How often waiting publishers were let go because readers caught up.
    pub(super) releases: u64,
    /// A timer is under way at which waiting publishers look again.
    pub(super) ticking: bool,
    /// How often that timer went off.
    pub(super) ticks: u64,
    last_append: i64,
    /// Names the incarnation of the log that its positions count in.
    label: Text,
    /// Bytes of the log that the bus has counted.
    counted: usize,
    /// The topic was taken off the bus; attach to its successor.
    removed: bool,
}

/// Wake-ups that are due once the lock is released.
#[derive(Default)]
pub(super) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(super) fn fire(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl Inner {
    pub(super) fn park_reader(&mut self, reader: ReaderId, waker: &Waker, may_be_parked: bool) {
        if may_be_parked
            && let Some((_, parked)) = self.parked.iter_mut().find(|(other, _)| *other == reader)
        {
            parked.clone_from(waker);
            return;
        }
        self.parked.push((reader, waker.clone()));
    }

    pub(super) fn unpark_reader(&mut self, reader: ReaderId) {
        self.parked.retain(|(other, _)| *other != reader);
    }

    pub(super) fn park_member(&mut self, member: MemberId, waker: &Waker) {
        self.members.insert(member, waker.clone());
    }

    pub(super) fn unpark_member(&mut self, member: MemberId) {
        self.members.remove(&member);
    }

    fn wake_readers(&mut self, wakes: &mut Wakes) {
        wakes
            .0
            .extend(self.parked.drain(..).map(|(_, waker)| waker));
    }

    fn wake_ready(&mut self, wakes: &mut Wakes) {
        let Self { log, members, .. } = self;
        wakes.0.extend(
            log.take_ready()
                .filter_map(|member| members.remove(&member)),
        );
    }

    fn wake_all(&mut self, wakes: &mut Wakes) {
        self.wake_readers(wakes);
        wakes.0.extend(self.members.drain().map(|(_, waker)| waker));
    }
}

impl TopicState {
    pub(super) fn new(topic: Topic, config: LogConfig, bus: &Arc<Shared>) -> Self {
        static BORN: AtomicU64 = AtomicU64::new(0);
        Self {
            topic,
            born: BORN.fetch_add(1, Relaxed),
            inner: Mutex::new(Inner {
                log: TopicLog::new(config),
                parked: Vec::new(),
                members: HashMap::new(),
                timer_at: None,
                publishers_wait: false,
                releases: 0,
                ticking: false,
                ticks: 0,
                last_append: 0,
                label: fresh_label(),
                counted: 0,
                removed: false,
            }),
            room: Notify::new(),
            flushes: AtomicU64::new(0),
            bus: Arc::downgrade(bus),
            bytes: Arc::clone(&bus.bytes),
        }
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the log, then does what follows from it: counts bytes, wakes readers, members and publishers, takes care
    /// of dead letters and timers.
    pub(super) fn update<R>(self: &Arc<Self>, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut wakes = Wakes::default();
        let mut inner = self.lock();
        let result = act(&mut inner);
        inner.wake_ready(&mut wakes);
        let room = inner.publishers_wait && inner.log.has_room();
        if room {
            inner.publishers_wait = false;
            inner.releases += 1;
        }
        self.count(&mut inner);
        let dead = inner.log.take_dead();
        drop(inner);
        wakes.fire();
        if room {
            self.room.notify_waiters();
        }
        if !dead.is_empty() {
            super::settle::bury(&self.bus, &self.topic, dead);
        }
        result
    }

    fn count(&self, inner: &mut Inner) {
        let bytes = inner.log.bytes();
        if bytes > inner.counted {
            self.bytes.fetch_add(bytes - inner.counted, Relaxed);
        } else if bytes < inner.counted {
            self.bytes.fetch_sub(inner.counted - bytes, Relaxed);
        }
        inner.counted = bytes;
    }

    #[expect(
        clippy::result_large_err,
        reason = "the event moves on to the next attempt; boxing it would cost every append"
    )]
    /// Appends, or gives the event back because the topic was taken off the bus.
    pub(super) fn append(
        self: &Arc<Self>,
        event: Appendable,
    ) -> Result<Result<Appended>, Appendable> {
        let mut wakes = Wakes::default();
        let mut inner = self.lock();
        if inner.removed {
            return Err(event);
        }
        let at = event.event().created_at.as_millis();
        let weight = event.event().weight();
        let Inner { log, label, .. } = &mut *inner;
        let generation = matches!(event, Appendable::Indexed(_)).then(|| label.clone());
        let seq = match log.append_with(weight, |seq| event.place(seq, label)) {
            Ok(seq) => seq,
            Err(error) => return Ok(Err(self.refusal(error, &inner))),
        };
        inner.last_append = at;
        if !inner.parked.is_empty() {
            inner.wake_readers(&mut wakes);
        }
        inner.wake_ready(&mut wakes);
        let pressed = inner.log.is_pressed();
        self.count(&mut inner);
        drop(inner);
        let pressure = pressed.then(|| Pressure(Arc::clone(self)));
        Ok(Ok(Appended {
            seq,
            pressure,
            generation,
            wakes,
        }))
    }

    fn refusal(&self, error: AppendError, inner: &Inner) -> Error {
        match error {
            AppendError::Closed => Error::closed("publish", &self.topic),
            AppendError::Full => {
                let retention = inner.log.config().retention;
                let message = format!(
                    "{} events ({} bytes) wait for a group, the limit is {} events or {} bytes; add workers or raise the retention of this family",
                    inner.log.stats().events,
                    inner.log.stats().bytes,
                    retention.events,
                    retention.bytes
                );
                Error::new(ErrorKind::Full, "publish", message).with_subject(&self.topic)
            }
        }
    }

    /// Attaches something to the log, unless the topic was taken off the bus.
    pub(super) fn attach<R>(self: &Arc<Self>, act: impl FnOnce(&mut Inner) -> R) -> Option<R> {
        self.update(|inner| {
            if inner.removed {
                None
            } else {
                Some(act(inner))
            }
        })
    }

    /// Detaches something, and forgets the topic if that was the last use of it.
    pub(super) fn detach(self: &Arc<Self>, act: impl FnOnce(&mut Inner)) {
        let empty = self.update(|inner| {
            act(inner);
            // While others read, the next append trims.
            if !inner.log.has_readers() {
                inner.log.expire(Timestamp::now());
            }
            inner.log.is_idle()
        });
        if empty && let Some(bus) = self.bus.upgrade() {
            bus.remove_if_idle(&self.topic);
        }
    }

    /// Whether nobody uses the topic; if so, nobody can attach to it any more.
    pub(super) fn is_idle(&self) -> bool {
        let mut inner = self.lock();
        inner.removed = inner.log.is_idle() && !inner.log.is_closed();
        inner.removed
    }

    /// Makes sure that somebody looks at the log at `at`.
    pub(super) fn arm(self: &Arc<Self>, at: Option<Instant>) {
        let Some(at) = at else { return };
        let mut inner = self.lock();
        if inner.timer_at.is_some_and(|armed| armed <= at) {
            return;
        }
        let Some(runtime) = self.bus.upgrade().and_then(|bus| bus.runtime()) else {
            return;
        };
        inner.timer_at = Some(at);
        drop(inner);
        let state = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            if let Some(state) = state.upgrade() {
                state.timer_fired(at);
            }
        });
    }

    fn timer_fired(self: &Arc<Self>, at: Instant) {
        let mut wakes = Wakes::default();
        let next = self.update(|inner| {
            if inner.timer_at == Some(at) {
                inner.timer_at = None;
            }
            inner.log.tick(Instant::now());
            inner.wake_readers(&mut wakes);
            inner.log.next_timer()
        });
        wakes.fire();
        self.arm(next);
    }

    pub(super) fn clear(self: &Arc<Self>) {
        let label = fresh_label();
        let mut wakes = Wakes::default();
        self.update(|inner| {
            inner.log.clear();
            inner.label = label;
            inner.wake_all(&mut wakes);
        });
        wakes.fire();
    }

    pub(super) fn close(self: &Arc<Self>) {
        self.change_and_wake_all(TopicLog::close);
    }

    pub(super) fn trim_before(self: &Arc<Self>, before: u64) {
        self.update(|inner| inner.log.trim_before(before));
    }

    /// Applies the retention; says whether nothing is kept any more.
    pub(super) fn expire(self: &Arc<Self>, now: Timestamp) -> bool {
        self.update(|inner| {
            inner.log.expire(now);
            inner.log.is_idle()
        })
    }

    /// Drops what no attached reader needs; says whether nothing is kept any more.
    pub(super) fn drop_history(self: &Arc<Self>) -> bool {
        self.update(|inner| {
            inner.log.drop_history();
            inner.log.is_idle()
        })
    }

    /// Asks subscriptions with a batch policy to hand over what they have.
    pub(super) fn flush_batches(self: &Arc<Self>) {
        self.flushes.fetch_add(1, Relaxed);
        self.change_and_wake_all(|_| ());
    }

    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// Whether batches were asked for since `seen` was brought up to date, which happens here.
    pub(super) fn was_flushed_since(&self, seen: &mut u64) -> bool {
        let flushes = self.flushes();
        std::mem::replace(seen, flushes) != flushes
    }

    fn change_and_wake_all(self: &Arc<Self>, change: impl FnOnce(&mut TopicLog)) {
        let mut wakes = Wakes::default();
        self.update(|inner| {
            change(&mut inner.log);
            inner.wake_all(&mut wakes);
        });
        wakes.fire();
    }

    pub(super) fn history(self: &Arc<Self>, offset: u64, limit: usize) -> Vec<Arc<Event>> {
        self.update(|inner| {
            inner.log.expire(Timestamp::now());
            inner.log.history(offset, limit)
        })
    }

    pub(super) fn page(self: &Arc<Self>, from: u64, limit: usize) -> CachePage {
        let inner = self.lock();
        let stats = inner.log.stats();
        CachePage {
            events: inner.log.history(from, limit),
            first: stats.first,
            end: stats.end,
            generation: Some(inner.label.clone()),
        }
    }

    /// Orders topics by their last append, those of one millisecond by age.
    pub(super) fn last_touched(&self) -> (i64, u64) {
        (self.lock().last_append, self.born)
    }

    pub(super) fn stats(&self) -> LogStats {
        self.lock().log.stats()
    }

    pub(super) fn group_members(&self, group: &Text) -> usize {
        self.lock().log.group_members(group)
    }

    pub(super) fn info(&self) -> TopicInfo {
        let inner = self.lock();
        let stats = inner.log.stats();
        TopicInfo {
            events: Some(stats.events as u64),
            bytes: Some(stats.bytes as u64),
            subscribers: Some(stats.readers as u64),
            groups: inner.log.groups(),
            ..TopicInfo::new(self.topic.clone())
        }
    }
}

/// A name that no other history has: twelve random hexadecimal digits.
fn fresh_label() -> Text {
    let mut label = Uuid::new_v4().simple().to_string();
    label.truncate(12);
    label.into()
}
