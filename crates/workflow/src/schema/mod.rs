//! JSON schemas of what goes into steps and workflows and comes out of them.
//!
//! With the feature `schema` values are checked while a workflow runs, and pairs of steps when it is built. Without it there
//! is nothing to declare, and nothing is checked.

#[cfg(not(feature = "schema"))]
mod absent;
#[cfg(feature = "schema")]
mod compiled;
#[cfg(feature = "schema")]
mod declared;
#[cfg(feature = "schema")]
mod fault;
#[cfg(feature = "schema")]
mod guarded;
#[cfg(feature = "schema")]
mod meet;
#[cfg(feature = "schema")]
mod step;
#[cfg(feature = "schema")]
#[cfg(test)]
mod tests;

#[cfg(not(feature = "schema"))]
pub(crate) use absent::{Schemas, check};
#[cfg(feature = "schema")]
pub(crate) use compiled::Schema;
#[cfg(feature = "schema")]
pub(crate) use declared::{Part, Schemas};
#[cfg(feature = "schema")]
pub(crate) use meet::check;
