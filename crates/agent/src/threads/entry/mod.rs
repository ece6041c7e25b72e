//! How a run is let into its thread: one at a time is at work there, whoever begins it.

mod guest;

use std::sync::Arc;

use bowline_events::Text;
use bowline_store::limits::MAX_KEY;
use tokio::task::JoinHandle;

use super::runtime::Threads;
use super::thread::ThreadId;
use crate::{AgentHandle, Error, ErrorKind, Result, RunOptions, random_id};
use guest::{Guest, beat};

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
            None => random_id(),
            Some(run) => free_id(agent, run).await?,
        };
        options.run_id = Some(run.clone());
        let mut entry = Entry {
            guest: Some(Guest {
                shared: Arc::clone(shared),
                thread: thread_of(options),
                run,
                agent: agent.clone(),
                stream: random_id(),
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
    let id = options.thread_id.clone().unwrap_or_default();
    ThreadId::of(id, options.resource_id.clone())
}
