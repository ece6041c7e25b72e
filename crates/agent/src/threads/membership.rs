//! Which threads an agent was given to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::runtime::{Handle, Threads};
use crate::{Error, ErrorKind, Result};

/// The threads that an agent was given to.
#[derive(Default)]
pub(crate) struct Membership(Mutex<Option<Weak<Handle>>>);

impl Membership {
    fn lock(&self) -> MutexGuard<'_, Option<Weak<Handle>>> {
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
