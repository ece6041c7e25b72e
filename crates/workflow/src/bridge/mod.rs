//! Working beside Node processes of the reference (Mastra core 1.71): their steps here, our steps there, and runs of either
//! side started from the other one.
//!
//! | who orchestrates | who executes | with |
//! |---|---|---|
//! | Node | we | [`StepServer`] |

mod chunks;
mod executions;
mod members;
mod step_request;
mod step_response;
mod step_result;
mod step_server;

pub use step_response::StepResponse;
pub use step_server::{StepServer, StepServerBuilder};
