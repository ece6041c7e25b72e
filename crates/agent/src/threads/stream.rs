//! Reading a thread.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_events::{Delivery, PubSubExt, StartFrom, SubscribeOptions, Subscription, Text, Topic};
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::part::{Told, told};
use super::record::ThreadRecord;
use super::runtime::{Shared, Threads};
use super::signal;
use super::thread::ThreadId;
use super::timeline::{Holds, MAX_BYTES, ThreadEvent, ThreadItem, Timeline};
use crate::{Error, ErrorKind, Result};

/// Items that wait for their reader.
const WAITING: usize = 256;

/// Everything that happens in a thread, run after run: a stream without an end. Dropping it ends the subscription.
///
/// An `Err` is its last item.
#[must_use = "dropping a stream ends its subscription"]
pub struct ThreadStream {
    items: mpsc::Receiver<Result<ThreadItem>>,
    task: AbortHandle,
    hide_signals: bool,
}

impl Threads {
    /// Reads a thread: the run that is at work in it from its beginning, as far as its stream is kept, and then every run, whole, in
    /// the order in which they began, whatever process or program works on it.
    ///
    /// # Errors
    /// `Store`, `Bus`.
    pub async fn subscribe(&self, thread: &ThreadId) -> Result<ThreadStream> {
        let shared = self.shared();
        let bus = |error| Error::bus("subscribe", error);
        // First, so that nothing is missed between what is at work and what comes.
        let records = shared
            .thread_bus
            .subscribe(thread.topic(), SubscribeOptions::new());
        let records = records.await.map_err(bus)?;
        let mut timeline = Timeline::default();
        let mut direct = None;
        let loaded = shared.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active
            && shared.is_told_here(&active.run).await?
        {
            let options = SubscribeOptions::new().start(StartFrom::Earliest);
            let topic = Topic::agent_stream(&active.run);
            let parts = shared.bus.subscribe(topic, options).await.map_err(bus)?;
            timeline.direct(active.run.clone(), active.keeper.stream);
            direct = Some((active.run, parts));
        }
        let (sender, items) = mpsc::channel(WAITING);
        let reader = Reader {
            shared: Arc::clone(shared),
            thread: thread.clone(),
            timeline,
            records,
            direct,
            items: sender,
        };
        let task = tokio::spawn(reader.read()).abort_handle();
        Ok(ThreadStream {
            items,
            task,
            hide_signals: false,
        })
    }
}

impl Shared {
    /// Whether the bus has something of a run. What has told nothing yet, or tells on the bus of another agent, need not be read from
    /// its beginning.
    async fn is_told_here(&self, run: &Text) -> Result<bool> {
        let told = self.bus.history(&Topic::agent_stream(run), 0, 1).await;
        let told = told.map_err(|error| Error::bus("subscribe", error))?;
        Ok(!told.is_empty())
    }

    /// Whether the store says that a run is at work in a thread or was the last: it may have ended before somebody reads of it.
    async fn was_at_work(&self, thread: &ThreadId, run: Option<&Text>) -> bool {
        let Ok(loaded) = self.ledger.load(thread).await else {
            return false;
        };
        let state = &loaded.state;
        let active = state.active.as_ref().map(|it| &it.run);
        run.is_some() && (active == run || state.last.as_ref() == run)
    }
}

impl ThreadStream {
    /// Leaves out the pieces that show what was said to runs.
    pub fn hide_signals(mut self) -> Self {
        self.hide_signals = true;
        self
    }

    /// What happens next; `None` when the bus is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<ThreadItem>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ThreadItem>>> {
        loop {
            let item = std::task::ready!(self.items.poll_recv(cx));
            if let Some(Ok(item)) = &item
                && self.hide_signals
                && let ThreadEvent::Part(part) = &item.event
                && signal::shown(part.as_str()).is_some()
            {
                continue;
            }
            return Poll::Ready(item);
        }
    }
}

impl Stream for ThreadStream {
    type Item = Result<ThreadItem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl Drop for ThreadStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for ThreadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadStream").finish_non_exhaustive()
    }
}

struct Reader {
    shared: Arc<Shared>,
    thread: ThreadId,
    timeline: Timeline,
    records: Subscription,
    /// The stream of the run that was at work before.
    direct: Option<(Text, Subscription)>,
    items: mpsc::Sender<Result<ThreadItem>>,
}

