//! A read loop: one connection, one read at a time.
//!
//! A calm topic is read by a blocking read, together with all others. It is handed over as soon as the reply is there: a short
//! reply proves that nothing was trimmed unread, because then the stream would have been full of unread entries. A topic that may
//! have lost something is read carefully: in one transaction with a look at its stream, without blocking, alone or beside others
//! like it, until a reply is short.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::ledger::Gap;
use super::live::{Appended, Arrival, Live};
use super::reading::Reading;
use super::roster::{MANY_TOPICS, Turn};
use crate::dead_letter::Dead;
use crate::reader::{Batches, BlockingReader, GroupRead, ReadFailure, let_readers_run};
use crate::stream::{Entry, Malformed, StreamId, StreamInfo, decode, parse_read};
use crate::wire::{Command, Connect, Failure, Reply, backoff};

/// A reply with so many entries may follow a loss.
const MANY: usize = 64;

/// Topics of one careful read.
const CAREFUL_AT_ONCE: usize = 64;

/// So many streams that are gone, one after the other, may be all of them.
const MANY_GONE: u32 = 3;

/// Entries of one read of many topics, all together, about.
const MOST_AT_ONCE: usize = 8 * 1024;

/// Bytes of one read of one topic, about.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How long a lane that has nothing to do keeps its connection.
const KEEP_CONNECTION: Duration = Duration::from_secs(30);

/// What a server and we need per topic of a read, about: four times as long passes between two reads of many topics.
const REST_PER_TOPIC: Duration = Duration::from_micros(4);

