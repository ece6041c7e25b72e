//! A run that is in its thread before it has begun.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use bowline_store::Commit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Outcome, is_known};
use crate::durable::mailbox;
use crate::threads::Signal;
use crate::threads::advance::{busy, contended};
use crate::threads::keeper::{self, Telling};
use crate::threads::lease::Held;
use crate::threads::ledger::TRIES;
use crate::threads::runtime::Shared;
use crate::threads::state::{Active, ThreadState};
use crate::threads::thread::ThreadId;
use crate::{AgentHandle, Error, ErrorKind, Result};

/// How often it is looked whether a run that has ended has left its thread.
const LOOK: Duration = Duration::from_millis(10);
/// The part of a lease that whoever keeps a run has to say that it has ended.
const GRACE: u32 = 20;

pub(super) struct Guest {
    pub(super) shared: Arc<Shared>,
    pub(super) thread: ThreadId,
    pub(super) run: Text,
    pub(super) agent: AgentHandle,
    pub(super) stream: Text,
    /// Says that somebody is at work while the run is prepared, however long that takes.
    pub(super) heart: Option<JoinHandle<()>>,
}

/// Who comes before a run that is to begin.
enum Ahead {
    AtWork(Box<Active>),
    /// The run that begins with what waits, and the one before it.
    Next {
        run: Text,
        last: Option<Text>,
    },
}

impl Guest {
    /// Is at work in the thread from now on. Returns the run that was before.
    pub(super) async fn occupy(&self) -> Result<Option<Text>> {
        let shared = &self.shared;
        let since = Instant::now();
        loop {
            let mut ahead = None;
            let taken = shared.ledger.change(&self.thread, |state| {
                ahead = shared.ahead(state);
                if ahead.is_some() {
                    return None;
                }
                let (run, agent) = (self.run.clone(), self.agent.agent().id().clone());
                let stream = self.stream.clone();
                let taken = state.occupy(run, agent, &shared.source, stream);
                taken.then(|| state.last.clone())
            });
            if let Some(last) = taken.await? {
                return Ok(last);
            }
            let Some(ahead) = ahead else { continue };
            if let Some(run) = self.at_work(&ahead, since.elapsed()).await? {
                return Err(busy(&self.thread, &run));
            }
            sleep(LOOK).await;
        }
    }

    /// The run that is at work; `None` when nobody is in a moment. `so_long`: how long that has been so.
    async fn at_work(&self, ahead: &Ahead, so_long: Duration) -> Result<Option<Text>> {
        let shared = &self.shared;
        let late = so_long >= shared.ttl;
        match ahead {
            Ahead::AtWork(active) if late || !self.is_over(active).await? => {
                Ok(Some(active.run.clone()))
            }
            Ahead::AtWork(active) => {
                if so_long >= shared.ttl / GRACE {
                    shared.see_off(&self.thread, active).await?;
                }
                Ok(None)
            }
            Ahead::Next { run, .. } if late => Ok(Some(run.clone())),
            Ahead::Next { run, last } => {
                if so_long >= shared.ttl / GRACE
                    && let Err(error) = shared.advance_boxed(&self.thread, None).await
                {
                    tracing::warn!(thread = %self.thread.id(), %error, "the next run begins later");
                }
                let owner = shared.leases.owner(&self.thread.key()).await.flatten();
                Ok(owner.filter(|owner| owner == run || Some(owner) != last.as_ref()))
            }
        }
    }

    /// Whether a run that is at work has ended, and only has to be told.
    async fn is_over(&self, active: &Active) -> Result<bool> {
        match self.agent.engine().find(&active.run).await {
            Ok((_, info)) => Ok(info.status.is_final()),
            // Its retention is over, or it is about to begin.
            Err(error) if error.kind() == bowline_workflow::ErrorKind::NotFound => Ok(active.begun),
            Err(error) => Err(Error::engine("stream", error)),
        }
    }

    pub(super) async fn take_lease(&self, last: Option<&Text>) -> Result<()> {
        let (leases, key) = (&self.shared.leases, self.thread.key());
        match leases.acquire(&key, &self.run).await {
            Held::Mine => Ok(()),
            // Whoever kept it is about to give it back.
            Held::By(owner) if last == Some(&owner) => {
                match leases.hand_over(&key, &owner, &self.run).await {
                    Held::Mine => Ok(()),
                    Held::By(owner) => Err(busy(&self.thread, &owner)),
                }
            }
            Held::By(owner) => Err(busy(&self.thread, &owner)),
        }
    }

