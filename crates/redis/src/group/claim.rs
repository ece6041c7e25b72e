//! Entries that are pending on the server and that nobody works on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::share::{Phase, Share};
use super::work::NewItem;
use crate::dead_letter::Dead;
use crate::stream::{Entry, Malformed, StreamId, decode, millis};
use crate::tickets::Tickets;
use crate::wire::{Command, Failure, Repeat, Reply};

/// Entries of one page, and of one claim, as in the reference.
const PAGE: usize = 100;

/// How idle an entry looks that its consumer handed back: longer than any limit that can be set.
pub(super) const HANDED_BACK: Duration = Duration::from_secs(2 * 366 * 24 * 3600);

/// Entries that look more idle than this were handed back.
const LONGER_THAN_ANY_LIMIT: Duration = Duration::from_secs(367 * 24 * 3600);

/// A line of the pending list.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: StreamId,
    pub(super) consumer: String,
    pub(super) idle: u64,
    /// How often the entry was delivered.
    pub(super) deliveries: u32,
}

impl Pending {
    fn from_reply(reply: Reply) -> Result<Self, Failure> {
        let mut fields = reply.into_array()?.into_iter();
        let mut next = || fields.next().unwrap_or(Reply::Nil);
        let (id, consumer) = (next().into_bytes()?, next().into_text()?);
        let (idle, deliveries) = (next().into_int()?, next().into_int()?);
        let id = StreamId::parse(&id);
        let id = id.ok_or_else(|| Failure::Protocol("an entry has an impossible id".to_owned()))?;
        Ok(Self {
            id,
            consumer,
            idle: u64::try_from(idle).unwrap_or(0),
            deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn was_handed_back(&self) -> bool {
        self.idle >= millis(LONGER_THAN_ANY_LIMIT)
    }
}

/// Which lines of the pending list are wanted.
#[derive(Debug, Clone, Copy)]
enum Which<'a> {
    Idle(Duration),
    Of(&'a str),
}

impl Share {
    /// A page of the pending list, behind `after`.
    async fn pending(
        &self,
        which: Which<'_>,
        after: Option<StreamId>,
    ) -> Result<Vec<Pending>, Failure> {
        let stream = self.stream();
        let mut ask = Command::new("XPENDING").key(stream.key()).arg(&*self.group);
        if let Which::Idle(idle) = which {
            ask = ask.arg("IDLE").number(millis(idle));
        }
        ask = match after {
            Some(id) => ask.arg(format!("({id}")),
            None => ask.arg("-"),
        };
        ask = ask.arg("+").number(PAGE as u64);
        if let Which::Of(consumer) = which {
            ask = ask.arg(consumer);
        }
        let reply = self.bus.link.run(&ask, Repeat::Yes).await?;
        reply
            .into_array()?
            .into_iter()
            .map(Pending::from_reply)
            .collect()
    }

    /// Takes over entries that nobody gave a sign of life for; without a reclaim interval only what was handed back.
    pub(super) async fn reclaim(self: &Arc<Self>) -> Result<(), Failure> {
        let idle = match self.bus.settings.reclaim_interval {
            Some(_) => self.bus.settings.reclaim_idle,
            None => LONGER_THAN_ANY_LIMIT,
        };
        // Whoever ends the share waits for this, and hands back what was taken.
        let _ticket = Tickets::draw(&*self.refusals);
        let mut after = None;
        while self.phase() == Phase::Running {
            let page = self.pending(Which::Idle(idle), after).await?;
            let Some(last) = page.last().map(|line| line.id) else {
                return Ok(());
            };
            after = Some(last);
            let full = page.len() >= PAGE;
            let room = self.bus.settings.max_in_flight;
            let room = room.saturating_sub(self.load().unsettled);
            let known = self.known_ids();
            let strange = page.into_iter().filter(|line| !known.contains(&line.id));
            let wanted: Vec<Pending> = strange.take(room).collect();
            if !wanted.is_empty() {
                let claimed = self.claim(&wanted, idle, None).await?;
                self.bus
                    .counters
                    .reclaimed
                    .fetch_add(claimed as u64, Relaxed);
                self.dismiss_leavers(&wanted).await;
            }
            if !full || room <= wanted.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Delivers what the server has assigned to this consumer and what never arrived here. No read may be on its way.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.pending(Which::Of(&self.consumer), after).await?;
            let Some(last) = page.last().map(|line| line.id) else {
                return Ok(());
            };
            after = Some(last);
            let known = self.known_ids();
            let mut strange: Vec<Pending> = page
                .into_iter()
                .filter(|line| !known.contains(&line.id))
                .collect();
            strange.sort_by_key(|line| line.deliveries);
            for alike in strange.chunk_by(|one, other| one.deliveries == other.deliveries) {
                // They count as delivered already.
                let deliveries = Some(alike[0].deliveries);
                self.claim(alike, Duration::ZERO, deliveries).await?;
            }
        }
    }

    /// Makes entries ours that are idle for `idle`, and delivers them; how many. The server counts a delivery more, or sets
    /// the number to `deliveries`.
    async fn claim(
        self: &Arc<Self>,
        wanted: &[Pending],
        idle: Duration,
        deliveries: Option<u32>,
    ) -> Result<usize, Failure> {
        let stream = self.stream();
        let least = match idle.is_zero() {
            true => 0,
            false => millis(idle),
        };
        let mut claim = Command::sized("XCLAIM", wanted.len() * 32)
            .key(stream.key())
            .arg(&*self.group)
            .arg(&self.consumer)
            .number(least)
            .args(wanted.iter().map(|line| line.id.arg()));
        if let Some(deliveries) = deliveries {
            claim = claim.arg("RETRYCOUNT").number(u64::from(deliveries));
        }
        // A second claim finds the entries busy: then they are recovered when they are idle again.
        let entries = Entry::list(self.bus.link.run(&claim, Repeat::No).await?)?;
        for line in wanted {
            if !entries.iter().any(|entry| entry.id == line.id) {
                self.report_missing(line.id).await;
            }
        }
        let claimed = entries.len();
        let mut items = Vec::with_capacity(claimed);
        for entry in entries {
            let line = wanted.iter().find(|line| line.id == entry.id);
            let before = line.map_or(0, |line| line.deliveries);
            let counted = deliveries.unwrap_or_else(|| before.saturating_add(1));
            items.extend(self.checked(&entry, counted).await);
        }
        self.deliver(items, true);
        Ok(claimed)
    }

    /// The event of an entry that was delivered `counted` times; nothing when it holds none, or was delivered too often.
    pub(super) async fn checked(self: &Arc<Self>, entry: &Entry, counted: u32) -> Option<NewItem> {
        let event = match decode(entry) {
            Ok(event) => event,
            Err(Malformed(error)) => {
                self.bury_entry(entry.id, Dead::Malformed(entry, &error))
                    .await;
                return None;
            }
        };
        let crashes = counted.saturating_sub(1);
        if crashes == 0 {
            let (id, event) = (Some(entry.id), Arc::new(event));
            return Some(NewItem { id, event, counted });
        }
        let attempt = event.delivery_attempt.saturating_add(crashes);
        if self
            .bus
            .settings
            .max_deliveries
            .is_some_and(|cap| attempt > cap)
        {
            let event = event.with_attempt(attempt - 1);
            self.bury_entry(entry.id, Dead::Refused(&event)).await;
            return None;
        }
        Some(NewItem {
            id: Some(entry.id),
            event: Arc::new(event.with_attempt(attempt)),
            counted,
        })
    }

    async fn bury_entry(&self, id: StreamId, dead: Dead<'_>) {
        match self.bus.bury(&self.topic, Some(&self.group), dead).await {
            Ok(()) => drop(self.acks.push(id)),
            Err(failure) => {
                let error = self.error(failure, "dead letter", "XADD");
                tracing::warn!(topic = %self.topic, group = %self.group, entry = %id, %error, "a dead letter could not be written; it is tried again when the entry is reclaimed");
            }
        }
    }

    /// Adds events to the work. `doubtful` ones are left out when they are here already.
    pub(super) fn deliver(&self, items: Vec<NewItem>, doubtful: bool) {
        if items.is_empty() {
            return;
        }
        let now = Instant::now();
        self.update(|inner| {
            let mut known = match doubtful {
                true => inner.work.ids(),
                false => Default::default(),
            };
            if doubtful {
                self.acks.collect(&mut known);
            }
            for item in items {
                match item.id {
                    Some(id) if known.contains(&id) => {
                        self.bus.counters.duplicates.fetch_add(1, Relaxed);
                    }
                    Some(id) => {
                        inner.last_id = inner.last_id.max(id);
                        inner.work.push(item, now);
                    }
                    None => inner.work.push(item, now),
                }
            }
            inner.work.offer(now);
        });
    }

    /// An entry could not be claimed: another process was faster, or the stream was trimmed.
    async fn report_missing(&self, id: StreamId) {
        let look = self.stream().range(id.arg(), id.arg(), 1);
        let kept = self.bus.link.run(&look, Repeat::Yes).await;
        if kept
            .and_then(Reply::into_array)
            .is_ok_and(|kept| kept.is_empty())
        {
            tracing::warn!(topic = %self.topic, group = %self.group, entry = %id, "a pending entry was trimmed before it was done; it is lost");
        }
    }

    /// Removes consumers that left for good once nothing is pending for them any more.
    async fn dismiss_leavers(&self, taken: &[Pending]) {
        let handed_back = taken.iter().filter(|line| line.was_handed_back());
        let mut leavers: Vec<&str> = handed_back.map(|line| line.consumer.as_str()).collect();
        leavers.sort_unstable();
        leavers.dedup();
        leavers.retain(|consumer| *consumer != self.consumer);
        let stream = self.stream();
        for consumer in leavers {
            let owner = super::scripts::Owner {
                consumer,
                ..self.owner(&stream)
            };
            if let Err(failure) = owner.dismiss(&self.bus).await {
                tracing::debug!(topic = %self.topic, group = %self.group, consumer, ?failure, "a consumer could not be removed");
            }
        }
    }

    /// Gives entries of this consumer back to the group, with the number of deliveries that the server is to count.
    pub(super) async fn hand_back(&self, entries: &[(StreamId, u32)]) -> Result<(), Failure> {
        let stream = self.stream();
        let owner = self.owner(&stream);
        owner.mark(&self.bus, millis(HANDED_BACK), entries).await
    }

    /// Everything that is pending for this consumer.
    pub(super) async fn own_pending(&self) -> Result<Vec<Pending>, Failure> {
        let mut all: Vec<Pending> = Vec::new();
        loop {
            let after = all.last().map(|line| line.id);
            let page = self.pending(Which::Of(&self.consumer), after).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}
