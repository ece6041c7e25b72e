//! Beginning the next run of a thread.

use bowline_events::Text;
use bowline_store::Commit;

use super::foreign;
use super::keeper::{self, Telling};
use super::lease::Held;
use super::ledger::TRIES;
use super::record::{RunFailed, RunRegistered, ThreadRecord};
use super::runtime::{Shared, Threads};
use super::state::{Active, Claim};
use super::thread::ThreadId;
use crate::durable::mailbox::{self, Letter};
use crate::handle::unread;
use crate::{BoxFuture, Error, ErrorKind, IntoMessages, Result, RunOptions, random_id};

/// What came of looking for something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advanced {
    /// This run has begun.
    Began(Text),
    /// This run is at work.
    Busy(Text),
    /// What waits was given to this run of another program.
    Given(Text),
    /// Nothing waits, or nothing that can be done here.
    Nothing,
}

impl Threads {
    /// Begins a run with `messages` in a thread in which nobody is at work: as
    /// [`AgentHandle::start`](crate::AgentHandle::start) with this thread. When this returns, the run is in the store and will be done;
    /// read it with its id, or [subscribe](Self::subscribe) to the thread.
    ///
    /// # Errors
    /// `NotFound` for an agent that this process does not have, and those of [`AgentHandle::start`](crate::AgentHandle::start).
    pub async fn run(
        &self,
        agent: &str,
        thread: &ThreadId,
        messages: impl IntoMessages,
        options: RunOptions,
    ) -> Result<Text> {
        let shared = self.shared();
        shared.check_open("stream")?;
        let agent = shared.agent("stream", agent)?;
        let mut options = options.thread(thread.id().clone());
        options.resource_id = thread.resource_id().cloned();
        let (run, _) = agent
            .begin_in(Some(self), messages, options, unread)
            .await?;
        Ok(run)
    }
}

pub(super) fn busy(thread: &ThreadId, run: &Text) -> Error {
    let message = format!(
        "the run {run} is at work in the thread; send it a signal, queue the message, or stop the run"
    );
    Error::new(ErrorKind::Conflict, "stream", message).with_subject(thread.id().clone())
}

/// What is said when the tries are over.
pub(super) fn contended(operation: &'static str, thread: &ThreadId) -> Error {
    let message = "others changed the thread all the time";
    Error::new(ErrorKind::Conflict, operation, message).with_subject(thread.id().clone())
}

impl Shared {
    /// [`advance`](Self::advance), for the tasks that it spawns, and for futures that are large without it.
    pub(super) fn advance_boxed<'a>(
        &'a self,
        thread: &'a ThreadId,
        from: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Advanced>> {
        Box::pin(self.advance(thread, from))
    }

    /// Begins the next run of a thread, if there is something to do and nobody is at work. `from`: the run of this process that has
    /// just ended, whose lease goes to the next one.
    pub(super) async fn advance(&self, thread: &ThreadId, from: Option<&Text>) -> Result<Advanced> {
        let key = thread.key();
        for _ in 0..TRIES {
            let mut loaded = self.ledger.load(thread).await?;
            let next = loaded.state.queue.front();
            let next = next.filter(|it| self.agents.contains_key(&it.agent));
            let (None, Some(next)) = (&loaded.state.active, next) else {
                self.release(&key, from, &loaded.state.active).await;
                return Ok(match loaded.state.active {
                    Some(active) => Advanced::Busy(active.run),
                    None => Advanced::Nothing,
                });
            };
            if next.sent.is_some() {
                // Whoever gave it away says when it is to begin here.
                let owner = self.leases.owner(&key).await.flatten();
                return Ok(match owner {
                    Some(owner) => self.give_away(thread, owner),
                    None => Advanced::Nothing,
                });
            }
            let run = next.run.clone();
            let held = match from {
                Some(from) => self.leases.hand_over(&key, from, &run).await,
                None => self.leases.acquire(&key, &run).await,
            };
            if let Held::By(owner) = held {
                // The one that has just ended: whoever kept it goes on with what waits.
                if loaded.state.last.as_ref() == Some(&owner) {
                    return Ok(Advanced::Nothing);
                }
                return Ok(self.give_away(thread, owner));
            }
            let stream = random_id();
            let Some(claim) = loaded.state.claim(&self.source, stream.clone()) else {
                continue;
            };
            let letters: Vec<Letter> = claim
                .signals
                .iter()
                .map(|it| it.to_letter(thread.id(), thread.resource_id()))
                .collect();
            let commit = mailbox::opening(&claim.run, &letters, Commit::new());
            if !self.ledger.write(&loaded, commit).await? {
                self.release_unless_used(thread, &run).await;
                continue;
            }
            return self.begin(thread, claim, stream).await;
        }
        Err(contended("signal", thread))
    }

