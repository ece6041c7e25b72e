//! Giving signals to threads.

use bowline_events::Text;
use bowline_store::Commit;
use bowline_workflow::RunStatus;

use super::advance::{Advanced, is_final};
use super::ledger::TRIES;
use super::options::{Accepted, IfActive, SendOptions, Wanted};
use super::record::{SignalEnqueued, ThreadRecord};
use super::runtime::{Shared, Threads};
use super::state::{Given, Reachable, ThreadState, Waiting};
use super::thread::ThreadId;
use super::{Contents, Signal};
use crate::durable::mailbox::{self, Posting};
use crate::{BoxFuture, Error, ErrorKind, Result};

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
    /// time; or it wakes the agent; unless `options` want something else. When this returns, a signal that was taken is in the store,
    /// and is given to one run exactly once.
    ///
    /// # Errors
    /// `NotFound` for an agent that this process does not have, `InvalidInput` and `TooLarge` for what cannot be given, `TooLarge`
    /// when too much waits, `AlreadyExists` when the thread is one of another resource, `Store`, `Bus`. After `Store` and `Conflict` it
    /// may have been taken; sending it again with the same id is safe.
    ///
    /// Where a [claimed owner is required](SendOptions::require_claimed_owner) also `NotFound` when there is none, `WrongState` when
    /// it refuses, `Timeout` when it does not answer: it may have taken the signal then, and one of another program can take it again.
    pub async fn send_signal(
        &self,
        agent: &str,
        thread: &ThreadId,
        signal: impl Into<Signal>,
        options: SendOptions,
    ) -> Result<Accepted> {
        let SendOptions { mut wanted, run } = options;
        let shared = self.shared();
        wanted.by_owner &= !shared.presence.has_claimed(&thread.key());
        let waiting = Waiting::new(signal.into(), agent.to_owned().into(), run);
        shared.send(thread, waiting, &wanted).await
    }
}

impl Shared {
    /// [`send`](Self::send), for the tasks that it spawns.
    pub(super) fn send_boxed<'a>(
        &'a self,
        thread: &'a ThreadId,
        waiting: Waiting,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Accepted>> {
        Box::pin(self.send(thread, waiting, wanted))
    }

