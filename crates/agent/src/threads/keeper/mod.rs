//! Telling of a run on the topic of its thread, and ending it there.

mod end;

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Delivery, PubSubExt, PublishOptions, StartFrom, SubscribeOptions, Subscription, Text, Topic,
};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::lease::Held;
use super::options::Wanted;
use super::part::{Ending, Told, told};
use super::record::{RunRef, RunRegistered, SignalEnqueued, StreamPart, ThreadRecord};
use super::runtime::Shared;
use super::state::Waiting;
use super::thread::ThreadId;
use crate::{Error, ErrorKind, Result, RunOptions, random_id};

/// One telling of a run.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) stream: Text,
    pub(super) seq: u64,
}

/// The name of the task that keeps a run.
pub(super) fn name(thread: &ThreadId, run: &str) -> Text {
    format!("keep {} {run}", thread.key()).into()
}

/// Why a telling ended.
enum Ended {
    /// The run is over.
    Over(Ending),
    /// Somebody else tells of the run now.
    Replaced,
    /// A run of another program holds the thread.
    Lost,
}

struct Keeper {
    shared: Arc<Shared>,
    thread: ThreadId,
    run: Text,
    agent: Text,
    telling: Telling,
    /// To say that the readers of the thread know of the run.
    known: Option<oneshot::Sender<()>>,
}

/// Tells of a run until it is over or somebody else does it, and then begins what waits.
pub(super) async fn run(
    shared: Arc<Shared>,
    thread: ThreadId,
    run: Text,
    agent: Text,
    telling: Telling,
    known: oneshot::Sender<()>,
) {
    let keeper = Keeper {
        shared,
        thread,
        run,
        agent,
        telling,
        known: Some(known),
    };
    keeper.keep().await;
}

impl Keeper {
    async fn keep(mut self) {
        let ending = loop {
            match self.tell().await {
                Ok(Ended::Over(ending)) => break Some(ending),
                Ok(Ended::Replaced) => return,
                Ok(Ended::Lost) => {
                    self.stop().await;
                    break None;
                }
                Err(error) => {
                    tracing::warn!(run = %self.run, %error, "telling of a run on its thread begins anew");
                    // Whoever waits for it need not wait for the bus.
                    self.known = None;
                    if !self.begin_anew().await {
                        return;
                    }
                }
            }
        };
        while let Err(error) = self.settle().await {
            tracing::warn!(run = %self.run, %error, "a run is settled later");
            sleep(self.pace()).await;
        }
        if let Some(ending) = ending {
            self.shared.mention(&self.thread, &self.ended(ending)).await;
        }
        let next = self
            .shared
            .advance_boxed(&self.thread, Some(&self.run))
            .await;
        if let Err(error) = next {
            tracing::warn!(thread = %self.thread.id(), %error, "the next run begins later");
        }
    }

    fn pace(&self) -> Duration {
        self.shared.ttl / 3
    }

    fn beats(&self) -> Interval {
        let mut beats = interval(self.pace());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats
    }

    /// Tells of the run from its beginning.
    async fn tell(&mut self) -> Result<Ended> {
        let shared = Arc::clone(&self.shared);
        let bus = |error| Error::bus("tell", error);
        // Nothing that is said to the run may be missed once somebody knows of it.
        let words = shared
            .thread_bus
            .subscribe(self.thread.topic(), SubscribeOptions::new());
        let mut words = words.await.map_err(bus)?;
        let registered = ThreadRecord::Registered(RunRegistered {
            run_id: self.run.clone(),
            stream_id: self.telling.stream.clone(),
            stream_seq: self.telling.seq,
            source_id: Some(shared.source.clone()),
        });
        shared.tell(&self.thread, &registered).await.map_err(bus)?;
        if let Some(known) = self.known.take() {
            let _ = known.send(());
        }
        let options = SubscribeOptions::new().start(StartFrom::Earliest);
        let topic = Topic::agent_stream(&self.run);
        let mut parts = shared.bus.subscribe(topic, options).await.map_err(bus)?;
        let mut beats = self.beats();
        let mut over = None;
        loop {
            tokio::select! {
                batch = parts.next_batch() => match batch {
                    Some(Ok(batch)) => {
                        if let Some(ending) = self.pass_on(batch).await.map_err(bus)? {
                            return Ok(Ended::Over(ending));
                        }
                    }
                    // What was cleared or trimmed cannot be told any more; the run says when it is over.
                    Some(Err(error)) if error.is_notice() => {}
                    Some(Err(error)) => return Err(bus(error)),
                    None => return Err(closed()),
                },
                word = next(&mut words) => match word {
                    Some(word) => self.hear(&word).await,
                    None => return Err(closed()),
                },
                _ = beats.tick() => {
                    if let Some(ended) = self.beat().await {
                        return Ok(ended);
                    }
                    // It has said so itself, unless that got lost.
                    match (self.ending().await, over.take()) {
                        (Some(ending), Some(())) => return Ok(Ended::Over(ending)),
                        (Some(_), None) => over = Some(()),
                        (None, _) => {}
                    }
                }
            }
        }
    }

