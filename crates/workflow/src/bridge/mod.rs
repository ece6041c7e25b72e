//! Working beside Node processes of the reference (Mastra core 1.71): their steps here, our steps there, and runs of either
//! side started from the other one.
//!
//! | who orchestrates | who executes | with |
//! |---|---|---|
//! | Node | we | [`StepServer`], behind any HTTP server or `StepEndpoint` (feature `bridge-server`) |
//! | we | Node | `RemoteStep` (feature `bridge-client`) |
//! | Node, started by us | Node | [`NodeWorkflows`] on a bus that we share |
//! | we, started by Node | we | [`ExposedWorkflows`] on a bus that we share |

mod chunks;
mod debts;
#[cfg(feature = "bridge-server")]
mod endpoint;
mod executions;
mod exposed;
mod exposed_events;
mod finish;
mod members;
mod node_event;
mod node_result;
mod node_workflows;
#[cfg(feature = "bridge-client")]
mod remote_answer;
#[cfg(feature = "bridge-client")]
mod remote_request;
#[cfg(feature = "bridge-client")]
mod remote_step;
#[cfg(any(feature = "bridge-client", feature = "bridge-server"))]
mod route;
#[cfg(feature = "bridge-client")]
mod step_client;
mod step_request;
mod step_response;
mod step_result;
mod step_server;
#[cfg(feature = "bridge-server")]
mod token;

#[cfg(feature = "bridge-server")]
pub use endpoint::{StepEndpoint, StepEndpointBuilder};
pub use exposed::{ExposedWorkflows, ExposedWorkflowsBuilder};
pub use node_result::NodeResult;
pub use node_workflows::{NodeRun, NodeWorkflows};
#[cfg(feature = "bridge-client")]
pub use remote_step::{Remote, RemoteStep};
#[cfg(feature = "bridge-client")]
pub use step_client::StepClient;
pub use step_response::StepResponse;
pub use step_server::{StepServer, StepServerBuilder};

/// The examples of the guide.
#[cfg(all(doctest, feature = "bridge-client", feature = "bridge-server"))]
#[doc = include_str!("../../../../docs/workflows-interop.md")]
mod guide {}
