//! The broker: routes events between the processes of one socket.

mod encode;
mod horizon;
mod queue;
mod routing;
mod topics;

#[cfg(test)]
mod model;

pub(crate) use routing::{Broker, ClientId, Counters, Limits, Outputs};
pub(crate) use topics::Membership;
