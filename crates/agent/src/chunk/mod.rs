//! What travels on the stream of a run: chunks, in the form of the wire.

use crate::Data;

/// A piece of the stream of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Chunk {
    /// What this version does not know, as it is.
    Other(Data),
}
