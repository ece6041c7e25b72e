//! The read loop of a share.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::create::create_after;
use super::pace::Pace;
use super::scripts::is_gone;
use super::share::{Ending, Share};
use super::work::SMALL_SHARE;
use crate::reader::{BlockingReader, GroupRead, ReadFailure};
use crate::stream::{Entry, StreamId};
use crate::wire::{Connect, Failure, backoff};

/// Events that a fast member takes at once.
const LARGE_SHARE: usize = 128;

/// How long reading waits for room before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long a read of a few entries is put off so that it may become one of many.
const GATHER: Duration = Duration::from_millis(5);

/// Reads for the members until it is aborted.
pub(super) async fn run(share: Arc<Share>) {
    let mut reading = Reading::new(share);
    loop {
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
            key,
            share,
        }
    }

    async fn turn(&mut self) {
        if self.share.suspect.swap(false, Relaxed) {
            self.recover = true;
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
        let count = self.room().await;
        if count == 0 {
            return;
        }
        let block = Some(self.share.bus.settings.block);
        let read = GroupRead {
            group: &self.share.group,
            consumer: &self.share.consumer,
            count,
            block,
        };
        let read = read.new_entries(&[&self.key]);
        match self.reader.read(&read, block).await {
            Ok(batches) => {
                self.failed = 0;
                let entries = batches.into_iter().flat_map(|(_, entries)| entries);
                self.deliver(count, entries.collect()).await;
            }
            Err(ReadFailure::Gone(_)) => self.begin_anew().await,
            Err(ReadFailure::Lost(failure)) => {
                let block = self.share.bus.settings.block;
                self.recover = true;
                self.recover_again = Instant::now().checked_add(block + Duration::from_secs(1));
                self.pause("reading", failure).await;
            }
            Err(ReadFailure::Refused(failure)) => self.refused(failure).await,
        }
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
        let stream = share.stream();
        let last = share.lock().last_id;
        let info = match share.bus.stream_info(&stream).await {
            Ok(info) => info,
            Err(failure) => return self.refused(failure).await,
        };
        // A stream with entries that we have seen is the old one: only the group was removed.
        let is_old = last != StreamId::ZERO
            && info.is_some_and(|info| info.first_id.is_some_and(|first| first <= last));
        let start = match is_old {
            true => last,
            false => StreamId::ZERO,
        };
        if let Err(failure) = create_after(&share.bus, &stream, &share.group, start).await {
            return self.refused(failure).await;
        }
        tracing::info!(topic = %share.topic, group = %share.group, is_old, "the group was gone and is made again");
        self.recover = false;
        if !is_old {
            share.clear();
        }
    }

    async fn refused(&mut self, failure: Failure) {
        if is_fatal(&failure) {
            tracing::error!(topic = %self.share.topic, group = %self.share.group, ?failure, "the stream cannot be read; the subscriptions end");
            self.share.end(Ending::Failed(failure));
            // Nothing is left to do here; the share ends when its members have left.
            return std::future::pending().await;
        }
        self.pause("reading", failure).await;
    }

    async fn pause(&mut self, doing: &'static str, failure: Failure) {
        self.failed = self.failed.saturating_add(1);
        if self.share.bus.is_closed() {
            return std::future::pending().await;
        }
        tracing::warn!(topic = %self.share.topic, group = %self.share.group, doing, ?failure, attempt = self.failed, "the stream cannot be read at present");
        // A connection that broke is made again at once; the reader pauses by itself between attempts.
        if self.failed > 1 || !matches!(failure, Failure::Lost(_)) {
            sleep(backoff(self.failed)).await;
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