    /// The run of another program holds the thread: it is given what waits.
    fn give_away(&self, thread: &ThreadId, owner: Text) -> Advanced {
        if owner.is_empty() {
            return Advanced::Nothing;
        }
        let task = foreign::name(thread);
        if let Some(shared) = self.this.upgrade() {
            self.spawn(task, foreign::watch(shared, thread.clone(), owner.clone()));
            self.stir.notify_waiters();
        }
        Advanced::Given(owner)
    }

    async fn release(&self, key: &str, from: Option<&Text>, active: &Option<Active>) {
        if let Some(from) = from
            && active.as_ref().is_none_or(|active| active.run != *from)
        {
            self.leases.release(key, from).await;
        }
    }

    /// Somebody else was faster; perhaps with the same run, whose lease then is the same.
    async fn release_unless_used(&self, thread: &ThreadId, run: &Text) {
        let Ok(loaded) = self.ledger.load(thread).await else {
            return;
        };
        let active = loaded.state.active.as_ref().map(|it| &it.run);
        let next = loaded.state.queue.front().map(|it| &it.run);
        if active != Some(run) && next != Some(run) {
            self.leases.release(&thread.key(), run).await;
        }
    }

    /// Begins a run that has been claimed by this process.
    async fn begin(&self, thread: &ThreadId, claim: Claim, stream: Text) -> Result<Advanced> {
        let loaded = self.ledger.load(thread).await?;
        if let Some(active) = loaded.state.active.filter(|it| it.run == claim.run) {
            self.start(thread, &active, &stream).await?;
        }
        let telling = Telling { stream, seq: 1 };
        self.keep(thread, &claim.run, &claim.agent, telling).await;
        Ok(Advanced::Began(claim.run))
    }

    /// Gives the run to the engine, unless that has it. A run that can never begin is over.
    pub(super) async fn start(
        &self,
        thread: &ThreadId,
        active: &Active,
        stream: &Text,
    ) -> Result<()> {
        let agent = self.agent("signal", &active.agent)?;
        let mut options = active.options.clone().run_id(active.run.clone());
        options.thread_id = Some(thread.id().clone());
        options.resource_id = thread.resource_id().cloned();
        options.request_context.clone_from(&active.context);
        match agent.begin_entered(options).await {
            Ok(_) => {}
            // Whoever was faster has begun it. It may also be the thread that is one of another resource.
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists && self.has_run(active).await? => {}
            Err(error) if is_final(&error) => {
                self.fail(thread, active, stream, &error).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        let run = &active.run;
        let begun = self
            .ledger
            .change(thread, |state| state.begun(run).then_some(()));
        begun.await?;
        Ok(())
    }

    /// Ends a run that cannot begin, and says so to those who read the thread.
    async fn fail(
        &self,
        thread: &ThreadId,
        active: &Active,
        stream: &Text,
        error: &Error,
    ) -> Result<()> {
        let run = &active.run;
        let settled = self
            .ledger
            .change(thread, |state| state.settle(run, Vec::new()).then_some(()));
        settled.await?;
        let registered = ThreadRecord::Registered(RunRegistered {
            run_id: run.clone(),
            stream_id: stream.clone(),
            stream_seq: 1,
            source_id: Some(self.source.clone()),
        });
        self.mention(thread, &registered).await;
        let failed = ThreadRecord::Failed(RunFailed {
            run_id: run.clone(),
            stream_id: Some(stream.clone()),
            error: error.to_string(),
        });
        self.mention(thread, &failed).await;
        self.leases.release(&thread.key(), run).await;
        Ok(())
    }

    /// Tells of a run from now on. When this returns, the readers of the thread know of it.
    pub(super) async fn keep(&self, thread: &ThreadId, run: &Text, agent: &Text, telling: Telling) {
        let Some(shared) = self.this.upgrade() else {
            return;
        };
        let (known, knows) = tokio::sync::oneshot::channel();
        let task = keeper::run(
            shared,
            thread.clone(),
            run.clone(),
            agent.clone(),
            telling,
            known,
        );
        self.spawn(keeper::name(thread, run), task);
        // A keeper that could not tell goes on trying.
        let _ = knows.await;
    }
}

/// Whether trying again is in vain.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::TooLarge
            | ErrorKind::InvalidDefinition
            | ErrorKind::AlreadyExists
    )
}
