//! Conversations in which agents are at work: one run at a time, signals that reach it, and one stream over all runs.

mod part;
mod record;
mod signal;

pub use record::{
    AbortRequested, IdleSignal, RunCompleted, RunFailed, RunRef, RunRegistered, SignalEnqueued,
    SignalsCancelled, StreamPart, ThreadRecord,
};
pub use signal::{Contents, MAX_SIGNAL, Signal, SignalKind, SignalPart};
