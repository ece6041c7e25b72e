//! Delivering what is due, and removing what is done.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use tokio::time::timeout;

use super::entry::Entry;
use super::plan::{Item, Plan, plan};
use super::policy::later;
use super::summary;
use crate::threads::notification::Priority;
use crate::threads::runtime::Shared;
use crate::threads::thread::ThreadId;
use crate::{BoxFuture, Result, random_id};

/// Delivers while the application lives.
pub(in crate::threads) async fn run(shared: Weak<Shared>) {
    let Some((stir, lease)) = shared.upgrade().map(|it| (it.inboxes.stir.clone(), it.ttl)) else {
        return;
    };
    loop {
        let rest = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            shared.dispatch(lease / 3).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "notifications are delivered later");
                lease / 3
            })
        };
        // Either something is due, or it is time: it is the same to do.
        let _ = timeout(rest, stir.notified()).await;
    }
}

impl Shared {
    /// Delivers what is due of the agents of this process, as far as nobody else does. Returns how long there is nothing to do, `rest`
    /// at most.
    async fn dispatch(&self, rest: Duration) -> Result<Duration> {
        let now = Timestamp::now();
        let mut next = later(now, rest);
        let due = self.inboxes.shelf.due(next).await?;
        let mut threads: HashMap<(Text, Text), Vec<Entry>> = HashMap::new();
        let mut in_the_way = Vec::new();
        for entry in due.entries {
            let at = entry.stored.as_ref().and_then(|it| it.index.due);
            match at.filter(|at| *at > now) {
                Some(at) => next = next.min(at),
                None if self.agents.contains_key(&entry.record.agent_id) => {
                    let key = entry.record.thread().key();
                    let whose = (key, entry.record.agent_id.clone());
                    threads.entry(whose).or_default().push(entry);
                }
                None => in_the_way.push(entry),
            }
        }
        // What was done may have made something due.
        let mut again = due.full && due.removed;
        for entries in threads.into_values() {
            let kept = due.full.then(|| entries.clone());
            match self.dispatch_boxed(entries).await {
                Ok(()) => again = true,
                Err(error) => {
                    tracing::warn!(%error, "notifications are delivered later");
                    in_the_way.extend(kept.into_iter().flatten());
                }
            }
        }
        if due.full && !in_the_way.is_empty() {
            self.make_room(in_the_way).await?;
            again = true;
        }
        let wait = next.as_millis().saturating_sub(now.as_millis());
        Ok(match again {
            true => Duration::ZERO,
            false => Duration::from_millis(wait.try_into().unwrap_or_default()),
        })
    }

    /// Where so much is due that not all of it is seen, what cannot be delivered here now is out of the way for the time of a lease.
    async fn make_room(&self, in_the_way: Vec<Entry>) -> Result<()> {
        for mut entry in in_the_way {
            entry.put_off(later(Timestamp::now(), self.ttl));
            let thread = entry.record.thread();
            // Whoever was faster has done something with it.
            self.inboxes.shelf.write_on(&thread, &[entry]).await?;
        }
        Ok(())
    }

    fn dispatch_boxed(&self, due: Vec<Entry>) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.dispatch_in_thread(due))
    }

    /// Delivers entries of one agent in one thread that are due, unless somebody else does.
    async fn dispatch_in_thread(&self, mut due: Vec<Entry>) -> Result<()> {
        let Some(first) = due.first() else {
            return Ok(());
        };
        let (thread, agent) = (first.record.thread(), first.record.agent_id.clone());
        self.complete_summaries(&mut due).await?;
        let active = self.is_at_work(&agent, &thread).await?;
        let now = Timestamp::now();
        let mut plan = plan(due, active, now);
        let claimed = self.claim(&mut plan, now);
        if !self.inboxes.shelf.write_on(&thread, &claimed).await? {
            // Another process delivers it, or somebody has changed it: the next look says what.
            return Ok(());
        }
        for item in plan.items {
            self.give_item(&thread, item).await;
        }
        Ok(())
    }

    /// What is written down before something is delivered, so that nobody else does.
    fn claim(&self, plan: &mut Plan, now: Timestamp) -> Vec<Entry> {
        let until = later(now, self.ttl);
        for item in &mut plan.items {
            match item {
                Item::Full(entry) => entry.claim(now, until),
                Item::Summary(id, entries) => {
                    let id = id.get_or_insert_with(random_id);
                    for entry in entries {
                        entry.claim_in(id, now, until);
                    }
                }
            }
        }
        for entry in &mut plan.later {
            entry.put_off(later(now, self.ttl / 3));
        }
        let items = plan.items.iter().flat_map(Item::entries);
        items.chain(&plan.later).cloned().collect()
    }

    async fn give_item(&self, thread: &ThreadId, item: Item) {
        match item {
            Item::Full(entry) => {
                let run = &self.inboxes.policy.run;
                self.give_in_full(thread, &entry, run).await;
            }
            Item::Summary(id, entries) => {
                let records: Vec<_> = entries.iter().map(|it| &it.record).collect();
                let signal = id.and_then(|id| summary::signal(&id, &records));
                let wakes = summary::highest(records.iter().copied()) > Priority::Low;
                if let Some(signal) = signal {
                    self.give_summary(thread, signal, &entries, wakes).await;
                }
            }
        }
    }

    /// Adds what belongs to the summaries that were on their way and is not among what was read.
    async fn complete_summaries(&self, due: &mut Vec<Entry>) -> Result<()> {
        let summaries = due.iter().filter_map(|it| it.progress.summary.clone());
        let summaries: HashSet<Text> = summaries.collect();
        let Some(thread) = due.first().map(|it| it.record.thread()) else {
            return Ok(());
        };
        for summary in summaries {
            let whole = self.inboxes.shelf.of_group(&thread, &summary).await?;
            due.retain(|it| it.progress.summary.as_ref() != Some(&summary));
            let whole = whole.into_iter();
            // Those that were read twice are the same, or have left the summary meanwhile; then the claim fails.
            due.extend(whole.filter(|it| it.record.is_pending()));
        }
        Ok(())
    }
}
