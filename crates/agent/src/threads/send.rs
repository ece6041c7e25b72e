//! Giving signals to threads.

use bowline_events::{NewEvent, PubSubExt, Text, Topic};
use bowline_store::Commit;
use bowline_workflow::RunStatus;

use super::advance::{Advanced, is_final};
use super::record::{AbortRequested, SignalEnqueued, SignalsCancelled, ThreadRecord};
use super::runtime::{Shared, Threads};
use super::state::{Given, Reachable, Waiting, Wanted};
use super::thread::ThreadId;
use super::{Contents, Signal};
use crate::durable::mailbox::{self, Posting};
use crate::{BoxFuture, Error, ErrorKind, Result, RunOptions};

/// How often a change that somebody else keeps making impossible is tried.
const TRIES: u32 = 1000;

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It woke the agent: this run begins with it.
    Wake {
        /// The run.
        run_id: Text,
    },
    /// The run that is at work gets it. If that ends without having read it, the next one does.
    Deliver {
        /// The run.
        run_id: Text,
    },
    /// It waits: for the end of the run that is at work, or for a process that can wake the agent.
    Queued,
    /// It was given before; nothing changes.
    Before,
    /// It was dropped, as wanted.
    Dropped,
    /// It is not taken, because this run waits for somebody, or is of another agent.
    Blocked {
        /// The run.
        run_id: Text,
    },
}

/// What to do with a signal, and with the run that it starts.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct SendOptions {
    wanted: Wanted,
    run: RunOptions,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            wanted: Wanted {
                deliver: true,
                wake: true,
            },
            run: RunOptions::default(),
        }
    }
}

impl SendOptions {
    /// The run that is at work gets the signal; if nobody is, it wakes the agent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops the signal if the agent is at work.
    pub fn only_if_idle(mut self) -> Self {
        self.wanted.deliver = false;
        self
    }

    /// Drops the signal if nobody is at work.
    pub fn only_if_active(mut self) -> Self {
        self.wanted.wake = false;
        self
    }

    /// How a run is that begins with the signal. Its id, thread and resource are those that the thread says.
    pub fn run(mut self, options: RunOptions) -> Self {
        self.run = options;
        self
    }
}

