//! Batching of deliveries.

mod policy;

pub use policy::{BatchPolicy, Coalesce, IsImmediate, Overflow};
