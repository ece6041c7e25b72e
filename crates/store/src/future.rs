//! The future of a store operation.

use bowline_events::OpFuture;

use crate::Error;

/// What a [`Store`](crate::Store) method returns: a future that costs no allocation when the result is already known.
pub type StoreFuture<'a, T> = OpFuture<'a, T, Error>;
