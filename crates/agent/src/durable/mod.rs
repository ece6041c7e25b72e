//! The loop of a durable agent: rounds of a model and of tools, as a workflow.
//!
//! A call of the model and a call of a tool are steps. What they bring is committed before anything follows from it; what they say
//! on their way goes straight to the stream of the run. That a run waits or has ended is told after the commit.

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
mod tool_call;
mod transcript;
pub(crate) mod workflow;
mod writer;

pub(crate) use ears::Ears;
pub(crate) use input::{KIND, RunInput};
pub(crate) use transcript::RUN;

use bowline_workflow::StepError;

use crate::Error;

/// The bus is away: the step is tried again.
fn bus_failure(error: bowline_events::Error) -> StepError {
    StepError::fail("BusError", error.to_string()).cause(error)
}

/// The store is away: the step is tried again.
fn store_failure(error: Error) -> StepError {
    StepError::fail("StoreError", error.to_string()).cause(error)
}