    pub(super) async fn send(
        &self,
        thread: &ThreadId,
        waiting: Waiting,
        wanted: &Wanted,
    ) -> Result<Accepted> {
        self.check_open("signal")?;
        self.agent("signal", &waiting.agent)?;
        waiting.options.check()?;
        for _ in 0..TRIES {
            if let Some(accepted) = self.try_send(thread, waiting.clone(), wanted).await? {
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
        mut waiting: Waiting,
        wanted: &Wanted,
    ) -> Result<Option<Accepted>> {
        let mut loaded = self.ledger.load(thread).await?;
        let foreign = self.is_foreign(thread, &loaded.state, wanted).await;
        let active = loaded.state.active.as_ref();
        let same = active.is_some_and(|it| it.agent == waiting.agent);
        waiting.signal.add(wanted.attributes(same || foreign));
        waiting.signal.check()?;
        let (reachable, posting) = match foreign {
            true => (Reachable::Foreign, Commit::new()),
            false => match self.reach(thread, &loaded.state, &waiting, wanted).await? {
                Some(reached) => reached,
                None => return Ok(Some(Accepted::Before)),
            },
        };
        let given = loaded.state.give(waiting.clone(), wanted, reachable);
        let commit = match given {
            Given::Before => return Ok(Some(Accepted::Before)),
            Given::Discard => return Ok(Some(Accepted::Discard)),
            Given::Blocked(run_id) => return Ok(Some(Accepted::Blocked { run_id })),
            Given::Full => return Err(full(thread)),
            Given::Owner => return self.give_to_owner(thread, &waiting).await.map(Some),
            Given::Post(_) => posting,
            Given::Persist { .. } => {
                // Before it is written down: it is not lost, and kept once by its id.
                self.remember(thread, &waiting.signal).await?;
                Commit::new()
            }
            Given::Queued | Given::Wake => Commit::new(),
        };
        if !self.ledger.write(&loaded, commit).await? {
            return Ok(None);
        }
        self.given(thread, waiting, given).await.map(Some)
    }

    /// What follows when it is written down what becomes of a signal.
    async fn given(&self, thread: &ThreadId, waiting: Waiting, given: Given) -> Result<Accepted> {
        Ok(match given {
            Given::Wake => self.wake(thread, &waiting.run).await?,
            Given::Post(run_id) => {
                let record = ThreadRecord::SignalEnqueued(SignalEnqueued {
                    run_id: run_id.clone(),
                    signal: waiting.signal,
                    source_id: Some(self.source.clone()),
                    pre_run: false,
                });
                self.mention(thread, &record).await;
                Accepted::Deliver { run_id }
            }
            Given::Persist { show } => {
                if show {
                    self.show(thread, &waiting).await;
                }
                Accepted::Persist
            }
            _ => Accepted::Queued,
        })
    }

    /// Whether a run of another program is at work, if that matters.
    async fn is_foreign(&self, thread: &ThreadId, state: &ThreadState, wanted: &Wanted) -> bool {
        wanted.asks_for_others() && self.is_with_others(thread, state).await
    }

    /// Whether the agent is at work in the thread, or a run of another program.
    pub(super) async fn is_at_work(&self, agent: &Text, thread: &ThreadId) -> Result<bool> {
        let state = self.ledger.load(thread).await?.state;
        Ok(match &state.active {
            Some(active) => active.agent == *agent,
            None => self.is_with_others(thread, &state).await,
        })
    }

    /// Whether a run of another program is at work.
    async fn is_with_others(&self, thread: &ThreadId, state: &ThreadState) -> bool {
        if state.active.is_some() {
            return false;
        }
        let owner = self.leases.owner(&thread.key()).await.flatten();
        // One of ours holds the lease already, or still.
        let ours = |owner: &Text| {
            state.last.as_ref() == Some(owner)
                || state.queue.front().is_some_and(|it| it.run == *owner)
        };
        owner.is_some_and(|owner| !ours(&owner))
    }

    /// How the run at work can be reached, and the commit that posts the signal to it, if that is wanted. `None` when the signal is
    /// there.
    async fn reach(
        &self,
        thread: &ThreadId,
        state: &ThreadState,
        waiting: &Waiting,
        wanted: &Wanted,
    ) -> Result<Option<(Reachable, Commit)>> {
        let open = Some((Reachable::Yes, Commit::new()));
        let Some(active) = &state.active else {
            return Ok(open);
        };
        if self.is_suspended(&active.agent, &active.run).await? {
            return Ok(Some((Reachable::Suspended, Commit::new())));
        }
        let deliver = wanted.if_active == IfActive::Deliver && !waiting.own_turn;
        if active.agent != waiting.agent || !deliver {
            return Ok(open);
        }
        let letter = waiting.signal.to_letter(thread.id(), thread.resource_id());
        let posting = mailbox::posting(&*self.store, &active.run, &letter, Commit::new());
        Ok(match posting.await? {
            Posting::There => None,
            Posting::Closed => Some((Reachable::Closed, Commit::new())),
            Posting::Open(commit) => Some((Reachable::Yes, commit)),
        })
    }

    /// The signal is taken; now its run is to begin. Whatever fails here is tried again by whoever looks after the thread.
    async fn wake(&self, thread: &ThreadId, run: &Text) -> Result<Accepted> {
        Ok(match self.advance_boxed(thread, None).await {
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
}

fn full(thread: &ThreadId) -> Error {
    let message = format!(
        "{} signals wait in the thread, which is the limit; wait until its runs have read them",
        super::state::MAX_WAITING
    );
    Error::new(ErrorKind::TooLarge, "signal", message).with_subject(thread.id().clone())
}
