//! What an application gives a workflow to call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bowline_events::Timestamp;

use crate::context::StepContext;
use crate::machine::Completion;

/// A future that an object returns.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The work of a step.
pub(crate) trait StepFunction: Send + Sync {
    fn call(&self, context: StepContext) -> BoxFuture<Completion>;
}

/// Whether something is so.
pub(crate) trait ConditionFunction: Send + Sync {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<bool>>;
}

/// How many iterations run at once.
pub(crate) trait WidthFunction: Send + Sync + fmt::Debug {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<usize>>;
}

/// Until when to sleep.
pub(crate) trait InstantFunction: Send + Sync + fmt::Debug {
    fn call(&self, context: StepContext) -> BoxFuture<crate::Result<Timestamp>>;
}

/// Whether a branch is taken, or a loop goes on.
#[derive(Clone)]
pub(crate) enum Condition {
    Function(Arc<dyn ConditionFunction>),
}

impl Condition {
    pub(crate) fn holds(&self, context: StepContext) -> BoxFuture<crate::Result<bool>> {
        match self {
            Self::Function(function) => function.call(context),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
