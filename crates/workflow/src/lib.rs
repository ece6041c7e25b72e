//! # Durable workflows
//!
//! A workflow is a graph of steps. A run of it survives `kill -9`: what a step returned is committed to a
//! [store](bowline_store::Store) together with what follows from it, and any process with the same workflow goes on from there.

pub mod bridge;
pub mod builder;
mod clock;
mod context;
mod data;
mod definition;
mod engine;
mod error;
mod graph;
mod json;
mod machine;
pub mod outlet;
mod predicate;
pub mod schedule;
mod schema;
mod step;

/// As in `bowline-events`.
pub use bowline_events::Topic;
pub use builder::{When, WorkflowBuilder, when};
pub use clock::{Clock, SystemClock};
pub use context::{StepContext, TestContext};
pub use data::Data;
pub use definition::{Dispatch, RetryPolicy, Workflow};
pub use engine::{
    Engine, EngineBuilder, Run, RunCursor, RunEvent, RunHistory, RunInfo, RunPage, RunQuery,
    RunResult, RunStream, RunWatch, Start, TimeTravel, WatchEvent,
};
pub use error::{Error, ErrorKind, Result};
pub use graph::StepRegistry;
pub use machine::{PartKind, Resume, RunPart, RunStatus, StepResult, StepStatus, SuspendedStep};
pub use predicate::{Operand, Predicate, Scalar};
pub use step::{
    Any, Feeds, FeedsEach, IntoStep, Shape, Step, StepError, Tripwire, Typed, TypedStep,
    Undeclared, step,
};

/// Compiles and runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/workflows.md")]
mod guide {}
