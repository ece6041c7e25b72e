//! Looks that are shared by all who ask for one at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::wire::{BoxFuture, Failure};

/// How to look.
type Looking<T> = BoxFuture<'static, Result<T, Failure>>;

/// Looks at things by name, one look at each at a time.
///
/// A look runs on a task of its own, so that no caller that is not polled holds the others up, and when it fails, it has failed for
/// all who waited for it.
pub(super) struct Looks<T>(Arc<Mutex<HashMap<String, Next<T>>>>);

/// The look behind the one that is under way: the latter may have begun before what is to be seen.
type Next<T> = Option<(Arc<Look<T>>, Looking<T>)>;

/// What was seen, once it was.
#[derive(Debug)]
pub(super) struct Look<T> {
    outcome: OnceLock<Result<T, Failure>>,
    settled: Notify,
}

impl<T> Look<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            outcome: OnceLock::new(),
            settled: Notify::new(),
        })
    }

    /// Waits for the end of the look.
    pub(super) async fn outcome(&self) -> &Result<T, Failure> {
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            settled.await;
        }
    }

    fn settle(&self, outcome: Result<T, Failure>) {
        // A look is settled once, by its task.
        let _ = self.outcome.set(outcome);
        self.settled.notify_waiters();
    }
}

impl<T: Send + Sync + 'static> Looks<T> {
    /// A look at `name` that begins after this call. `look` makes it where nobody has asked for one yet.
    ///
    /// # Errors
    /// `Configuration` outside of a runtime.
    pub(super) fn ask(
        &self,
        name: &str,
        look: impl FnOnce() -> Looking<T>,
    ) -> Result<Arc<Look<T>>, Failure> {
        let mut next = lock(&self.0);
        match next.entry(name.to_owned()) {
            Occupied(mut entry) => {
                let (next, _) = entry.get_mut().get_or_insert_with(|| (Look::new(), look()));
                Ok(Arc::clone(next))
            }
            Vacant(entry) => {
                let runtime = Handle::try_current()
                    .map_err(|error| Failure::Configuration(error.to_string()))?;
                entry.insert(None);
                let now = Look::new();
                let task = Task {
                    next: Arc::clone(&self.0),
                    name: name.to_owned(),
                    now: Some(Arc::clone(&now)),
                };
                // Not under the lock: a runtime that is shutting down drops the task here.
                drop(next);
                runtime.spawn(task.run(look()));
                Ok(now)
            }
        }
    }
}

/// The task that looks at `name` until nobody asks any more.
struct Task<T> {
    next: Arc<Mutex<HashMap<String, Next<T>>>>,
    name: String,
    /// The look that is under way.
    now: Option<Arc<Look<T>>>,
}

impl<T> Task<T> {
    async fn run(mut self, mut looking: Looking<T>) {
        loop {
            let outcome = looking.await;
            let next = self.take_next();
            if let Some(now) = self.now.take() {
                now.settle(outcome);
            }
            let Some((look, make)) = next else { return };
            (self.now, looking) = (Some(look), make);
        }
    }

    /// The next look; without one, whoever asks next starts a task.
    fn take_next(&self) -> Next<T> {
        let mut all = lock(&self.next);
        let next = all.get_mut(&self.name).and_then(Option::take);
        if next.is_none() {
            all.remove(&self.name);
        }
        next
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        // Nothing is under way unless the look panicked, or the runtime ends.
        let Some(now) = self.now.take() else { return };
        let next = lock(&self.next).remove(&self.name).flatten();
        now.settle(Err(given_up()));
        if let Some((next, _)) = next {
            next.settle(Err(given_up()));
        }
    }
}

fn given_up() -> Failure {
    let message = "it was given up to look what had arrived";
    let error = std::io::Error::new(std::io::ErrorKind::Interrupted, message);
    Failure::Lost(Arc::new(error))
}

fn lock<T>(next: &Mutex<HashMap<String, Next<T>>>) -> MutexGuard<'_, HashMap<String, Next<T>>> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Looks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = lock(&self.0).keys().cloned().collect();
        f.debug_tuple("Looks").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_look_in_a_runtime_that_has_ended_is_given_up() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let handle = runtime.handle().clone();
        drop(runtime);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let _entered = handle.enter();
            let looks = Looks::<()>::default();
            let asked = looks.ask("t", || Box::pin(std::future::pending()));
            let outcome = asked.map(|look| look.outcome.get().cloned());
            tell.send((outcome, looks))
        });
        let (outcome, looks) = told
            .recv_timeout(Duration::from_secs(30))
            .expect("it returns");
        assert!(matches!(outcome, Ok(Some(Err(Failure::Lost(_))))));
        assert!(lock(&looks.0).is_empty(), "the next one begins anew");
    }
}
