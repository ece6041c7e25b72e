//! The read loop of a share.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::create::create_after;
use super::gap::{self, Checked};
use super::pace::Pace;
use super::scripts::is_gone;
use super::share::{Ending, Phase, Share};
use super::work::SMALL_SHARE;
use crate::reader::{BlockingReader, GroupRead, ReadFailure, let_readers_run};
use crate::stream::{Entry, StreamId};
use crate::wire::{Command, Connect, Failure, Reply, backoff};

/// Events that a fast member takes at once.
const LARGE_SHARE: usize = 128;

/// How long reading waits for room before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long a read of a few entries is put off so that it may become one of many.
const GATHER: Duration = Duration::from_millis(5);

/// Reads for the members as long as the share runs.
pub(super) async fn run(share: Arc<Share>) {
    let mut reading = Reading::new(Arc::clone(&share));
    while share.phase() == Phase::Running {
        reading.turn().await;
    }
}

struct Reading {
    share: Arc<Share>,
    key: String,
    reader: BlockingReader,
    pace: Pace,
    /// The server may have assigned entries to us in a reply that was lost.
    recover: bool,
    /// When to look for such entries once more: a read may outlive its connection on the server.
    recover_again: Option<Instant>,
    failed: u32,
    /// The group may be so far behind that entries were trimmed: reads are checked.
    behind: bool,
    /// Positions that the server does not know that the group has jumped over; `None` when positions cannot be looked at.
    jumped: Option<u64>,
}

impl Reading {
    fn new(share: Arc<Share>) -> Self {
        let settings = &share.bus.settings;
        let key = settings.key(&share.topic);
        let recover = share.lock().last_id != StreamId::ZERO;
        let connector = Arc::clone(&share.bus.client) as Arc<dyn Connect>;
        Self {
            reader: BlockingReader::new(connector, Some(key.clone())),
            pace: Pace::new(settings.read_batch, settings.max_in_flight),
            // After a panic of this task something may be pending.
            recover,
            recover_again: None,
            failed: 0,
            behind: share.found,
            jumped: Some(0),
            key,
            share,
        }
    }

    async fn turn(&mut self) {
        if self.share.suspect.swap(false, Relaxed) {
            self.recover = true;
            if let Err(failure) = self.drop_foreign().await {
                return match is_gone(&failure) {
                    true => self.begin_anew().await,
                    false => self.pause("looking", failure).await,
                };
            }
        }
        if self.recover_again.is_some_and(|at| at <= Instant::now()) {
            (self.recover, self.recover_again) = (true, None);
        }
        if self.recover {
            match self.share.recover().await {
                Ok(()) => self.recover = false,
                Err(failure) if is_gone(&failure) => return self.begin_anew().await,
                Err(failure) => return self.pause("recovering", failure).await,
            }
        }
        if let Err(failure) = self.connect().await {
            return self.pause("connecting", failure).await;
        }
        let count = self.room().await;
        if count == 0 || self.share.phase() != Phase::Running {
            return;
        }
        match self.read(count).await {
            Ok(entries) => {
                self.failed = 0;
                self.behind = entries.len() >= count;
                self.deliver(count, entries).await;
            }
            Err(ReadFailure::Gone(_)) => self.begin_anew().await,
            Err(ReadFailure::Lost(failure)) => {
                let block = self.share.bus.settings.block;
                (self.recover, self.behind) = (true, true);
                self.recover_again = Instant::now().checked_add(block + Duration::from_secs(1));
                self.pause("reading", failure).await;
            }
            Err(ReadFailure::Refused(failure)) => self.refused(failure).await,
        }
    }

