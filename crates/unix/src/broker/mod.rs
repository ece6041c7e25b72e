//! The broker: routes events between the processes of one socket.

mod encode;
mod horizon;
mod queue;
mod routing;
mod topics;

pub(crate) use queue::STALLED_AFTER;
pub(crate) use routing::{Broker, ClientId, Counters, Limits, LocalEvent, Outputs};
pub(crate) use topics::Membership;
