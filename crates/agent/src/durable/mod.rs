//! The loop of a durable agent: rounds of a model and of tools, as a workflow.
//!
//! A call of the model and a call of a tool are steps. What they bring is committed before anything follows from it; what they say
//! on their way goes straight to the stream of the run. That a run waits or has ended is told after the commit.

mod begun;
mod ears;
mod input;
mod llm;
pub(crate) mod mailbox;
mod mapping;
mod outlet;
pub(crate) mod processing;
mod report;
mod request;
pub(crate) mod stop;
pub(crate) mod tool_call;
mod transcript;
pub(crate) mod workflow;
mod writer;

pub(crate) use begun::Begun;
pub(crate) use ears::Ears;
pub(crate) use input::{KIND, RunInput};
pub(crate) use transcript::RUN;

use bowline_workflow::StepError;

use crate::{Error, ErrorKind};

/// The bus is away: the step is tried again.
fn bus_failure(error: bowline_events::Error) -> StepError {
    StepError::fail("BusError", error.to_string()).cause(error)
}

/// The store is away: the step is tried again. What it will never take is not tried again.
fn store_failure(error: Error) -> StepError {
    let never = matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::InvalidInput | ErrorKind::TooLarge
    );
    let failure = StepError::fail("StoreError", error.to_string()).cause(error);
    if never { failure.no_retry() } else { failure }
}

/// The run has a state that this program does not understand: trying again does not help.
fn damaged(error: bowline_workflow::Error) -> StepError {
    StepError::from(error).no_retry()
}
