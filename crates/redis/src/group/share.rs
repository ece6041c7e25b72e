//! The share of this process in a group: one consumer, whatever number of members.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bowline_events::{Error, ErrorKind, Text, Topic};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::acks::Acks;
use super::pace::Load;
use super::scripts::Owner;
use super::work::{MemberId, Notice, Refused, SMALL_SHARE, Work};
use super::{read, upkeep};
use crate::bus::{Bus, unique};
use crate::stream::{StreamCommands, StreamId};
use crate::tickets::Tickets;
use crate::wire::{Failure, Repeat};

/// How far a share has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Nothing is read any more; deliveries in the hands of former members are still settled.
    Draining,
    Ended,
}

/// Why members get nothing more.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Closed,
    Failed(Failure),
}

/// One consumer of a group.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) bus: Arc<Bus>,
    pub(super) topic: Topic,
    pub(super) group: Text,
    pub(super) consumer: String,
    /// The group was there before: it may be behind.
    pub(super) found: bool,
    pub(super) runtime: Handle,
    pub(super) acks: Acks,
    /// Refusals and take-overs under way.
    pub(super) refusals: Arc<Tickets>,
    inner: Mutex<Inner>,
    /// The read loop looks again.
    pub(super) room: Notify,
    timers: Notify,
    /// Former members have settled something.
    pub(super) hands: Notify,
    /// Delivery counts to be set on the server.
    counts: Mutex<HashMap<StreamId, u32>>,
    pub(super) counted: Notify,
    phase: watch::Sender<Phase>,
    /// Somebody says that the stream may be gone.
    pub(super) suspect: AtomicBool,
    /// How many events a member may take at once.
    pub(super) portion: AtomicUsize,
    flushes: AtomicU64,
    reading: Mutex<Option<JoinHandle<()>>>,
    /// The number of the read loop's connection on the server; 0 when it is not known.
    pub(super) reader: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) work: Work,
    wakers: HashMap<MemberId, Waker>,
    pub(super) ending: Option<Ending>,
    /// When the timer goes off.
    armed: Option<Instant>,
    /// The read loop waits until at most so many events are unsettled, and so many of them not taken.
    pub(super) wanted: Option<(usize, usize)>,
    /// The newest entry that was read.
    pub(super) last_id: StreamId,
}

impl Inner {
    pub(super) fn park(&mut self, member: MemberId, waker: &Waker) {
        match self.wakers.get_mut(&member) {
            Some(parked) => parked.clone_from(waker),
            None => {
                self.wakers.insert(member, waker.clone());
            }
        }
    }

    /// Whether the read loop should look again.
    pub(super) fn has_room(&mut self, acks: &Acks) -> bool {
        let room = self.wanted.is_some_and(|(unsettled, waiting)| {
            self.work.waiting() <= waiting && self.work.entries() + acks.pending() <= unsettled
        });
        if room {
            self.wanted = None;
        }
        room
    }
}

impl Share {
    /// A share that reads; the group is there.
    pub(super) fn start(
        bus: &Arc<Bus>,
        topic: &Topic,
        group: &Text,
        found: bool,
        runtime: Handle,
    ) -> Arc<Self> {
        let share = Arc::new(Self {
            bus: Arc::clone(bus),
            topic: topic.clone(),
            group: group.clone(),
            consumer: unique(group),
            found,
            runtime,
            acks: Acks::default(),
            refusals: Arc::default(),
            inner: Mutex::default(),
            room: Notify::new(),
            timers: Notify::new(),
            hands: Notify::new(),
            counts: Mutex::default(),
            counted: Notify::new(),
            phase: watch::Sender::new(Phase::Running),
            suspect: AtomicBool::new(false),
            portion: AtomicUsize::new(SMALL_SHARE),
            flushes: AtomicU64::new(0),
            reading: Mutex::default(),
            reader: AtomicU64::new(0),
        });
        let reading = share.spawn("reading", read::run);
        *share.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        share.spawn("acknowledging", acknowledge);
        share.spawn("timers", keep_time);
        share.spawn("upkeep", upkeep::run);
        share
    }

