//! What an application gives a workflow to call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bowline_events::Timestamp;

use crate::Data;
use crate::context::StepContext;
use crate::machine::Completion;
use crate::predicate::Predicate;

/// A future that an object returns.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the graph shows of a function, whose source does not exist any more.
pub(crate) const COMPILED: &str = "[compiled function]";

/// The work of a step.
pub(crate) trait StepFunction: Send + Sync {
    fn call(&self, context: StepContext) -> BoxFuture<Completion>;

    /// What the graph shows of it.
    fn source(&self) -> &str {
        COMPILED
    }

    /// Whether it can be resumed with `data`, as far as it knows.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot.
    fn check_resume(&self, data: &Data) -> crate::Result<()> {
        let _ = data;
        Ok(())
    }

    /// What was declared of its values.
    #[cfg(feature = "schema")]
    fn schemas(&self) -> Option<&crate::schema::Schemas> {
        None
    }
}

/// Whether something is so.
pub(crate) trait ConditionFunction: Send + Sync {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<bool>>;

    /// What the graph shows of it.
    fn source(&self) -> &str {
        COMPILED
    }
}

/// How many iterations run at once.
pub(crate) trait WidthFunction: Send + Sync + fmt::Debug {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<usize>>;

    /// What the graph shows of it.
    fn source(&self) -> &str {
        COMPILED
    }
}

/// Until when to sleep.
pub(crate) trait InstantFunction: Send + Sync + fmt::Debug {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<Timestamp>>;

    /// What the graph shows of it.
    fn source(&self) -> &str {
        COMPILED
    }

    /// Whether it was given as a duration.
    fn is_duration(&self) -> bool {
        false
    }
}

/// Whether a branch is taken, or a loop goes on.
#[derive(Clone)]
pub(crate) enum Condition {
    Function(Arc<dyn ConditionFunction>),
    /// Can be written down, and read by other programs.
    Predicate(Arc<Predicate>),
}

impl Condition {
    /// Whether it holds.
    ///
    /// # Errors
    /// That of the function. A predicate has none.
    pub(crate) async fn holds(&self, context: StepContext) -> crate::Result<bool> {
        match self {
            Self::Function(function) => function.call(context).await,
            Self::Predicate(predicate) => Ok(predicate.holds(&context)),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(_) => f.write_str("Function"),
            Self::Predicate(predicate) => f.debug_tuple("Predicate").field(predicate).finish(),
        }
    }
}
