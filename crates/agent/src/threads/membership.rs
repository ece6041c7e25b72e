//! Which threads an agent was given to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bowline_events::Text;

use super::runtime::{Handle, Threads};
use super::thread::ThreadId;
use crate::{Error, ErrorKind, Result};

/// The threads that an agent was given to.
#[derive(Default)]
pub(crate) struct Membership(Mutex<Option<Weak<Handle>>>);

impl Membership {
    fn lock(&self) -> MutexGuard<'_, Option<Weak<Handle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the agent from now on.
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

/// All threads of this process. Tools are made before threads are, and are told nothing but the run in which they are called.
static ALL: Mutex<Vec<Weak<Handle>>> = Mutex::new(Vec::new());

/// Lets tools find these threads.
pub(super) fn register(threads: &Threads) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|it| it.strong_count() > 0);
    all.push(Arc::downgrade(&threads.0));
}

/// The threads in which this run of the agent is at work: of those that share a store, any.
///
/// # Errors
/// `NotFound` when there are none in this process, `Store`.
pub(super) async fn at_work(agent: &Text, thread: &ThreadId, run: &Text) -> Result<Threads> {
    let all = {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    };
    let mut failure = None;
    for threads in all.iter().filter_map(Weak::upgrade).map(Threads) {
        let shared = threads.shared();
        if shared.check_open("find threads").is_err() || !shared.agents.contains_key(agent) {
            continue;
        }
        match shared.ledger.load(thread).await {
            Ok(loaded)
                if loaded
                    .state
                    .active
                    .as_ref()
                    .is_some_and(|it| it.run == *run) =>
            {
                return Ok(threads);
            }
            Ok(_) => {}
            // Those of another store may be the right ones.
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        let message = "the run is at work in no threads of this process; give the agent to `Threads::builder`, or to an application";
        Error::new(ErrorKind::NotFound, "find threads", message).with_subject(run.clone())
    }))
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership")
    }
}
