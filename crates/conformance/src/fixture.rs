//! What a backend provides to be examined.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{OpFuture, PubSub};

/// How long a clause waits for something that must happen before it fails, unless the fixture says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A backend under examination. Implement it once per backend and role.
///
/// Clauses assert what happens, never how fast. [`settle`](Fixture::settle) and [`deadline`](Fixture::deadline) only bound
/// waiting: the first for what must not happen, the second for what must.
pub trait Fixture: Send + Sync + 'static {
    /// The name of the backend and its role, such as `memory` or `unix-client`. It prefixes the names of the tests.
    fn name(&self) -> &str;

    /// A fresh bus on which nothing was ever published, and the handles that take part in it.
    ///
    /// # Errors
    /// Whatever keeps the backend from starting; every clause then fails with it.
    fn connect(&self) -> OpFuture<'_, Participants>;

    /// How long an event that is wrongly sent may take to show up. Zero suits a bus that delivers within the publishing
    /// call; a bus over a network needs a few round trips.
    fn settle(&self) -> Duration {
        Duration::from_millis(20)
    }

    /// How long a clause waits for something that must happen; [`DEADLINE`] unless overridden.
    fn deadline(&self) -> Duration {
        DEADLINE
    }
}

/// The handles that take part in one bus.
///
/// Clauses publish through one handle and subscribe through the other, and swap them where both directions matter. A bus of
/// one process hands out the same handle twice.
pub struct Participants {
    /// The handle that publishes.
    pub publisher: Arc<dyn PubSub>,
    /// The handle that subscribes; its capabilities choose the clauses.
    pub subscriber: Arc<dyn PubSub>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Participants {
    /// A bus with one participant.
    pub fn one(bus: Arc<dyn PubSub>) -> Self {
        Self::two(Arc::clone(&bus), bus)
    }

    /// A bus with two participants.
    pub fn two(publisher: Arc<dyn PubSub>, subscriber: Arc<dyn PubSub>) -> Self {
        Self {
            publisher,
            subscriber,
            keep: Vec::new(),
        }
    }

    /// Keeps `guard` (a temporary folder, a server) alive until the clause is over and both handles are closed.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    /// Whether publisher and subscriber are different participants.
    pub fn are_distinct(&self) -> bool {
        !Arc::ptr_eq(&self.publisher, &self.subscriber)
    }
}

impl fmt::Debug for Participants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participants")
            .field("publisher", &self.publisher)
            .field("subscriber", &self.subscriber)
            .finish_non_exhaustive()
    }
}