    pub(super) async fn end(mut self, outcome: Outcome) -> Result<()> {
        if let Some(heart) = self.heart.take() {
            heart.abort();
            // It holds nothing any more when it has ended.
            let _ = heart.await;
        }
        match outcome {
            Outcome::Begun => return self.keep().await,
            // If it is not found out now, it is by whoever looks after threads that nobody looks after.
            Outcome::Unsure => {
                if let Ok(true) = is_known(&self.agent, &self.run).await {
                    return self.keep().await;
                }
            }
            Outcome::Never | Outcome::Taken => {
                let mail = matches!(outcome, Outcome::Never);
                if let Err(error) = self.leave(mail).await {
                    tracing::warn!(thread = %self.thread.id(), %error, "a thread is left later");
                }
            }
        }
        Ok(())
    }

    /// The run has begun: it is told on the thread from now on.
    async fn keep(&self) -> Result<()> {
        let (shared, thread, run) = (&self.shared, &self.thread, &self.run);
        let begun = shared.ledger.change(thread, |state| {
            let active = state.active.as_mut().filter(|it| it.run == *run)?;
            active.begun = true;
            Some(())
        });
        match begun.await {
            Ok(Some(())) => {}
            Ok(None) => {
                self.agent.abort(run).await?;
                let message = "the thread was taken for one in which nobody is at work before the run began, so it is stopped; try again";
                let error = Error::new(ErrorKind::Conflict, "stream", message);
                return Err(error.with_subject(thread.id().clone()));
            }
            Err(error) => {
                tracing::warn!(%run, %error, "that a run has begun was not written down");
            }
        }
        let telling = Telling {
            stream: self.stream.clone(),
            seq: 1,
        };
        let agent = self.agent.agent().id();
        shared.keep(thread, run, agent, telling).await;
        Ok(())
    }

    /// The run does not begin. What it was given meanwhile, if the `mail` is its own, is next.
    async fn leave(&self, mail: bool) -> Result<()> {
        let (shared, thread, run) = (&self.shared, &self.thread, &self.run);
        for _ in 0..TRIES {
            let mut loaded = shared.ledger.load(thread).await?;
            let state = &mut loaded.state;
            // It was not let in, or was taken for dead, and somebody else goes on with it.
            if !state.beat(run, &self.stream) {
                return Ok(());
            }
            let mut commit = Commit::new();
            let mut unread = Vec::new();
            if mail {
                let mail = mailbox::unread(&*shared.store, run, 0).await?;
                let letters = mail.letters.iter();
                unread.extend(letters.filter_map(|it| Signal::of_message(&it.message)));
                commit = mailbox::forgetting(run, commit);
            }
            state.settle(run, unread);
            if shared.ledger.write(&loaded, commit).await? {
                shared.advance_boxed(thread, Some(run)).await?;
                return Ok(());
            }
        }
        Err(contended("stream", thread))
    }
}

impl Shared {
    fn ahead(&self, state: &ThreadState) -> Option<Ahead> {
        if let Some(active) = &state.active {
            return Some(Ahead::AtWork(Box::new(active.clone())));
        }
        let next = state.queue.front()?;
        let turn = next.sent.is_none() && self.agents.contains_key(&next.agent);
        turn.then(|| Ahead::Next {
            run: next.run.clone(),
            last: state.last.clone(),
        })
    }

    /// Goes on with what nobody does for a run that has ended.
    async fn see_off(&self, thread: &ThreadId, active: &Active) -> Result<()> {
        if self.runs(&keeper::name(thread, &active.run)) {
            return Ok(());
        }
        self.take_over(thread, active).await
    }
}

/// Shows that somebody is at work while a run is prepared.
pub(super) async fn beat(shared: Arc<Shared>, thread: ThreadId, run: Text, stream: Text) {
    let mut beats = interval(shared.ttl / 3);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.reset();
    loop {
        beats.tick().await;
        let beat = shared
            .ledger
            .change(&thread, |state| state.beat(&run, &stream).then_some(()));
        match beat.await {
            Ok(Some(())) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%run, %error, "that a run is prepared was not written down");
            }
        }
        shared.leases.renew(&thread.key(), &run).await;
    }
}