/// Runs a lane until it is aborted. After a panic it begins anew.
pub(super) async fn supervise(reading: Arc<Reading>, lane: usize) {
    loop {
        let task = tokio::spawn(Lane::new(Arc::clone(&reading), lane).run());
        let _abort = AbortOnDrop(task.abort_handle());
        match task.await {
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "a read loop failed; it begins anew");
                sleep(backoff(1)).await;
                reading.recover_all();
            }
            _ => return,
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Lane {
    reading: Arc<Reading>,
    lane: usize,
    reader: BlockingReader,
    /// Failures in a row.
    failed: u32,
    /// Replies in a row that say that a stream is gone.
    gone: u32,
    /// Whether the server lets us look at streams.
    may_look: bool,
    /// When the calm topics were read last.
    calm_at: Instant,
}

impl Lane {
    fn new(reading: Arc<Reading>, lane: usize) -> Self {
        let client = Arc::clone(&reading.common.bus.client) as Arc<dyn Connect>;
        let reader = BlockingReader::new(client, reading.node.clone());
        Self {
            reading,
            lane,
            reader,
            failed: 0,
            gone: 0,
            may_look: true,
            calm_at: Instant::now(),
        }
    }

    async fn run(mut self) {
        loop {
            self.reading.common.acks.room().await;
            match self.reading.next(self.lane) {
                Turn::Rest => self.rest().await,
                Turn::Read { topics, block } => self.turn(topics, block).await,
            }
        }
    }

    /// Waits for something to do; without a connection when that takes long.
    async fn rest(&mut self) {
        if timeout(KEEP_CONNECTION, self.reading.woken(self.lane))
            .await
            .is_err()
        {
            self.reader.disconnect();
            self.reading.woken(self.lane).await;
        }
    }

    async fn turn(&mut self, topics: Vec<Arc<Live>>, block: Duration) {
        let (careful, calm): (Vec<_>, Vec<_>) = topics
            .into_iter()
            .partition(|live| live.stance.careful.load(Relaxed));
        if careful.is_empty() {
            self.read(&calm, Some(block)).await;
            return;
        }
        let mut rest = &careful[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(at_once(rest));
            self.read_carefully(some).await;
            rest = others;
        }
        let rest = REST_PER_TOPIC * u32::try_from(calm.len()).unwrap_or(u32::MAX);
        if !calm.is_empty() && self.calm_at.elapsed() >= rest {
            self.read(&calm, None).await;
        }
    }

    /// Reads calm topics.
    async fn read(&mut self, topics: &[Arc<Live>], block: Option<Duration>) {
        let count = topics.iter().map(|live| live.stance.count.load(Relaxed));
        let count = count
            .max()
            .unwrap_or(1)
            .min((MOST_AT_ONCE / topics.len()).max(1));
        let command = {
            let keys: Vec<&str> = topics.iter().map(|live| &*live.key).collect();
            self.group_read(count, block).new_entries(&keys)
        };
        for live in topics {
            live.issue();
        }
        let read = self.reader.read(&command, block).await;
        self.calm_at = Instant::now();
        match read {
            Ok(batches) => {
                self.went_well();
                let quiet = batches.is_empty();
                let entries = batches.iter().map(|(_, entries)| entries.len()).sum();
                self.take(batches, count).await;
                let_readers_run(entries).await;
                if topics.len() > MANY_TOPICS && !quiet {
                    sleep(REST_PER_TOPIC * u32::try_from(topics.len()).unwrap_or(u32::MAX)).await;
                }
            }
            Err(failure) => self.trouble(topics, failure).await,
        }
    }

    fn group_read(&self, count: usize, block: Option<Duration>) -> GroupRead<'_> {
        GroupRead {
            group: &self.reading.common.group,
            consumer: &self.reading.common.consumer,
            count,
            block,
        }
    }

    fn went_well(&mut self) {
        self.gone = 0;
        if std::mem::take(&mut self.failed) > 0 {
            tracing::info!("reading goes on");
        }
    }

    /// Hands over what came; large batches only after a look at what their streams keep.
    async fn take(&mut self, batches: Batches, count: usize) {
        let many = self.many(count);
        let mut large = Vec::new();
        for (key, entries) in batches {
            let live = std::str::from_utf8(&key)
                .ok()
                .and_then(|key| self.reading.get_active(key));
            let Some(live) = live else { continue };
            if entries.len() < many || !self.may_look {
                self.hand_over(&live, entries, Gap::None, count);
            } else {
                large.push((live, entries));
            }
        }
        if large.is_empty() {
            return;
        }
        let bus = &self.reading.common.bus;
        let looks: Vec<Command> = large
            .iter()
            .map(|(live, _)| bus.stream(&live.topic).info())
            .collect();
        let looks = self.reader.run_all(&looks, false).await;
        let mut looks = looks.unwrap_or_default().into_iter();
        for (live, entries) in large {
            let ids: Vec<StreamId> = entries.iter().map(|entry| entry.id).collect();
            let gap = match StreamInfo::from_reply(looks.next().unwrap_or(Reply::Nil)) {
                Ok(info) => live.with_ledger(|ledger| ledger.gap_around(&info, &ids)),
                Err(_) => Gap::None,
            };
            live.stance.careful.store(true, Relaxed);
            self.hand_over(&live, entries, gap, count);
        }
    }

    /// A batch of so many entries may follow a loss, or is not all there is.
    fn many(&self, count: usize) -> usize {
        let kept = self.reading.common.bus.settings.max_stream_length;
        let kept = kept.map_or(usize::MAX, |kept| {
            usize::try_from(kept).unwrap_or(usize::MAX)
        });
        MANY.min(count).min(kept)
    }

    /// Reads topics that may have lost something.
    async fn read_carefully(&mut self, topics: &[Arc<Live>]) {
        let look = self.may_look;
        let mut commands = Vec::with_capacity(2 * topics.len());
        for live in topics {
            live.issue();
            if look {
                commands.push(self.reading.common.bus.stream(&live.topic).info());
            }
            let read = self.group_read(live.stance.count.load(Relaxed), None);
            commands.push(match live.stance.recover.load(Relaxed) {
                true => read.own_pending(&live.key, &live.present().last_id.to_string()),
                false => read.new_entries(&[&*live.key]),
            });
        }
        let replies = match self.reader.run_all(&commands, look).await {
            Ok(replies) => replies,
            Err(ReadFailure::Refused(failure)) if look && failure.code() == Some("NOPERM") => {
                tracing::warn!(
                    ?failure,
                    "what was trimmed before it was read cannot be told"
                );
                self.may_look = false;
                return;
            }
            Err(failure) => return self.trouble(topics, failure).await,
        };
        let mut replies = replies.into_iter();
        for live in topics {
            let info = match look {
                true => StreamInfo::from_reply(replies.next().unwrap_or(Reply::Nil)).ok(),
                false => None,
            };
            let read = replies.next().unwrap_or(Reply::Nil);
            self.take_carefully(live, info.as_ref(), read).await;
        }
    }

    async fn take_carefully(&mut self, live: &Arc<Live>, info: Option<&StreamInfo>, read: Reply) {
        let entries = match read.into_result().and_then(parse_read) {
            Ok(streams) => streams
                .into_iter()
                .flat_map(|(_, entries)| entries)
                .collect(),
            Err(failure) => {
                let failure = self.reader.failed(failure);
                return self.trouble(std::slice::from_ref(live), failure).await;
            }
        };
        self.went_well();
        if !live.is_current() {
            return live.stance.recover();
        }
        let entries: Vec<Entry> = entries;
        if !entries.is_empty() {
            self.reading.get_active(&live.key);
        }
        let gap = info.and_then(|info| live.with_ledger(|ledger| ledger.gap_before(info)));
        let count = live.stance.count.load(Relaxed);
        if live.stance.recover.load(Relaxed) {
            live.stance.recover.store(!entries.is_empty(), Relaxed);
        } else {
            live.stance
                .careful
                .store(entries.len() >= self.many(count), Relaxed);
        }
        self.hand_over(live, entries, gap.map_or(Gap::None, Gap::Before), count);
    }

    /// Gives a batch to the subscribers of its topic.
    fn hand_over(&self, live: &Arc<Live>, entries: Vec<Entry>, gap: Gap, count: usize) {
        let common = &self.reading.common;
        let full = entries.len() >= count;
        self.adapt(live, &entries, full);
        let (batch, poisoned) = self.decode(live, entries);
        if batch.is_empty() && gap == Gap::None {
            return;
        }
        let ids: Vec<StreamId> = batch.iter().map(|arrival| arrival.id).collect();
        match live.append(&common.local, &common.recent, batch, gap) {
            Appended::Stale => {
                live.stance.recover();
                return;
            }
            Appended::Done {
                epoch,
                pressed,
                duplicates,
            } => {
                common.acks.add(live, epoch, ids);
                common
                    .bus
                    .counters
                    .duplicates
                    .fetch_add(duplicates, Relaxed);
                if let Some(pressed) = pressed {
                    self.reading.pause(live, pressed);
                }
            }
        }
        if !poisoned.is_empty() {
            self.bury(live, poisoned);
        }
    }

    fn decode(&self, live: &Live, entries: Vec<Entry>) -> (Vec<Arrival>, Vec<(Entry, Malformed)>) {
        let mut poisoned = Vec::new();
        let mut batch = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = entry.id;
            let event = match decode(&entry) {
                Ok(event) => {
                    let name = self.reading.common.names.of(&live.topic, &event);
                    Some((event, name))
                }
                Err(malformed) => {
                    poisoned.push((entry, malformed));
                    None
                }
            };
            batch.push(Arrival { id, event });
        }
        (batch, poisoned)
    }

    /// After a full reply the next may bring twice as much, within limits.
    fn adapt(&self, live: &Live, entries: &[Entry], full: bool) {
        let bytes: usize = entries
            .iter()
            .filter_map(|entry| Some(entry.event.as_ref()?.len()))
            .sum();
        let Some(average) = bytes.checked_div(entries.len()) else {
            return;
        };
        let count = live.stance.count.load(Relaxed);
        let wanted = if full { 2 * count } else { count };
        let most = (MOST_BYTES / average.max(1)).min(self.reading.common.bus.settings.read_batch);
        live.stance.count.store(wanted.min(most).max(1), Relaxed);
    }

    fn bury(&self, live: &Arc<Live>, poisoned: Vec<(Entry, Malformed)>) {
        let (bus, live) = (Arc::clone(&self.reading.common.bus), Arc::clone(live));
        self.reading.common.runtime.spawn(async move {
            for (entry, Malformed(error)) in poisoned {
                let dead = Dead::Malformed(&entry, &error);
                if let Err(failure) = bus.bury(&live.topic, None, dead).await {
                    tracing::warn!(key = &*live.key, entry = %entry.id, ?failure, "an unreadable entry was not dead-lettered");
                }
            }
        });
    }

    /// A read of `topics` failed.
    async fn trouble(&mut self, topics: &[Arc<Live>], failure: ReadFailure) {
        match failure {
            ReadFailure::Gone(message) => self.gone(topics, &message),
            ReadFailure::Lost(failure) => {
                self.note(&failure);
                for live in topics {
                    live.stance.recover();
                }
                self.reading.common.recent().suspect();
                if self.reader.is_connected() {
                    sleep(backoff(self.failed)).await;
                }
            }
            ReadFailure::Refused(failure) => self.refused(topics, failure).await,
        }
    }

    fn gone(&mut self, topics: &[Arc<Live>], message: &str) {
        self.gone += 1;
        let named = key_in(message, &self.reading.common.group);
        let found = match (named, topics) {
            (Some(key), _) => topics.iter().find(|live| *live.key == *key),
            (None, [only]) => Some(only),
            // The next read names the stream, unless somebody was faster and made it again.
            (None, _) => None,
        };
        if let Some(live) = found
            && !live.is_ended()
        {
            self.reading.regroup(live);
        }
        if self.gone > MANY_GONE {
            // All at once, each with a reply of its own.
            for live in topics {
                live.stance.careful.store(true, Relaxed);
            }
        }
    }

    async fn refused(&mut self, topics: &[Arc<Live>], failure: Failure) {
        let about_the_stream = matches!(failure.code(), Some("WRONGTYPE" | "NOPERM"));
        match topics {
            [only] if about_the_stream && self.reader.is_connected() => {
                self.reading.fail(only, failure);
            }
            several if about_the_stream && self.reader.is_connected() => {
                // One by one, to find out which it is.
                for live in several {
                    live.stance.careful.store(true, Relaxed);
                }
            }
            _ => {
                self.note(&failure);
                sleep(backoff(self.failed)).await;
            }
        }
    }

    fn note(&mut self, failure: &Failure) {
        self.failed = self.failed.saturating_add(1);
        if self.failed == 1 {
            tracing::warn!(?failure, "reading fails; it is tried again until it works");
        } else {
            tracing::debug!(?failure, attempt = self.failed, "reading fails");
        }
    }
}

/// How many of `topics` one careful read takes.
fn at_once(topics: &[Arc<Live>]) -> usize {
    let mut entries = 0;
    let fitting = topics.iter().take(CAREFUL_AT_ONCE).take_while(|live| {
        entries += live.stance.count.load(Relaxed);
        entries <= MOST_AT_ONCE
    });
    fitting.count().max(1)
}

/// The key in `No such key 'k' or consumer group 'g' in XREADGROUP with GROUP option`.
fn key_in<'a>(message: &'a str, group: &str) -> Option<&'a str> {
    let rest = message.split_once('\'')?.1;
    let end = rest.rfind(&format!("' or consumer group '{group}'"))?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_the_message() {
        let message = |key: &str| {
            format!(
                "No such key '{key}' or consumer group '__fanout-1' in XREADGROUP with GROUP option"
            )
        };
        for key in ["mastra:topic:t", "it's", "a' or consumer group 'b"] {
            assert_eq!(key_in(&message(key), "__fanout-1"), Some(key));
        }
        assert_eq!(
            key_in("the stream key no longer exists", "__fanout-1"),
            None
        );
    }
}
