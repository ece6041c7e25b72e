//! Putting notifications into inboxes, and giving their signals.

use bowline_events::{Text, Timestamp};

use super::entry::{Entry, Setback, same_keys};
use super::policy::{Delivery, DeliveryAction, NotificationPolicy, later};
use super::record::NotificationRecord;
use super::shelf::Pending;
use super::{MAX_PENDING, limit_of};
use crate::threads::advance::{contended, is_final};
use crate::threads::ledger::TRIES;
use crate::threads::notification::Notification;
use crate::threads::options::{Accepted, IfIdle, Wanted};
use crate::threads::runtime::{Shared, Threads};
use crate::threads::signal::Signal;
use crate::threads::state::Waiting;
use crate::threads::thread::ThreadId;
use crate::{Error, ErrorKind, Result, RunOptions};

/// What became of a notification.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Notified {
    /// The record in the inbox, which may be that of an earlier notification that it was joined to.
    pub record: NotificationRecord,
    /// What was decided. `None` when the inbox had one of this id, by itself or joined to another; nothing changes then.
    pub delivery: Option<Delivery>,
    /// What became of its signal, if one was given at once and nothing failed: what was [blocked](Accepted::Blocked), and what failed
    /// as the record says, is tried again. `Before` when the inbox had one of this id.
    pub accepted: Option<Accepted>,
}

impl Threads {
    /// Says that something has happened elsewhere: it is put into the inbox of the thread, and what becomes of it there is what the
    /// [policy of this process](crate::threads::ThreadsBuilder::notifications) says. When this returns it is in the store, and what is
    /// to be delivered will be, once, by some process that has the agent. If its future is dropped, it was taken or was not; what was
    /// taken is delivered.
    ///
    /// One whose id is in the inbox is not taken again. One that has a [key](Notification::dedupe_key) in common with one that is
    /// pending is joined to it, once: the last 64 ids that were are remembered while it is pending.
    ///
    /// # Errors
    /// `NotFound` for an agent that this process does not have, `InvalidInput` and `TooLarge` for what cannot be kept, `TooLarge` also
    /// when [`MAX_PENDING`] are pending in the thread, `Closed`, `Store`. After `Store` it may have been taken.
    pub async fn send_notification(
        &self,
        agent: &str,
        thread: &ThreadId,
        notification: Notification,
    ) -> Result<Notified> {
        let policy = &self.shared().inboxes.policy;
        self.send_notification_with(agent, thread, notification, policy)
            .await
    }

    /// [`send_notification`](Self::send_notification) by another policy.
    ///
    /// # Errors
    /// As there.
    pub async fn send_notification_with(
        &self,
        agent: &str,
        thread: &ThreadId,
        notification: Notification,
        policy: &NotificationPolicy,
    ) -> Result<Notified> {
        self.shared()
            .notify(agent, thread, notification, policy)
            .await
    }
}

impl Shared {
    async fn notify(
        &self,
        agent: &str,
        thread: &ThreadId,
        notification: Notification,
        policy: &NotificationPolicy,
    ) -> Result<Notified> {
        self.check_open("notify")?;
        let agent = self.agent("notify", agent)?.agent().id().clone();
        notification.check()?;
        policy.run.check()?;
        for _ in 0..TRIES {
            let active = self.is_at_work(&agent, thread).await?;
            let (pending, mut entry) = match self.entry_of(&agent, thread, &notification).await? {
                Found::There(entry) => {
                    return Ok(Notified {
                        record: entry.record,
                        delivery: None,
                        accepted: Some(Accepted::Before),
                    });
                }
                Found::New(found) => *found,
                Found::Changed => continue,
            };
            let delivery = policy.decision(&entry.record, active);
            let now = Timestamp::now();
            entry.schedule(&delivery, now, later(now, self.ttl));
            let written = std::slice::from_ref(&entry);
            if !self.inboxes.shelf.write(thread, pending, written).await? {
                continue;
            }
            return Ok(self.scheduled(thread, entry, delivery, policy).await);
        }
        Err(contended("notify", thread))
    }

    /// What follows when it is written down what becomes of it.
    async fn scheduled(
        &self,
        thread: &ThreadId,
        mut entry: Entry,
        delivery: Delivery,
        policy: &NotificationPolicy,
    ) -> Notified {
        let mut accepted = None;
        match delivery.action() {
            DeliveryAction::Deliver | DeliveryAction::Queue => {
                let given = self.give_in_full(thread, &entry, &policy.run).await;
                accepted = given.0;
                if let Some(settled) = given.1 {
                    entry = settled;
                }
            }
            _ => self.inboxes.stir.notify_one(),
        }
        Notified {
            record: entry.record,
            delivery: Some(delivery),
            accepted,
        }
    }