impl Threads {
    /// Gives what a person says to a thread: as [`send_signal`](Self::send_signal) with the usual options.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub async fn send_message(
        &self,
        agent: &str,
        thread: &ThreadId,
        message: impl Into<Contents>,
    ) -> Result<Accepted> {
        let signal = Signal::user(message);
        self.send_signal(agent, thread, signal, SendOptions::new())
            .await
    }

    /// Gives a signal to a thread: to the run of the agent that is at work in it, which reads it before it asks its model the next
    /// time; or it wakes the agent. When this returns, the signal is in the store, and is given to one run exactly once.
    ///
    /// # Errors
    /// `NotFound` for an agent that this process does not have, `InvalidInput` and `TooLarge` for what cannot be given, `TooLarge`
    /// when too much waits, `AlreadyExists` when the thread is one of another resource, `Store`. After `Store` and `Conflict` it may have been taken; sending it again with the same id is safe.
    pub async fn send_signal(
        &self,
        agent: &str,
        thread: &ThreadId,
        signal: impl Into<Signal>,
        options: SendOptions,
    ) -> Result<Accepted> {
        let waiting = waiting(agent, signal.into(), options.run, false);
        self.shared().send(thread, waiting, options.wanted).await
    }

    /// Gives what a person says to a thread, to be answered by a run of its own when those before have ended.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub async fn queue_message(
        &self,
        agent: &str,
        thread: &ThreadId,
        message: impl Into<Signal>,
        options: RunOptions,
    ) -> Result<Accepted> {
        let waiting = waiting(agent, message.into(), options, true);
        let wanted = Wanted {
            deliver: true,
            wake: true,
        };
        self.shared().send(thread, waiting, wanted).await
    }

    /// Forgets signals that wait for the end of a run. Returns the ids of those that did wait.
    ///
    /// # Errors
    /// `Store`.
    pub async fn cancel_queued(&self, thread: &ThreadId, signals: &[Text]) -> Result<Vec<Text>> {
        let shared = self.shared();
        let cancelled = shared.ledger.change(thread, |state| {
            let gone = state.cancel(signals);
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

    /// The run that is at work in a thread, of whatever program.
    ///
    /// # Errors
    /// `Store`.
    pub async fn active_run(&self, thread: &ThreadId) -> Result<Option<Text>> {
        let shared = self.shared();
        let loaded = shared.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active {
            return Ok(Some(active.run));
        }
        let owner = shared.leases.owner(&thread.key()).await;
        Ok(owner.flatten())
    }

    /// Stops the run that is at work in a thread, wherever it runs. With `forget`, what waits for its end is forgotten; otherwise it is
    /// next. `false` when nobody is at work. A run of another program is asked to stop.
    ///
    /// # Errors
    /// `NotFound` when this process does not have the agent of the run, `Store`.
    pub async fn abort(&self, thread: &ThreadId, forget: bool) -> Result<bool> {
        let shared = self.shared();
        let loaded = shared.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active {
            shared
                .abort(thread, &active.agent, &active.run, forget)
                .await?;
            return Ok(true);
        }
        let Some(Some(owner)) = shared.leases.owner(&thread.key()).await else {
            return Ok(false);
        };
        shared.ask_to_abort(thread, owner, forget).await?;
        Ok(true)
    }
}

fn waiting(agent: &str, signal: Signal, mut options: RunOptions, own_turn: bool) -> Waiting {
    Waiting {
        signal,
        agent: agent.to_owned().into(),
        run: uuid::Uuid::new_v4().to_string().into(),
        own_turn,
        context: options.request_context.take(),
        options,
        sent: None,
    }
}

impl Shared {
    /// [`send`](Self::send), for the tasks that it spawns.
    pub(super) fn send_boxed<'a>(
        &'a self,
        thread: &'a ThreadId,
        waiting: Waiting,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<Accepted>> {
        Box::pin(self.send(thread, waiting, wanted))
    }

    pub(super) async fn send(
        &self,
        thread: &ThreadId,
        waiting: Waiting,
        wanted: Wanted,
    ) -> Result<Accepted> {
        self.check_open("signal")?;
        self.agent("signal", &waiting.agent)?;
        waiting.signal.check()?;
        waiting.options.check()?;
        for _ in 0..TRIES {
            if let Some(accepted) = self.try_send(thread, &waiting, wanted).await? {
                return Ok(accepted);
            }
        }
        let message = "others changed the thread all the time; send the signal again";
        Err(Error::new(ErrorKind::Conflict, "signal", message).with_subject(thread.id().clone()))
    }

    /// `None` when somebody else was faster.
    async fn try_send(
        &self,
        thread: &ThreadId,
        waiting: &Waiting,
        wanted: Wanted,
    ) -> Result<Option<Accepted>> {
        let mut loaded = self.ledger.load(thread).await?;
        let mut commit = Commit::new();
        let mut reachable = Reachable::Yes;
        if let Some(active) = &loaded.state.active {
            if self.is_suspended(&active.agent, &active.run).await? {
                reachable = Reachable::Suspended;
            } else if active.agent == waiting.agent && wanted.deliver && !waiting.own_turn {
                let letter = waiting.signal.to_letter(thread.id(), thread.resource_id());
                match mailbox::posting(&*self.store, &active.run, &letter, commit).await? {
                    Posting::There => return Ok(Some(Accepted::Before)),
                    Posting::Closed => {
                        reachable = Reachable::Closed;
                        commit = Commit::new();
                    }
                    Posting::Open(open) => commit = open,
                }
            }
        }
        let given = loaded.state.give(waiting.clone(), wanted, reachable);
        let accepted = match &given {
            Given::Before => Accepted::Before,
            Given::Dropped => Accepted::Dropped,
            Given::Blocked(run) => Accepted::Blocked {
                run_id: run.clone(),
            },
            Given::Full => return Err(full(thread)),
            Given::Post(run) => Accepted::Deliver {
                run_id: run.clone(),
            },
            Given::Queued | Given::Wake => {
                commit = Commit::new();
                Accepted::Queued
            }
        };
        if !matches!(given, Given::Post(_) | Given::Queued | Given::Wake) {
            return Ok(Some(accepted));
        }
        if !self.ledger.write(&loaded, commit).await? {
            return Ok(None);
        }
        Ok(Some(match given {
            Given::Wake => self.wake(thread, &waiting.run).await?,
            Given::Post(run_id) => {
                let signal = waiting.signal.clone();
                let source_id = Some(self.source.clone());
                let record = ThreadRecord::SignalEnqueued(SignalEnqueued {
                    run_id,
                    signal,
                    source_id,
                    pre_run: false,
                });
                self.mention(thread, &record).await;
                accepted
            }
            _ => accepted,
        }))
    }

    /// The signal is taken; now its run is to begin. Whatever fails here is tried again by whoever looks after the thread.
    async fn wake(&self, thread: &ThreadId, run: &Text) -> Result<Accepted> {
        Ok(match self.advance(thread, None).await {
            Ok(Advanced::Began(run_id)) if run_id == *run => Accepted::Wake { run_id },
            // It began with what was said before, too, or somebody else was faster.
            Ok(Advanced::Began(run_id) | Advanced::Busy(run_id) | Advanced::Given(run_id)) => {
                Accepted::Deliver { run_id }
            }
            Ok(Advanced::Nothing) => Accepted::Queued,
            // It never begins, and nothing of it waits any more.
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(thread = %thread.id(), %error, "a run begins later");
                Accepted::Queued
            }
        })
    }

    pub(super) async fn is_suspended(&self, agent: &str, run: &str) -> Result<bool> {
        let Some(agent) = self.agents.get(agent) else {
            return Ok(false);
        };
        match agent.status(run).await {
            Ok(status) => Ok(status == RunStatus::Suspended),
            // It has not begun.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the run of another program to stop.
    async fn ask_to_abort(&self, thread: &ThreadId, run: Text, forget: bool) -> Result<()> {
        if forget {
            let forgotten = self
                .ledger
                .change(thread, |state| state.forget_queue().then_some(()));
            forgotten.await?;
        }
        let stream_id = self.streams().get(&run).cloned();
        let record = ThreadRecord::AbortRequested(AbortRequested {
            run_id: run.clone(),
            stream_id,
            clear_pending_signals: forget,
        });
        let bus = |error| Error::bus("abort", error);
        self.tell(thread, &record).await.map_err(bus)?;
        // Durable runs listen here, too, and need not know how they are told on the thread.
        let event = NewEvent::new("abort-request", run.clone()).with_json("{}");
        let topic = Topic::agent_control(&run);
        let asked = self.bus.publish(topic, event.map_err(bus)?).await;
        asked.map_err(bus)?;
        Ok(())
    }

    pub(super) async fn abort(
        &self,
        thread: &ThreadId,
        agent: &str,
        run: &Text,
        forget: bool,
    ) -> Result<()> {
        let agent = self.agent("abort", agent)?;
        if forget {
            let forgotten = self
                .ledger
                .change(thread, |state| state.forget(run).then_some(()));
            forgotten.await?;
        }
        match agent.abort(run).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn full(thread: &ThreadId) -> Error {
    let message = format!(
        "{} signals wait in the thread, which is the limit; wait until its runs have read them",
        super::state::MAX_WAITING
    );
    Error::new(ErrorKind::TooLarge, "signal", message).with_subject(thread.id().clone())
}