impl Reader {
    async fn read(mut self) {
        let mut looks = interval(self.shared.ttl);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            // The reader of a thread slows the reading of its topic, and that fills the place that the bus has for it.
            while let Some(item) = self.timeline.next() {
                if self.items.send(Ok(item)).await.is_err() {
                    return;
                }
            }
            if self.timeline.bytes() > MAX_BYTES {
                let _ = self.items.send(Err(self.too_large())).await;
                return;
            }
            let went_on = tokio::select! {
                record = self.records.next() => self.hear(record).await,
                part = next_part(&mut self.direct) => {
                    self.hear_directly(part);
                    Ok(true)
                }
                _ = looks.tick() => {
                    self.look().await;
                    Ok(true)
                }
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let _ = self.items.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Takes in what the topic of the thread says. `false` when it says nothing any more.
    async fn hear(&mut self, delivery: Option<bowline_events::Result<Delivery>>) -> Result<bool> {
        let delivery = match delivery {
            Some(Ok(delivery)) => delivery,
            // What was cleared is of the past. What was missed of a run that is told now cannot be made good.
            Some(Err(error)) if error.kind() == bowline_events::ErrorKind::Cleared => {
                return Ok(true);
            }
            Some(Err(error)) => return Err(Error::bus("read thread", error)),
            None => return Ok(false),
        };
        let record = match ThreadRecord::read(delivery.event()) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(true),
            Err(error) => {
                tracing::warn!(thread = %self.thread.id(), %error, "a record is not read");
                return Ok(true);
            }
        };
        if let ThreadRecord::Registered(it) = &record
            && it.source_id.as_ref() != Some(&self.shared.source)
        {
            let (run, stream) = (it.run_id.clone(), it.stream_id.clone());
            self.shared.streams().insert(run, stream);
        }
        let mut holds = Holds::Unknown;
        if self.timeline.asks_for_owner(&record) {
            let shared = &self.shared;
            let owner = shared.leases.owner(&self.thread.key()).await;
            let past = shared.thread_bus.capabilities().replay;
            holds = match owner {
                Some(owner) if owner.as_ref() == record.run_id() => Holds::Yes,
                Some(_) if past => match shared.was_at_work(&self.thread, record.run_id()).await {
                    true => Holds::Yes,
                    false => Holds::No,
                },
                _ => Holds::Unknown,
            };
        }
        self.timeline.take(record, holds);
        Ok(true)
    }

    fn hear_directly(&mut self, part: Option<bowline_events::Result<Delivery>>) {
        let Some((run, _)) = &self.direct else { return };
        let ending = match part {
            Some(Ok(delivery)) => match told(delivery.event()) {
                Told::Part(part) => return self.timeline.direct_part(run, part),
                Told::Suspended => return self.timeline.direct_end(run, None),
                Told::Nothing => return,
                Told::Ended(part, ending) => {
                    if let Some(part) = part {
                        self.timeline.direct_part(run, part);
                    }
                    ending
                }
            },
            // The beginning is not kept any more.
            Some(Err(error)) if error.kind() == bowline_events::ErrorKind::Truncated => return,
            Some(Err(error)) => super::part::Ending::Failed(error.to_string()),
            None => super::part::Ending::Failed("the bus is closed".into()),
        };
        self.timeline.direct_end(run, Some(ending));
        self.direct = None;
    }

    /// Looks whether whoever tells of a run still holds the thread.
    async fn look(&mut self) {
        if self.timeline.wants_owner()
            && let Some(owner) = self.shared.leases.owner(&self.thread.key()).await
        {
            self.timeline.held_by(owner.as_ref());
        }
    }

    fn too_large(&self) -> Error {
        let run = self.timeline.current().cloned().unwrap_or_default();
        let message = format!(
            "more than {MAX_BYTES} bytes wait for the end of the run {run}; subscribe again to see what is at work now"
        );
        Error::new(ErrorKind::TooLarge, "read thread", message)
            .with_subject(self.thread.id().clone())
    }
}

async fn next_part(
    direct: &mut Option<(Text, Subscription)>,
) -> Option<bowline_events::Result<Delivery>> {
    match direct {
        Some((_, parts)) => parts.next().await,
        None => std::future::pending().await,
    }
}