    /// The entry that a notification becomes, or becomes part of.
    async fn entry_of(
        &self,
        agent: &Text,
        thread: &ThreadId,
        notification: &Notification,
    ) -> Result<Found> {
        let shelf = &self.inboxes.shelf;
        let ids = [notification.id.clone()];
        let (pending, mut there) = shelf.read(thread, &ids).await?;
        if let Some(entry) = there.pop() {
            return Ok(Found::There(Box::new(entry)));
        }
        let keys = [&notification.dedupe_key, &notification.coalesce_key];
        let keys = same_keys(agent, &notification.source, &notification.kind, keys);
        let same = pending.find(&keys).cloned();
        let now = Timestamp::now();
        let Some(same) = same else {
            if pending.len() >= MAX_PENDING {
                return Err(full(thread));
            }
            let record = NotificationRecord::new(notification.clone(), agent, thread, now);
            return Ok(Found::New(Box::new((pending, Entry::new(record)))));
        };
        let (pending, mut there) = shelf.read(thread, &[same]).await?;
        let Some(mut entry) = there.pop().filter(|it| it.record.is_pending()) else {
            return Ok(Found::Changed);
        };
        if entry.has_joined(&notification.id) {
            return Ok(Found::There(Box::new(entry)));
        }
        entry.join(notification.clone(), now);
        let record = &entry.record;
        let (payload, metadata) = (record.payload.as_ref(), record.metadata.as_ref());
        limit_of(&record.id, payload, &record.attributes, metadata)?;
        Ok(Found::New(Box::new((pending, entry))))
    }

    /// Gives the signal of an entry that was claimed, and writes down what became of it. What cannot be written down now is found out
    /// by whoever delivers it when the claim is over.
    pub(super) async fn give_in_full(
        &self,
        thread: &ThreadId,
        entry: &Entry,
        run: &RunOptions,
    ) -> (Option<Accepted>, Option<Entry>) {
        let signal = entry.signal(Timestamp::now());
        let agent = entry.record.agent_id.clone();
        let mut waiting = Waiting::new(signal, agent, run.clone());
        waiting.own_turn = entry.progress.own_turn;
        let id = entry.signal_id();
        let ids = [entry.record.id.clone()];
        self.give_claimed(thread, waiting, &Wanted::default(), &ids, |entry, now| {
            entry.delivered(&id, now)
        })
        .await
    }

    /// Gives the summary of entries that were claimed, and writes down what became of it.
    pub(super) async fn give_summary(
        &self,
        thread: &ThreadId,
        signal: Signal,
        entries: &[Entry],
        wakes: bool,
    ) {
        let Some(first) = entries.first() else {
            return;
        };
        let agent = first.record.agent_id.clone();
        let id = signal.id().clone();
        let waiting = Waiting::new(signal, agent, self.inboxes.policy.run.clone());
        let wanted = Wanted {
            if_idle: match wakes {
                true => IfIdle::Wake,
                false => IfIdle::Persist,
            },
            ..Wanted::default()
        };
        let ids: Vec<Text> = entries.iter().map(|it| it.record.id.clone()).collect();
        self.give_claimed(thread, waiting, &wanted, &ids, |entry, now| {
            entry.summarized(&id, now)
        })
        .await;
    }

    async fn give_claimed(
        &self,
        thread: &ThreadId,
        waiting: Waiting,
        wanted: &Wanted,
        ids: &[Text],
        mut taken: impl FnMut(&mut Entry, Timestamp) -> bool,
    ) -> (Option<Accepted>, Option<Entry>) {
        let id = waiting.signal.id().clone();
        let sent = self.send_boxed(thread, waiting, wanted).await;
        let error = match &sent {
            // It is none of its failures.
            Err(error) if error.kind() == ErrorKind::Closed => return (None, None),
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        };
        let unsure = matches!(&sent, Err(error) if !is_final(error));
        let blocked = matches!(sent, Ok(Accepted::Blocked { .. }));
        let settled = self.inboxes.shelf.change(thread, ids, |entry| {
            let now = Timestamp::now();
            if error.is_none() && !blocked {
                return taken(entry, now);
            }
            let setback = Setback {
                error: error.as_deref(),
                unsure,
                lease: self.ttl,
            };
            entry.set_back(&id, setback, now)
        });
        let settled = settled.await;
        if let Err(error) = &settled {
            tracing::warn!(thread = %thread.id(), %error, "it is noted later what became of a notification");
        }
        let first = settled.ok().and_then(|it| it.into_iter().next());
        (sent.ok(), first)
    }
}

/// Where a notification goes.
enum Found {
    /// It is there, and nothing changes.
    There(Box<Entry>),
    /// Into this entry.
    New(Box<(Pending, Entry)>),
    /// Somebody else was faster.
    Changed,
}

fn full(thread: &ThreadId) -> Error {
    let message = format!(
        "{MAX_PENDING} notifications are pending in the thread, which is the limit; mark those that are dealt with, or give the agent the inbox tool"
    );
    Error::new(ErrorKind::TooLarge, "notify", message).with_subject(thread.id().clone())
}
