//! Which runs this process has begun, and nobody has worked on yet.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_events::Text;

/// Runs that are remembered. Who is not remembered costs a look at the bus, and nothing else.
const MOST: usize = 4096;

/// Runs that this process has begun, and that it has not worked on yet.
///
/// Of any other run that a process begins with, another process may have told something that nobody has written down.
#[derive(Debug, Default)]
pub(crate) struct Begun(Mutex<HashSet<Text>>);

impl Begun {
    fn lock(&self) -> MutexGuard<'_, HashSet<Text>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, run_id: &Text) {
        let mut begun = self.lock();
        if begun.len() >= MOST {
            begun.clear();
        }
        begun.insert(run_id.clone());
    }

    /// Whether this process has begun the run and not worked on it. It has from now on.
    pub(crate) fn take(&self, run_id: &Text) -> bool {
        self.lock().remove(run_id)
    }
}
