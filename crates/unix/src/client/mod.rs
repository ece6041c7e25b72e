//! The participant's own side: what it is subscribed to, what it has to send, what it has seen.

mod memberships;
mod recent;
mod window;

#[cfg(test)]
mod model;

pub(crate) use memberships::{Acknowledged, Memberships};
pub(crate) use recent::Recent;
pub(crate) use window::{Chunk, Ending, Window};
