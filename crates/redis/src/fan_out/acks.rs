//! Acknowledging what was read, without keeping the next read waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::bus::Bus;
use crate::stream::{StreamCommands, StreamId};
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
    by_topic: HashMap<Arc<str>, Vec<StreamId>>,
    entries: usize,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acknowledges `ids` of the stream of `topic` as soon as may be.
    pub(super) fn add(&self, topic: &Arc<str>, ids: impl IntoIterator<Item = StreamId>) {
        let mut due = self.lock();
        let list = due.by_topic.entry(Arc::clone(topic)).or_default();
        let before = list.len();
        list.extend(ids);
        let added = list.len() - before;
        due.entries += added;
        drop(due);
        self.more.notify_one();
    }

    /// Forgets what is due for a topic whose group is gone.
    pub(super) fn forget(&self, topic: &str) {
        let mut due = self.lock();
        if let Some(list) = due.by_topic.remove(topic) {
            due.entries -= list.len();
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
            let due = std::mem::take(&mut *self.lock());
            self.room.notify_waiters();
            for (topic, ids) in due.by_topic {
                let commands = StreamCommands::new(&bus.settings, &topic);
                for ids in ids.chunks(MOST_AT_ONCE) {
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
        }
    }
}
