//! How a run is let into its thread: one at a time is at work there, whoever begins it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bowline_events::Text;
use bowline_store::Commit;
use bowline_store::limits::MAX_KEY;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::Signal;
use super::advance::{TRIES, busy};
use super::keeper::{self, Telling};
use super::lease::Held;
use super::runtime::{Handle, Shared, Threads};
use super::state::{Active, ThreadState};
use super::thread::ThreadId;
use crate::durable::mailbox;
use crate::{AgentHandle, Error, ErrorKind, Result, RunOptions};

/// How often it is looked whether a run that has ended has left its thread.
const LOOK: Duration = Duration::from_millis(10);
/// The part of a lease that whoever keeps a run has to say that it has ended.
const GRACE: u32 = 20;

/// The threads that an agent was given to.
#[derive(Default)]
pub(crate) struct Membership(Mutex<Option<Weak<Handle>>>);

impl Membership {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Weak<Handle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, threads: &Threads) {
        *self.lock() = Some(Arc::downgrade(&threads.0));
    }

    /// `None` for an agent that was given to none.
    ///
    /// # Errors
    /// `Closed` when they are dropped.
    pub(crate) fn threads(&self) -> Result<Option<Threads>> {
        let Some(threads) = self.lock().clone() else {
            return Ok(None);
        };
        match threads.upgrade() {
            Some(threads) => Ok(Some(Threads(threads))),
            None => {
                let message =
                    "the threads of the agent are dropped; keep them, or a handle that they give";
                Err(Error::new(ErrorKind::Closed, "find threads", message))
            }
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership")
    }
}

/// A run that is let into its thread, until it is said what came of it. If that is never said, because whoever begins it is
/// cancelled, it leaves the thread by itself.
#[must_use = "a run that begins nothing leaves its thread"]
pub(crate) struct Entry {
    guest: Option<Guest>,
    /// Whether the engine may have the run.
    begins: bool,
}

/// What came of a run that was let in.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Begun,
    /// The store has not said whether it has it.
    Unsure,
    Never,
    /// Another run has its id, and what is said to that.
    Taken,
}

struct Guest {
    shared: Arc<Shared>,
    thread: ThreadId,
    run: Text,
    agent: AgentHandle,
    stream: Text,
    /// Says that somebody is at work while the run is prepared, however long that takes.
    heart: Option<JoinHandle<()>>,
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

impl Threads {
    /// Lets a run into the thread of its `options`, if nobody is at work there, and gives it an id.
    ///
    /// # Errors
    /// `Conflict` when somebody is, `AlreadyExists` for an id that is taken, `Closed`, `TooLarge`, `Store`.
    pub(crate) async fn enter(
        &self,
        agent: &AgentHandle,
        options: &mut RunOptions,
    ) -> Result<Entry> {
        let shared = self.shared();
        shared.check_open("stream")?;
        let run = match &options.run_id {
            None => random(),
            Some(run) => free_id(agent, run).await?,
        };
        options.run_id = Some(run.clone());
        let mut entry = Entry {
            guest: Some(Guest {
                shared: Arc::clone(shared),
                thread: thread_of(options),
                run,
                agent: agent.clone(),
                stream: random(),
                heart: None,
            }),
            begins: false,
        };
        match entry.enter().await {
            Ok(()) => Ok(entry),
            Err(error) => entry.end(Err(error)).await,
        }
    }
}

impl Entry {
    async fn enter(&mut self) -> Result<()> {
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let last = match guest.occupy().await {
            Ok(last) => last,
            Err(error) => {
                // Only a store that fails does not say whether it was let in.
                if error.kind() != ErrorKind::Store {
                    self.guest = None;
                }
                return Err(error);
            }
        };
        guest.take_lease(last.as_ref()).await?;
        let heart = beat(
            Arc::clone(&guest.shared),
            guest.thread.clone(),
            guest.run.clone(),
            guest.stream.clone(),
        );
        guest.heart = Some(guest.shared.runtime.spawn(heart));
        Ok(())
    }

    /// The engine is given the run now.
    pub(crate) fn begins(&mut self) {
        self.begins = true;
    }

    /// Says what came of it, and returns that. The readers of the thread know of the run then, or the next one can be let in.
    ///
    /// # Errors
    /// Those of `begun`; `Conflict` when the run has begun too late and was stopped.
    pub(crate) async fn end<T>(mut self, begun: Result<T>) -> Result<T> {
        let outcome = match &begun {
            Ok(_) => Outcome::Begun,
            Err(error) if self.begins => match error.kind() {
                ErrorKind::Store | ErrorKind::Timeout => Outcome::Unsure,
                ErrorKind::AlreadyExists => Outcome::Taken,
                _ => Outcome::Never,
            },
            Err(_) => Outcome::Never,
        };
        match self.settle(outcome) {
            Some(settled) => settled.await.unwrap_or(Ok(())).and(begun),
            None => begun,
        }
    }

    /// Sees to it in a task, so that nothing of it is left half done.
    fn settle(&mut self, outcome: Outcome) -> Option<JoinHandle<Result<()>>> {
        let guest = self.guest.take()?;
        let runtime = guest.shared.runtime.clone();
        Some(runtime.spawn(guest.end(outcome)))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.settle(match self.begins {
            true => Outcome::Unsure,
            false => Outcome::Never,
        });
    }
}

impl Guest {
    /// Is at work in the thread from now on. Returns the run that was before.
    async fn occupy(&self) -> Result<Option<Text>> {
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

    async fn take_lease(&self, last: Option<&Text>) -> Result<()> {
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

    async fn end(mut self, outcome: Outcome) -> Result<()> {
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
        let message = "others changed the thread all the time";
        Err(Error::new(ErrorKind::Conflict, "stream", message).with_subject(thread.id().clone()))
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
async fn beat(shared: Arc<Shared>, thread: ThreadId, run: Text, stream: Text) {
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

/// The id, if a run can have it and none has.
async fn free_id(agent: &AgentHandle, run: &Text) -> Result<Text> {
    let refused = |kind, message| Error::new(kind, "start", message).with_subject(run.clone());
    // The rest of what is no id is the matter of the engine.
    if run.is_empty() || run.len() > MAX_KEY {
        let message = "it is no id of a run; choose another one or leave it out";
        return Err(refused(ErrorKind::InvalidInput, message));
    }
    if is_known(agent, run).await? {
        let message = "a run has this id already; choose another one or leave it out";
        return Err(refused(ErrorKind::AlreadyExists, message));
    }
    Ok(run.clone())
}

/// Whether the store has a run of this id.
async fn is_known(agent: &AgentHandle, run: &str) -> Result<bool> {
    match agent.engine().run(run).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == bowline_workflow::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::engine("start", error)),
    }
}

fn thread_of(options: &RunOptions) -> ThreadId {
    let thread = ThreadId::new(options.thread_id.clone().unwrap_or_default());
    match &options.resource_id {
        Some(resource) => thread.resource(resource.clone()),
        None => thread,
    }
}

fn random() -> Text {
    Uuid::new_v4().to_string().into()
}
