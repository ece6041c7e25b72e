//! The end of a share: what was not done goes back to the group.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::claim::Pending;
use super::scripts::is_gone;
use super::share::{Phase, Share};
use crate::wire::{Command, Failure, Repeat};

/// How long a share waits for its settlements, and for the server, when it ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

impl Share {
    /// Stops reading, and hands back what no member has in its hands. Deliveries that former members still hold are settled
    /// in the background.
    pub(super) async fn wind_up(self: &Arc<Self>) {
        if self.phase() != Phase::Running {
            return;
        }
        self.enter(Phase::Draining);
        let clean = self.stop_reading().await;
        let outcome = timeout(PATIENCE, self.leave_group(false)).await;
        self.note(outcome.unwrap_or(Ok(())));
        let share = Arc::clone(self);
        self.runtime.spawn(async move { share.linger(clean).await });
    }

    /// Stops at once: what members have in their hands goes back as well.
    pub(super) async fn close(self: &Arc<Self>) {
        let was = self.phase();
        self.enter(Phase::Draining);
        self.stop_reading().await;
        if was != Phase::Ended {
            let outcome = timeout(PATIENCE, self.leave_group(true)).await;
            self.note(outcome.unwrap_or(Ok(())));
        }
        self.finish_off();
    }

    /// Ends the read loop: the server answers a read that is on its way at once where it can be told to, and at the end of its
    /// time otherwise. Whether the read was answered; a server that believes in it may still assign entries to it.
    async fn stop_reading(&self) -> bool {
        const AGAIN: Duration = Duration::from_millis(10);
        const MARGIN: Duration = Duration::from_millis(500);
        let Some(mut reading) = self.take_reading() else {
            return true;
        };
        let deadline = Instant::now() + self.bus.settings.block.min(PATIENCE) + MARGIN;
        while Instant::now() < deadline {
            self.room.notify_one();
            self.unblock(AGAIN).await;
            if timeout(AGAIN, &mut reading).await.is_ok() {
                return true;
            }
        }
        reading.abort();
        false
    }

    /// Has the server answer the read of this share.
    async fn unblock(&self, patience: Duration) {
        let number = self.reader.load(Relaxed);
        if number == 0 {
            return;
        }
        let unblock = Command::new("CLIENT UNBLOCK").number(number);
        let answer = timeout(patience, self.bus.link.run(&unblock, Repeat::No)).await;
        if let Ok(Err(failure)) = answer {
            tracing::debug!(topic = %self.topic, group = %self.group, ?failure, "a read could not be ended; its time will end it");
            self.reader.store(0, Relaxed);
        }
    }

    fn finish_off(&self) {
        self.enter(Phase::Ended);
        let gone = std::io::Error::new(std::io::ErrorKind::NotConnected, "the bus was closed");
        self.acks.fail(&Failure::Unreachable(Arc::new(gone)));
    }

    /// Hands back, and removes the consumer when nothing is pending for it.
    async fn leave_group(self: &Arc<Self>, everything: bool) -> Result<(), Failure> {
        self.refusals.settled().await;
        let (waiting, held) = self.update(|inner| {
            let waiting = inner.work.drain_waiting();
            let held = match everything {
                true => inner.work.drain_held(),
                false => Vec::new(),
            };
            (waiting, held)
        });
        self.acks.settled().await;
        let known = self.known_ids();
        let pending = self.own_pending().await?;
        let given_back = pending
            .iter()
            .filter(|line| !known.contains(&line.id) && !line.was_handed_back());
        let entries: Vec<_> = given_back
            .map(|line: &Pending| {
                let of = |list: &[(_, u32)]| {
                    list.iter()
                        .find(|(id, _)| *id == line.id)
                        .map(|(_, counted)| *counted)
                };
                // What was in somebody's hands counts as delivered, the rest does not.
                let counted = of(&held).unwrap_or_else(|| {
                    let counted = of(&waiting).unwrap_or(line.deliveries);
                    counted.saturating_sub(1)
                });
                (line.id, counted)
            })
            .collect();
        self.hand_back(&entries).await?;
        if pending.is_empty() {
            let stream = self.stream();
            self.owner(&stream).dismiss(&self.bus).await?;
        }
        Ok(())
    }

    /// Waits until former members have settled what they hold, and until no read can be on its way on the server.
    async fn linger(self: Arc<Self>, clean: bool) {
        const MARGIN: Duration = Duration::from_millis(500);
        if !clean {
            sleep(self.bus.settings.block + MARGIN).await;
        } else if self.lock().work.in_hand() == 0 {
            return self.finish_off();
        }
        while self.phase() != Phase::Ended && self.lock().work.in_hand() > 0 {
            self.hands.notified().await;
        }
        if self.phase() == Phase::Ended {
            return;
        }
        let outcome = self.leave_group(false).await;
        self.note(outcome);
        self.finish_off();
    }

    fn note(&self, outcome: Result<(), Failure>) {
        match outcome {
            Err(failure) if !is_gone(&failure) && !self.bus.is_closed() => {
                tracing::warn!(topic = %self.topic, group = %self.group, ?failure, "a group could not be left in order; others take its entries over when they are idle for long enough");
            }
            _ => {}
        }
    }

    /// Somebody says that the stream was deleted: the read loop looks.
    pub(super) fn doubt(&self) {
        self.suspect.store(true, Relaxed);
        self.room.notify_one();
    }
}
