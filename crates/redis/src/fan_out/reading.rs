//! What the read loops share: which topics there are, where their events go, and what happens to a topic that is in trouble.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{InProcessPubSub, OpFuture, Published};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::acks::Acks;
use super::inbox::End;
use super::live::{Live, Present};
use super::private_group::{self, Begin, Loss, Made};
use super::recent::{Names, Recent};
use super::roster::{LATE, MAIN, Roster, Turn, Wake};
use super::settle::Refused;
use crate::bus::Bus;
use crate::stream::{StreamCommands, decode};
use crate::wire::{Failure, backoff};

/// How long a newcomer gives the main lane before the late one takes it: a busy main lane is back sooner.
const GRACE: Duration = Duration::from_millis(2);

/// What all read loops of a bus share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) bus: Arc<Bus>,
    pub(super) local: InProcessPubSub,
    /// The name of the private group, the same on all topics.
    pub(super) group: String,
    pub(super) consumer: String,
    pub(super) acks: Acks,
    pub(super) recent: Mutex<Recent>,
    pub(super) names: Names,
    pub(super) refused: Refused,
    pub(super) runtime: Handle,
}

impl Common {
    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The read loops of one roster: two lanes, or one topic of a cluster.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) common: Arc<Common>,
    roster: Mutex<Roster<Arc<Live>>>,
    wakes: [Notify; 2],
    tasks: Mutex<[Option<AbortHandle>; 2]>,
    /// In a cluster, the key that says which node is meant.
    pub(super) node: Option<String>,
}

impl Reading {
    pub(super) fn new(common: &Arc<Common>, node: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            common: Arc::clone(common),
            roster: Mutex::new(Roster::new(common.bus.settings.block)),
            wakes: [Notify::new(), Notify::new()],
            tasks: Mutex::default(),
            node,
        })
    }

    fn roster(&self) -> MutexGuard<'_, Roster<Arc<Live>>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read `live`.
    pub(super) fn add(self: &Arc<Self>, live: &Arc<Live>) {
        let wake = self.roster().add(&live.key, Arc::clone(live));
        self.wake(wake);
    }

    /// Ends reading `live`. Entries that are on their way are not handed over.
    pub(super) fn remove(&self, live: &Arc<Live>) {
        let mut roster = self.roster();
        if roster
            .get(&live.key)
            .is_some_and(|other| Arc::ptr_eq(other, live))
        {
            roster.remove(&live.key);
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Live>> {
        self.roster().get(key).cloned()
    }

    /// Replies may have been lost: all topics look for what was assigned to them.
    pub(super) fn recover_all(&self) {
        self.common.recent().suspect();
        for live in self.roster().all() {
            live.stance.recover();
        }
    }

    /// What `lane` does next.
    pub(super) fn next(self: &Arc<Self>, lane: usize) -> Turn<Arc<Live>> {
        let (turn, wake) = self.roster().next(lane);
        self.wake(wake);
        turn
    }

    /// Waits until `lane` may have something to do.
    pub(super) async fn woken(&self, lane: usize) {
        self.wakes[lane].notified().await;
    }

    fn wake(self: &Arc<Self>, wake: Wake) {
        match wake {
            Wake::Nobody => {}
            Wake::Main => self.wake_lane(MAIN),
            Wake::Late => {
                let this = Arc::clone(self);
                self.common.runtime.spawn(async move {
                    sleep(GRACE).await;
                    this.wake_lane(LATE);
                });
            }
        }
    }

    fn wake_lane(self: &Arc<Self>, lane: usize) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks[lane].is_none() {
            let run = super::lane::supervise(Arc::clone(self), lane);
            tasks[lane] = Some(self.common.runtime.spawn(run).abort_handle());
        }
        drop(tasks);
        self.wakes[lane].notify_one();
    }

    /// Ends the read loops.
    pub(super) fn stop(&self) -> Vec<Arc<Live>> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.iter_mut().filter_map(Option::take) {
            task.abort();
        }
        drop(tasks);
        self.roster().drain()
    }

    /// Leaves `live` out of the reads until its subscribers have caught up.
    pub(super) fn pause(self: &Arc<Self>, live: &Arc<Live>, pressed: OpFuture<'static, Published>) {
        self.roster().pause(&live.key);
        let (this, live) = (Arc::clone(self), Arc::clone(live));
        self.common.runtime.spawn(async move {
            // It ends when there is room, or nobody is left who reads.
            drop(pressed.await);
            live.stance.careful.store(true, Relaxed);
            this.resume(&live);
        });
    }

    fn resume(self: &Arc<Self>, live: &Arc<Live>) {
        let mut roster = self.roster();
        let wake = match roster.get(&live.key) {
            Some(other) if Arc::ptr_eq(other, live) => roster.resume(&live.key),
            _ => Wake::Nobody,
        };
        drop(roster);
        self.wake(wake);
    }

    /// Ends `live` with an error for its subscribers.
    pub(super) fn fail(&self, live: &Arc<Live>, failure: Failure) {
        tracing::warn!(
            key = &*live.key,
            ?failure,
            "the stream of a topic cannot be read any more"
        );
        self.remove(live);
        live.end(&End::Failed(failure));
    }

    /// The group of `live`, as it was when it was read last, is gone: makes it anew, and goes on reading.
    pub(super) fn regroup(self: &Arc<Self>, live: &Arc<Live>) {
        self.roster().pause(&live.key);
        let (this, live) = (Arc::clone(self), Arc::clone(live));
        let epoch = live.stance.issued.load(Relaxed);
        self.common.runtime.spawn(async move {
            let mut failed = 0;
            while let Err(failure) = make_anew(&this.common, &live, epoch, None).await {
                if matches!(failure.code(), Some("WRONGTYPE" | "NOPERM")) {
                    this.fail(&live, failure);
                    return;
                }
                tracing::warn!(
                    key = &*live.key,
                    ?failure,
                    "a lost group cannot be made anew yet"
                );
                failed += 1;
                sleep(backoff(failed)).await;
            }
            this.resume(&live);
        });
    }
}

