//! Calling what an application wrote: a panic is a failure, and a time-out too.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::StepError;
use crate::StepContext;
use crate::definition::{BoxFuture, StepFunction};
use crate::machine::{Completion, Outcome};

/// What `work` returns; a panic in it is the error `Panic`.
pub(crate) async fn caught<T>(
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    // Nothing of it is looked at after a panic but what it set of the state, which is not kept then.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(StepError::fail("Panic", text_of(panic.as_ref()))),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return (*text).to_owned();
    }
    let text = panic.downcast_ref::<String>();
    text.map_or_else(|| "it panicked without a message".to_owned(), String::clone)
}

/// A step that has to end within a time.
pub(super) struct Limited {
    pub(super) function: Arc<dyn StepFunction>,
    pub(super) limit: Duration,
}

impl StepFunction for Limited {
    fn call(&self, context: StepContext) -> BoxFuture<Completion> {
        let work = self.function.call(context.clone());
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, work).await {
                Ok(completion) => completion,
                Err(_) => Completion {
                    outcome: too_late(&context, limit),
                    state: context.take_changes(),
                },
            }
        })
    }
}

fn too_late(context: &StepContext, limit: Duration) -> Outcome {
    let message = format!(
        "the step {:?} did not end within {limit:?}; give it more time, or less to do",
        context.step_id()
    );
    StepError::fail("TimeoutError", message).into_outcome()
}
