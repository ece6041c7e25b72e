//! The broker: routes events between the processes of one socket.

mod clients;
mod core;
mod encode;
mod horizon;
mod queue;
mod route;
mod topics;

#[cfg(test)]
mod model;

pub(crate) use clients::ClientId;
pub(crate) use core::{Broker, Counters};
pub(crate) use route::{Limits, Outputs};
pub(crate) use topics::Membership;