/// Makes the group of `live` anew, unless that has happened since `epoch`. `known` says what was lost, where that is known.
pub(super) async fn make_anew(
    common: &Common,
    live: &Live,
    epoch: u64,
    known: Option<Loss>,
) -> Result<(), Failure> {
    let _regrouping = live.regrouping.lock().await;
    let present = live.present();
    if live.is_ended() || epoch != present.epoch {
        return Ok(());
    }
    let commands = common.bus.stream(&live.topic);
    let loss = match known {
        Some(loss) => loss,
        None => assess(common, live, &commands, &present).await?,
    };
    let begin = match loss {
        Loss::Group => Begin::Behind(present.last_id),
        Loss::Stream => Begin::Oldest,
    };
    let info = loop {
        let made = private_group::make(&common.bus, &commands, &common.group, begin).await;
        match made.map_err(|(failure, _)| failure)? {
            Made::New(info) => break info,
            // Left by an attempt whose answer was lost.
            Made::Present => {
                private_group::destroy(&common.bus, &commands, &common.group).await?;
            }
        }
    };
    tracing::debug!(key = &*live.key, ?loss, "a group was made anew");
    common.recent().suspect();
    match loss {
        Loss::Group => live.regrouped(),
        Loss::Stream => live.cleared(info.map(|info| info.first())),
    }
    Ok(())
}

async fn assess(
    common: &Common,
    live: &Live,
    commands: &StreamCommands<'_>,
    present: &Present,
) -> Result<Loss, Failure> {
    let last_name = live.last_name();
    let is_last = |entry: &_| {
        let event = decode(entry).ok();
        let name = event.map(|event| common.names.of(&live.topic, &event));
        name == last_name
    };
    let assessed = private_group::assess(
        &common.bus,
        commands,
        present.last_id,
        present.next,
        is_last,
    );
    match assessed.await {
        // Who may not look takes the likelier case.
        Err(failure) if failure.code() == Some("NOPERM") => Ok(Loss::Stream),
        other => other,
    }
}
