//! Acknowledging what was read, without keeping the next read waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::yield_now;

use super::live::Live;
use crate::bus::Bus;
use crate::stream::StreamId;
use crate::wire::Repeat;

/// Entries that may wait for their acknowledgement before reading waits, too.
const MOST_DUE: usize = 64 * 1024;

/// Entries of one command.
const MOST_AT_ONCE: usize = 1000;

/// Entries that are to be acknowledged. What belongs to one stream goes out in one command.
#[derive(Debug, Default)]
pub(super) struct Acks {
    due: Mutex<Due>,
    more: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Due {
    by_key: HashMap<Arc<str>, Entries>,
    entries: usize,
}

/// Entries that a group of one topic was given.
#[derive(Debug)]
struct Entries {
    live: Arc<Live>,
    epoch: u64,
    ids: Vec<StreamId>,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acknowledges `ids`, which the group of `epoch` was given, as soon as may be.
    pub(super) fn add(&self, live: &Arc<Live>, epoch: u64, mut ids: Vec<StreamId>) {
        let mut due = self.lock();
        due.entries += ids.len();
        let present = due.by_key.get_mut(&live.key);
        if let Some(entries) = present
            && entries.epoch == epoch
            && Arc::ptr_eq(&entries.live, live)
        {
            entries.ids.append(&mut ids);
        } else {
            let live = Arc::clone(live);
            let key = Arc::clone(&live.key);
            // What an older group was given went with it.
            let older = due.by_key.insert(key, Entries { live, epoch, ids });
            due.entries -= older.map_or(0, |older| older.ids.len());
        }
        drop(due);
        self.more.notify_one();
    }

    /// Forgets what is due for a topic whose group is gone.
    pub(super) fn forget(&self, key: &str) {
        let mut due = self.lock();
        if let Some(entries) = due.by_key.remove(key) {
            due.entries -= entries.ids.len();
        }
        drop(due);
        self.room.notify_waiters();
    }

    /// Waits while too much is due.
    pub(super) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.lock().entries < MOST_DUE {
                return;
            }
            room.await;
        }
    }

    /// Sends what is due, for as long as the bus is open.
    pub(super) async fn run(&self, bus: &Bus, group: &str) {
        loop {
            self.more.notified().await;
            // Whoever was given the entries goes first.
            yield_now().await;
            let due = std::mem::take(&mut *self.lock());
            self.room.notify_waiters();
            for entries in due.by_key.into_values() {
                send(bus, group, &entries).await;
            }
        }
    }
}

/// Acknowledges entries while nobody makes the group anew: a new stream may give an id again that the old one had.
async fn send(bus: &Bus, group: &str, entries: &Entries) {
    let live = &entries.live;
    let _regrouping = live.regrouping.lock().await;
    if live.present().epoch != entries.epoch || live.is_ended() {
        return;
    }
    let commands = bus.stream(&live.topic);
    for ids in entries.ids.chunks(MOST_AT_ONCE) {
        let ack = commands.ack(group, ids);
        // An entry that stays unacknowledged is forgotten with the group.
        if let Err(failure) = bus.link.run(&ack, Repeat::Yes).await {
            tracing::debug!(
                key = commands.key(),
                ?failure,
                "entries were not acknowledged"
            );
        }
    }
}