    /// Publishes what the stream of the run says.
    async fn pass_on(
        &self,
        batch: impl IntoIterator<Item = Delivery>,
    ) -> bowline_events::Result<Option<Ending>> {
        let mut events = Vec::new();
        let key = self.thread.key();
        let mut over = None;
        for delivery in batch {
            let part = match told(delivery.event()) {
                Told::Part(part) => part,
                Told::Suspended => {
                    events.push(ThreadRecord::Suspended(self.this()).to_event(&key));
                    continue;
                }
                Told::Ended(part, ending) => {
                    over = Some(ending);
                    match part {
                        Some(part) => part,
                        None => break,
                    }
                }
                Told::Nothing => continue,
            };
            let part = ThreadRecord::Part(StreamPart {
                run_id: self.run.clone(),
                stream_id: self.telling.stream.clone(),
                part,
                source_id: Some(self.shared.source.clone()),
            });
            events.push(part.to_event(&key));
            if over.is_some() {
                break;
            }
        }
        let topic = self.thread.topic();
        let options = PublishOptions::default();
        self.shared
            .thread_bus
            .publish_all(&topic, events, options)
            .await?;
        Ok(over)
    }

    /// Something is said on the topic of the thread.
    async fn hear(&self, word: &Delivery) {
        match ThreadRecord::read(word.event()) {
            Ok(Some(ThreadRecord::SignalEnqueued(it))) if it.run_id == self.run => {
                // A process that shares the store has written the signal down already; it is not given twice.
                if it.source_id.as_ref() != Some(&self.shared.source) {
                    self.take(it).await;
                }
            }
            Ok(Some(ThreadRecord::AbortRequested(it)))
                if it.run_id == self.run
                    && it
                        .stream_id
                        .as_ref()
                        .is_none_or(|it| *it == self.telling.stream) =>
            {
                let forget = it.clear_pending_signals;
                let aborted = self
                    .shared
                    .abort(&self.thread, &self.agent, &self.run, forget);
                if let Err(error) = aborted.await {
                    tracing::warn!(run = %self.run, %error, "a run was not stopped");
                }
            }
            Ok(Some(ThreadRecord::SignalsCancelled(it))) => {
                let cancelled = self.shared.ledger.change(&self.thread, |state| {
                    let gone = state.cancel(|waiting| it.signal_ids.contains(&waiting.signal.id));
                    (!gone.is_empty()).then_some(())
                });
                if let Err(error) = cancelled.await {
                    tracing::warn!(thread = %self.thread.id(), %error, "signals were not forgotten");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(thread = %self.thread.id(), %error, "a record is not read");
            }
        }
    }

    /// Takes a signal that a program without our store gives to the run. If the run reads it no more, the next one does.
    async fn take(&self, given: SignalEnqueued) {
        let waiting = Waiting::new(given.signal, self.agent.clone(), RunOptions::default());
        let wanted = Wanted::default();
        match self.shared.send_boxed(&self.thread, waiting, &wanted).await {
            Ok(accepted) => {
                tracing::debug!(run = %self.run, ?accepted, "a signal was given by a peer");
            }
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "a signal of a peer was not taken");
            }
        }
    }

    /// Prolongs what has to be. Says why the telling is over, if it is.
    async fn beat(&self) -> Option<Ended> {
        let (run, stream) = (&self.run, &self.telling.stream);
        let beat = self
            .shared
            .ledger
            .change(&self.thread, |state| state.beat(run, stream).then_some(()));
        match beat.await {
            Ok(Some(())) => {}
            Ok(None) => return Some(Ended::Replaced),
            Err(error) => tracing::warn!(%run, %error, "that a run is kept was not written down"),
        }
        match self.shared.leases.renew(&self.thread.key(), run).await {
            Held::Mine => None,
            Held::By(owner) => {
                tracing::warn!(%run, %owner, "the lease of the thread is lost to another run");
                Some(Ended::Lost)
            }
        }
    }

    /// Is to tell of the run anew, under another name. `false` when somebody else does.
    async fn begin_anew(&mut self) -> bool {
        let stream = random_id();
        loop {
            sleep(self.pace()).await;
            let (run, old) = (&self.run, &self.telling.stream);
            let source = &self.shared.source;
            let taken = self.shared.ledger.change(&self.thread, |state| {
                let kept = state.beat(run, old);
                kept.then(|| state.take_over(run, source, stream.clone()))?
            });
            match taken.await {
                Ok(Some(before)) => {
                    let discarded = ThreadRecord::Discarded(self.this());
                    self.shared.mention(&self.thread, &discarded).await;
                    let seq = before.seq + 1;
                    self.telling = Telling { stream, seq };
                    return true;
                }
                Ok(None) => return false,
                Err(error) => {
                    tracing::warn!(run = %self.run, %error, "telling of a run begins anew later");
                }
            }
        }
    }

    fn this(&self) -> RunRef {
        RunRef {
            run_id: self.run.clone(),
            stream_id: Some(self.telling.stream.clone()),
        }
    }
}

/// The next delivery; notices of what was missed pass by.
pub(super) async fn next(words: &mut Subscription) -> Option<Delivery> {
    loop {
        match words.next().await? {
            Ok(word) => return Some(word),
            Err(error) if error.is_notice() => {
                tracing::warn!(%error, "something on the topic of a thread was missed");
            }
            Err(error) => {
                tracing::warn!(%error, "the topic of a thread cannot be read");
                return None;
            }
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "tell", "the bus is closed")
}