    /// The stream may have been replaced, and the group made again by somebody else: then what is here is pending no more.
    async fn drop_foreign(&mut self) -> Result<(), Failure> {
        let share = &self.share;
        let ids: Vec<StreamId> = share.lock().work.ids().into_iter().collect();
        let stream = share.stream();
        let lost = share.owner(&stream).keep(&share.bus, &ids).await?;
        // Those that were settled meanwhile prove nothing.
        let held = share.lock().work.ids();
        let mut still = ids.iter().filter(|id| held.contains(id)).peekable();
        match still.peek().is_some() && still.all(|id| lost.contains(id)) {
            true => share.clear(),
            false => share.update(|inner| inner.work.lost(&lost)),
        }
        Ok(())
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Entry>, ReadFailure> {
        let share = Arc::clone(&self.share);
        let mut read = GroupRead {
            group: &share.group,
            consumer: &share.consumer,
            count,
            block: None,
        };
        if self.behind
            && let Some(jumped) = self.jumped
        {
            let checked = read.new_entries(&[&self.key]);
            match gap::read(&mut self.reader, &share, checked, jumped).await {
                Ok(checked) => return Ok(self.tell(checked).await),
                Err(ReadFailure::Refused(failure)) if failure.code() == Some("NOPERM") => {
                    tracing::warn!(topic = %share.topic, group = %share.group, ?failure, "positions cannot be looked at; members are not told of trimmed events");
                    self.jumped = None;
                }
                Err(failure) => return Err(failure),
            }
        }
        read.block = Some(share.bus.settings.block);
        let command = read.new_entries(&[&self.key]);
        let batches = self.reader.read(&command, read.block).await?;
        let entries = batches.into_iter().flat_map(|(_, entries)| entries);
        Ok(entries.collect())
    }

    /// Tells members and server of what was trimmed in front of the entries.
    async fn tell(&mut self, checked: Checked) -> Vec<Entry> {
        if let Some(gap) = checked.gap {
            self.share.tell(gap.notice());
            let jumped = gap::tell_server(&self.share, gap).await;
            self.jumped = self.jumped.map(|before| before + jumped);
        }
        checked.entries
    }

    /// Makes a connection where there is none, and finds out by what number the server knows it.
    async fn connect(&mut self) -> Result<(), Failure> {
        if self.reader.is_connected() {
            return Ok(());
        }
        self.share.reader.store(0, Relaxed);
        self.reader.connect().await?;
        if self.share.bus.settings.cluster {
            return Ok(());
        }
        // Without the number, leaving takes until the last read ends.
        if let Ok(replies) = self
            .reader
            .run_all(&[Command::new("CLIENT ID")], false)
            .await
            && let Some(Reply::Int(number)) = replies.into_iter().next()
        {
            let number = u64::try_from(number).unwrap_or(0);
            self.share.reader.store(number, Relaxed);
        }
        Ok(())
    }

    async fn deliver(&mut self, asked: usize, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let mut items = Vec::with_capacity(entries.len());
        let mut bytes = 0;
        for entry in &entries {
            bytes += entry.event.as_ref().map_or(0, |text| text.len());
            items.extend(self.share.checked(entry, 1).await);
        }
        self.pace
            .answered(asked, entries.len(), bytes, Instant::now());
        self.share.deliver(items, false);
        let_readers_run(entries.len()).await;
    }

    /// How many entries to ask for, once there is room; 0 when something else is to be done first.
    async fn room(&mut self) -> usize {
        let share = Arc::clone(&self.share);
        let settings = &share.bus.settings;
        let worth = (settings.max_in_flight / 8).clamp(1, self.pace.most());
        let mut count = self.pace.next(share.load(), Instant::now());
        if count < worth {
            let unsettled = settings.max_in_flight.saturating_sub(worth);
            let waiting = self.pace.most_waiting();
            // Told before it is looked again, so that no room is missed.
            share.lock().wanted = Some((unsettled, waiting));
            count = self.pace.next(share.load(), Instant::now());
            if count < worth {
                self.behind = true;
                let patience = match count {
                    0 => LOOK_AGAIN,
                    _ => GATHER,
                };
                // Whatever ended the wait, what there is now counts.
                let _ = timeout(patience, share.room.notified()).await;
                count = self.pace.next(share.load(), Instant::now());
            }
            share.lock().wanted = None;
        }
        let portion = self.pace.share(SMALL_SHARE, LARGE_SHARE);
        share.portion.store(portion, Relaxed);
        match share.suspect.load(Relaxed) {
            true => 0,
            false => count,
        }
    }

    /// The stream or the group is gone: makes the group again and goes on.
    async fn begin_anew(&mut self) {
        let share = Arc::clone(&self.share);
        if share.lock().work.members() == 0 {
            // Nobody needs the stream; making it again would leave it behind for ever.
            let _ = timeout(LOOK_AGAIN, share.room.notified()).await;
            return;
        }
        let stream = share.stream();
        let last = share.lock().last_id;
        let info = match share.bus.stream_info(&stream).await {
            Ok(info) => info,
            Err(failure) => return self.refused(failure).await,
        };
        // A stream with older entries than we have seen is the old one: only the group was removed. Within a millisecond it is
        // not certain, and delivering again beats leaving out.
        let is_old = info
            .and_then(|info| info.first_id)
            .is_some_and(|first| first.millis < last.millis);
        let start = match is_old {
            true => last,
            false => StreamId::ZERO,
        };
        if let Err(failure) = create_after(&share.bus, &stream, &share.group, start).await {
            return self.refused(failure).await;
        }
        tracing::info!(topic = %share.topic, group = %share.group, is_old, "the group was gone and is made again");
        share.suspect.store(false, Relaxed);
        (self.recover, self.behind, self.jumped) = (false, false, self.jumped.map(|_| 0));
        if !is_old {
            share.clear();
        }
    }

    async fn refused(&mut self, failure: Failure) {
        if is_fatal(&failure) {
            tracing::error!(topic = %self.share.topic, group = %self.share.group, ?failure, "the stream cannot be read; the subscriptions end");
            self.share.end(Ending::Failed(failure));
            // Nothing is left to do here; the share ends when its members have left.
            return self.share.reached(Phase::Draining).await;
        }
        self.pause("reading", failure).await;
    }

    async fn pause(&mut self, doing: &'static str, failure: Failure) {
        self.failed = self.failed.saturating_add(1);
        if self.share.bus.is_closed() {
            return self.share.reached(Phase::Draining).await;
        }
        tracing::warn!(topic = %self.share.topic, group = %self.share.group, doing, ?failure, attempt = self.failed, "the stream cannot be read at present");
        // A connection that broke is made again at once; the reader pauses by itself between attempts.
        if self.failed > 1 || !matches!(failure, Failure::Lost(_)) {
            let stop = self.share.reached(Phase::Draining);
            // Whichever comes first.
            let _ = timeout(backoff(self.failed), stop).await;
        }
    }
}

/// Whether waiting cannot help.
fn is_fatal(failure: &Failure) -> bool {
    match failure {
        Failure::Configuration(_) => true,
        _ => matches!(
            failure.code(),
            Some("WRONGTYPE" | "NOPERM" | "WRONGPASS" | "NOAUTH")
        ),
    }
}
