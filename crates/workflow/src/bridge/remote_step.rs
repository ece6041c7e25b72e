//! A step of ours that another server executes.

use std::fmt;
use std::sync::Arc;

use bowline_events::Text;

use super::remote_answer::completion;
use super::remote_request::{body, own_path};
use super::{StepClient, route};
use crate::definition::{BoxFuture, StepFunction};
use crate::machine::Completion;
use crate::step::Draft;
use crate::{Any, IntoStep, StepContext, StepError, TypedStep};

/// A step of our workflow that a [`StepClient`]'s server executes: usually one of a Node server.
///
/// The server takes a step by its place in its own workflow and does not look at the id. Where our workflow has the same id as
/// the one over there, it is taken for the same graph, and the place is that of the step here; otherwise the place has to be
/// given with [`at`](Self::at).
///
/// What the step returns is what it returned over there; suspending, bailing, failing, tripwires and changes of the state work
/// as for a step of our own. What it writes is not seen by our watchers, and what it changes in the request context is lost.
/// The server is asked again by itself only when nothing was sent. Everything else is a failure of the attempt, which the retries
/// of the step are for: `ConnectionError`, `TimeoutError`, `StepExecutionError` for an answer that is no result (the code is its
/// status), `TooLarge`, `ProtocolError`. A Node server executes a step again when it is asked again; a
/// [`StepServer`](super::StepServer) does not for the same attempt. When the run is cancelled the request is given up, of which a
/// Node server takes no notice.
///
/// ```
/// use bowline_workflow::bridge::{RemoteStep, StepClient};
/// use bowline_workflow::{IntoStep, RetryPolicy, Workflow};
///
/// let node = StepClient::new("http://127.0.0.1:4111/api")?;
/// let charge = RemoteStep::new(&node, "payments", "charge").at([2]);
/// Workflow::builder("order")
///     .input::<u32>()
///     .step(charge.into_step().retries(RetryPolicy::times(2)))
///     .build()?;
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone)]
pub struct RemoteStep {
    client: StepClient,
    workflow: Text,
    step: Text,
    path: Option<Vec<usize>>,
}

/// Marks steps that a server executes.
#[derive(Debug)]
pub struct Remote(());

impl RemoteStep {
    /// The step `step` of the workflow `workflow` of that server. Its id here is the same, unless another one is set.
    pub fn new(client: &StepClient, workflow: impl Into<Text>, step: impl Into<Text>) -> Self {
        Self {
            client: client.clone(),
            workflow: workflow.into(),
            step: step.into(),
            path: None,
        }
    }

    /// The place of the step in the workflow over there: the index of its entry, counted from 0, and that of its branch if it
    /// is one of several.
    #[must_use]
    pub fn at(mut self, path: impl IntoIterator<Item = usize>) -> Self {
        self.path = Some(path.into_iter().collect());
        self
    }

    async fn execute(&self, context: &StepContext) -> Result<Completion, StepError> {
        let path = self.path(context)?;
        let body = body(context, &self.workflow, &self.step, &path);
        let answer = self
            .client
            .execute(&self.workflow, context.run_id(), body)
            .await?;
        completion(&answer).map_err(|why| {
            let message = format!("{}: {why}", self.client.base());
            StepError::fail("ProtocolError", message).no_retry()
        })
    }

    fn path(&self, context: &StepContext) -> Result<Vec<usize>, StepError> {
        let same = self.workflow == *context.workflow_id();
        let own = || same.then(|| own_path(context)).flatten();
        let Some(mut path) = self.path.clone().or_else(own) else {
            let message = format!(
                "the place of the step {:?} in the workflow {:?} is not known; say where it is there with `at`",
                self.step, self.workflow
            );
            return Err(StepError::fail("Error", message).no_retry());
        };
        // Iterations are executions of their own, over there too.
        if path.len() == 1 {
            path.extend(context.index());
        }
        Ok(path)
    }
}

impl StepFunction for RemoteStep {
    fn call(&self, context: StepContext) -> BoxFuture<Completion> {
        let step = self.clone();
        Box::pin(async move {
            let executed = tokio::select! {
                executed = step.execute(&context) => executed,
                () = context.cancelled() => Err(StepError::cancelled()),
            };
            executed.unwrap_or_else(|error| Completion {
                outcome: error.into_outcome(),
                state: None,
            })
        })
    }
}

impl IntoStep<Remote> for RemoteStep {
    type Input = Any;
    type Output = Any;

    fn into_step(self) -> TypedStep<Any, Any> {
        let id = self.step.clone();
        TypedStep::new(Draft::new(Some(id), Arc::new(self)))
    }
}

impl fmt::Debug for RemoteStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStep")
            .field("server", &self.client.base())
            .field("path", &route::format(&self.workflow, "{run}"))
            .finish_non_exhaustive()
    }
}