    /// Runs `make` until it ends or the share does, again when it panicked.
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        make: fn(Arc<Self>) -> F,
    ) -> JoinHandle<()> {
        const PAUSE: Duration = Duration::from_millis(100);
        let share = Arc::clone(self);
        self.runtime.spawn(async move {
            loop {
                let mut task = Task(tokio::spawn(make(Arc::clone(&share))));
                tokio::select! {
                    () = share.reached(Phase::Ended) => return,
                    outcome = &mut task.0 => {
                        let Err(error) = outcome else { return };
                        tracing::error!(topic = %share.topic, group = %share.group, task = name, %error, "a task of a group died; it is started again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    /// The commands on the stream.
    pub(super) fn stream(&self) -> StreamCommands<'_> {
        self.bus.stream(&self.topic)
    }

    /// This consumer, for scripts.
    pub(super) fn owner<'a>(&'a self, stream: &'a StreamCommands<'a>) -> Owner<'a> {
        Owner {
            stream,
            group: &self.group,
            consumer: &self.consumer,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the work, then wakes whom it concerns.
    pub(super) fn update<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = act(&mut inner);
        let woken = inner.work.take_woken();
        let wakers: Vec<Waker> = woken
            .iter()
            .filter_map(|member| inner.wakers.remove(member))
            .collect();
        let timer = inner.work.next_timer();
        let arm = timer.is_some_and(|at| inner.armed.is_none_or(|armed| at < armed));
        if arm {
            inner.armed = timer;
        }
        let room = inner.has_room(&self.acks);
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
        if arm {
            self.timers.notify_one();
        }
        if room {
            self.room.notify_one();
        }
        result
    }

    /// What this process holds unsettled.
    pub(super) fn load(&self) -> Load {
        let inner = self.lock();
        Load {
            unsettled: inner.work.entries() + self.acks.pending(),
            waiting: inner.work.waiting(),
            bytes: inner.work.bytes(),
        }
    }

    /// The entries that are here, acknowledged ones included while the server may not know of it.
    pub(super) fn known_ids(&self) -> HashSet<StreamId> {
        let inner = self.lock();
        let mut ids = inner.work.ids();
        self.acks.collect(&mut ids);
        ids
    }

    /// A member joins, unless members get nothing more.
    pub(super) fn join(&self, lease: Option<Duration>) -> Option<MemberId> {
        self.update(|inner| match inner.ending {
            Some(_) => None,
            None => Some(inner.work.join(lease)),
        })
    }

    /// A member leaves; whether it was the last.
    pub(super) fn leave(&self, member: MemberId) -> bool {
        self.update(|inner| {
            inner.wakers.remove(&member);
            inner.work.leave(member, Instant::now());
            inner.work.members() == 0
        })
    }

    /// Ends the streams of the members.
    pub(super) fn end(&self, ending: Ending) {
        let mut inner = self.lock();
        inner.ending.get_or_insert(ending);
        let wakers: Vec<Waker> = inner.wakers.drain().map(|(_, waker)| waker).collect();
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Whether members get nothing more.
    pub(super) fn is_ending(&self) -> bool {
        self.lock().ending.is_some()
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a phase.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives as long as the share.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase
            .send_if_modified(|current| std::mem::replace(current, phase.max(*current)) != phase);
    }

    /// The task of the read loop, once.
    pub(super) fn take_reading(&self) -> Option<JoinHandle<()>> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.take()
    }

    /// The stream is gone, and with it what was unsettled.
    pub(super) fn clear(&self) {
        self.update(|inner| {
            inner.work.clear();
            inner.last_id = StreamId::ZERO;
        });
        self.hands.notify_one();
    }

    /// Tells all members.
    pub(super) fn tell(&self, notice: Notice) {
        self.update(|inner| inner.work.tell(notice));
    }

    /// Has batches handed over although they are not full.
    pub(super) fn flush(&self) {
        self.flushes.fetch_add(1, Relaxed);
        let mut inner = self.lock();
        let wakers: Vec<Waker> = inner.wakers.drain().map(|(_, waker)| waker).collect();
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
    }

    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// Has the server count `deliveries` of an entry.
    pub(super) fn count(&self, id: StreamId, deliveries: u32) {
        self.lock_counts().insert(id, deliveries);
        self.counted.notify_one();
    }

    pub(super) fn take_counts(&self) -> Vec<(StreamId, u32)> {
        self.lock_counts().drain().collect()
    }

    fn lock_counts(&self) -> MutexGuard<'_, HashMap<StreamId, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that a member or a settlement sees.
    pub(super) fn error(&self, failure: Failure, operation: &'static str, command: &str) -> Error {
        let key = self.bus.settings.key(&self.topic);
        self.bus.error(failure, operation, command, &key)
    }

    /// The answer to a settlement that comes too late.
    pub(super) fn closed(&self) -> Error {
        let message = "the bus was closed; the event goes to another member of the group";
        Error::new(ErrorKind::Closed, "settle", message).with_subject(&self.topic)
    }
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends what was acknowledged.
async fn acknowledge(share: Arc<Share>) {
    loop {
        let ids = share.acks.next().await;
        let ack = share.stream().ack(&share.group, &ids);
        let outcome = share.bus.link.run(&ack, Repeat::Yes).await;
        if let Err(failure) = &outcome {
            tracing::warn!(topic = %share.topic, group = %share.group, entries = ids.len(), ?failure, "entries could not be acknowledged; they are delivered again");
        }
        share.acks.answered(outcome.map(|_| ()));
        let room = share.lock().has_room(&share.acks);
        if room {
            share.room.notify_one();
        }
    }
}

/// Lets time pass for the work.
async fn keep_time(share: Arc<Share>) {
    loop {
        let armed = share.lock().armed;
        let changed = share.timers.notified();
        match armed {
            None => changed.await,
            Some(at) => {
                tokio::select! {
                    () = changed => continue,
                    () = tokio::time::sleep_until(at.into()) => {}
                }
                let expired: Vec<Refused> = share.update(|inner| {
                    inner.armed = None;
                    inner.work.tick(Instant::now())
                });
                for refused in expired {
                    tracing::warn!(topic = %share.topic, group = %share.group, id = %refused.event.id, "a member held an event for longer than its lease");
                    drop(share.refused(refused));
                }
            }
        }
    }
}
