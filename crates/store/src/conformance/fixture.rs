//! What a backend provides to be examined, and what came of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Store, StoreFuture};

/// How long a clause waits for something that has to happen before it fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A backend under examination.
pub trait Fixture: Send + Sync {
    /// The name of the backend, for messages.
    fn name(&self) -> &str;

    /// An empty store.
    fn open(&self) -> StoreFuture<'_, Stores>;
}

/// The handles on one store.
pub struct Stores {
    /// The handle that writes.
    pub store: Arc<dyn Store>,
    /// The handle that reads and competes; the same one for a store that only has one.
    pub other: Arc<dyn Store>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Stores {
    /// A store with one handle.
    pub fn one(store: Arc<dyn Store>) -> Self {
        Self::two(Arc::clone(&store), store)
    }

    /// Two handles on one store, as two processes have.
    pub fn two(store: Arc<dyn Store>, other: Arc<dyn Store>) -> Self {
        Self {
            store,
            other,
            keep: Vec::new(),
        }
    }

    /// Keeps `guard` (a temporary folder, a server) until the clause is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores")
            .field("store", &self.store)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}

/// What came of a clause.
pub type Outcome = std::result::Result<(), Violation>;

/// How a store breaks a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    /// A violation that `message` describes.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// A store that fails where it should not.
impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        let mut message = format!("an operation failed: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self(message)
    }
}
