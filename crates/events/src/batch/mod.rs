//! Batching of deliveries.

mod batcher;
mod policy;
mod source;

pub use policy::{BatchPolicy, Coalesce, IsImmediate, Overflow};
pub(crate) use source::batched;
