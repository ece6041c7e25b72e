//! Conversations in which agents are at work: one run at a time, signals that reach it, and one stream over all runs.
//!
//! [`Threads`] gives signals to threads and looks after them; a [`Signal`] is what is said. The records that travel are
//! [`ThreadRecord`]s, as programs of the reference write and read them.

mod advance;
mod entry;
mod foreign;
mod keep;
mod keeper;
mod lease;
mod ledger;
#[cfg(test)]
mod model;
mod part;
mod record;
mod runtime;
mod send;
mod signal;
mod state;
mod stream;
mod sweep;
mod thread;
mod timeline;

pub(crate) use entry::{Entry, Membership};
pub use record::{
    AbortRequested, IdleSignal, RunCompleted, RunFailed, RunRef, RunRegistered, SignalEnqueued,
    SignalsCancelled, StreamPart, ThreadRecord,
};
pub use runtime::{LEASE, Threads, ThreadsBuilder};
pub use send::{Accepted, SendOptions};
pub use signal::{Contents, MAX_SIGNAL, Signal, SignalKind, SignalPart};
pub use stream::ThreadStream;
pub use thread::ThreadId;
pub use timeline::{ThreadEvent, ThreadItem};

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/agents-threads.md")]
struct Guide;
