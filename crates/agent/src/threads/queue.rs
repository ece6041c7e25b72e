//! Messages that wait for a run of their own, and how many do.

use std::fmt;

use bowline_events::{PubSubExt, SubscribeOptions, Subscription, Text};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::keeper::next;
use super::options::{Accepted, QueueOptions, Wanted};
use super::record::{SignalsCancelled, ThreadRecord};
use super::runtime::Threads;
use super::state::Waiting;
use super::{Signal, ThreadId};
use crate::{Error, Result};

/// Something that happens to what waits in a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueEvent {
    /// So many signals wait now.
    CountChanged(usize),
}

/// How many signals wait in a thread: how many do now, and then every change, of which the last counts where several come quickly.
///
/// What this process changes, and runs that begin and end, are seen at once. What another process only adds is seen within a third of
/// a [lease](super::ThreadsBuilder::lease). What a program of the reference queues for itself is known to nobody else.
#[must_use = "nothing is read unless it is asked for what comes next"]
pub struct QueueEvents {
    threads: Threads,
    thread: ThreadId,
    owner: Option<Text>,
    count: Option<usize>,
    changed: Receiver<Text>,
    /// `None` when the bus says no more; then the store alone does.
    words: Option<Subscription>,
    looks: Interval,
}

impl Threads {
    /// Gives what a person says to a thread, to be answered by a run of its own when those before have ended.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub async fn queue_message(
        &self,
        agent: &str,
        thread: &ThreadId,
        message: impl Into<Signal>,
        options: impl Into<QueueOptions>,
    ) -> Result<Accepted> {
        let QueueOptions { owner, run } = options.into();
        let mut waiting = Waiting::new(message.into(), agent.to_owned().into(), run);
        waiting.own_turn = true;
        waiting.owner = owner;
        let wanted = Wanted::default();
        self.shared().send(thread, waiting, &wanted).await
    }

    /// Forgets signals that wait for the end of a run. Returns the ids of those that did wait.
    ///
    /// # Errors
    /// `Store`.
    pub async fn cancel_queued(&self, thread: &ThreadId, signals: &[Text]) -> Result<Vec<Text>> {
        self.cancel(thread, |it| signals.contains(&it.signal.id))
            .await
    }

    /// Forgets the messages for `agent` that wait and [belong](QueueOptions::owner) to `owner`. Returns the ids of those that did wait.
    ///
    /// # Errors
    /// `Store`.
    pub async fn cancel_queued_of(
        &self,
        agent: &str,
        thread: &ThreadId,
        owner: &str,
    ) -> Result<Vec<Text>> {
        self.cancel(thread, |it| {
            it.agent == *agent && it.owner.as_deref() == Some(owner)
        })
        .await
    }

    async fn cancel(
        &self,
        thread: &ThreadId,
        meant: impl Fn(&Waiting) -> bool,
    ) -> Result<Vec<Text>> {
        let shared = self.shared();
        let cancelled = shared.ledger.change(thread, |state| {
            let gone = state.cancel(&meant);
            (!gone.is_empty()).then_some(gone)
        });
        let cancelled = cancelled.await?.unwrap_or_default();
        if !cancelled.is_empty() {
            let signal_ids = cancelled.clone();
            let record = ThreadRecord::SignalsCancelled(SignalsCancelled { signal_ids });
            shared.mention(thread, &record).await;
        }
        Ok(cancelled)
    }

    /// Watches how many signals wait in a thread.
    ///
    /// # Errors
    /// `Bus`.
    pub async fn subscribe_events(&self, thread: &ThreadId) -> Result<QueueEvents> {
        let shared = self.shared();
        let words = shared
            .thread_bus
            .subscribe(thread.topic(), SubscribeOptions::new());
        let words = words
            .await
            .map_err(|error| Error::bus("subscribe", error))?;
        let mut looks = interval(shared.ttl / 3);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        Ok(QueueEvents {
            threads: self.clone(),
            thread: thread.clone(),
            owner: None,
            count: None,
            changed: shared.ledger.changed(),
            words: Some(words),
            looks,
        })
    }
}

impl QueueEvents {
    /// Counts only the messages that [belong](QueueOptions::owner) to `owner`.
    pub fn of_owner(mut self, owner: impl Into<Text>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// What happens next; the first time, how many wait now. Cancel safe.
    ///
    /// # Errors
    /// `Store`, after which it can be asked again, and `Closed`.
    pub async fn next(&mut self) -> Result<QueueEvent> {
        loop {
            let shared = self.threads.shared();
            shared.check_open("read thread")?;
            let loaded = shared.ledger.load(&self.thread).await?;
            let count = loaded.state.waiting(self.owner.as_ref());
            if self.count != Some(count) {
                self.count = Some(count);
                return Ok(QueueEvent::CountChanged(count));
            }
            self.stirred(&loaded.key).await;
        }
    }

    /// Something may have changed.
    async fn stirred(&mut self, key: &Text) {
        loop {
            tokio::select! {
                changed = self.changed.recv() => match changed {
                    Ok(changed) if changed != *key => {}
                    // Changes of this thread may be among those that were missed.
                    _ => return,
                },
                word = said(&mut self.words) => match word {
                    Ok(Some(ThreadRecord::Part(_))) | Err(_) => {}
                    Ok(_) => return,
                },
                _ = self.looks.tick() => return,
            }
        }
    }
}

/// The next record of the topic of a thread.
async fn said(words: &mut Option<Subscription>) -> Result<Option<ThreadRecord>> {
    let Some(open) = words else {
        return std::future::pending().await;
    };
    match next(open).await {
        Some(word) => ThreadRecord::read(word.event()),
        None => {
            *words = None;
            Ok(None)
        }
    }
}

impl fmt::Debug for QueueEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueEvents")
            .field("thread", &self.thread)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
