//! Workflows without their functions.

use std::sync::Arc;

use bowline_events::{Text, Timestamp};

use super::write;
use crate::definition::{
    BoxFuture, ConditionFunction, InstantFunction, StepFunction, WidthFunction,
};
use crate::machine::{Completion, Failure, Outcome};
use crate::{Data, Error, ErrorKind, Result, StepContext, Workflow};

impl Workflow {
    /// The graph with everything else that decides how a run goes on, such as how often what fails is tried again. With it
    /// [`outline`](Self::outline) makes a workflow that can replay the journals of this one.
    pub fn to_outline(&self) -> Data {
        write::outline(self)
    }
}

/// Stands for a function that this program does not have.
#[derive(Debug)]
pub(super) struct Missing {
    /// What the graph says of it.
    source: String,
}

impl Missing {
    pub(super) fn new(source: String) -> Arc<Self> {
        Arc::new(Self { source })
    }
}

fn absent(id: &Text) -> String {
    format!("this program has the outline of {id:?}, not its function; run it where it was written")
}

fn refuse<T: Send + 'static>(context: &StepContext) -> BoxFuture<Result<T>> {
    let message = absent(context.step_id());
    let error = Error::new(ErrorKind::NotFound, "evaluate", message);
    let error = error.with_subject(context.workflow_id().clone());
    Box::pin(std::future::ready(Err(error)))
}

impl StepFunction for Missing {
    fn call(&self, context: StepContext) -> BoxFuture<Completion> {
        let failure = Failure::new("NotFound", &absent(context.step_id())).last();
        Box::pin(std::future::ready(Outcome::Failed(failure).into()))
    }

    fn source(&self) -> &str {
        &self.source
    }
}

impl ConditionFunction for Missing {
    fn call(&self, context: StepContext) -> BoxFuture<Result<bool>> {
        refuse(&context)
    }

    fn source(&self) -> &str {
        &self.source
    }
}

impl WidthFunction for Missing {
    fn call(&self, context: StepContext) -> BoxFuture<Result<usize>> {
        refuse(&context)
    }

    fn source(&self) -> &str {
        &self.source
    }
}

impl InstantFunction for Missing {
    fn call(&self, context: StepContext) -> BoxFuture<Result<Timestamp>> {
        refuse(&context)
    }

    fn source(&self) -> &str {
        &self.source
    }
}

/// Stands for a function that returns a duration.
#[derive(Debug)]
pub(super) struct MissingDuration(pub(super) Arc<Missing>);

impl InstantFunction for MissingDuration {
    fn call(&self, context: StepContext) -> BoxFuture<Result<Timestamp>> {
        refuse(&context)
    }

    fn source(&self) -> &str {
        &self.0.source
    }

    fn is_duration(&self) -> bool {
        true
    }
}
