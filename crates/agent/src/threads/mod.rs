//! Conversations in which agents are at work: one run at a time, signals that reach it, and one stream over all runs.
//!
//! [`Threads`] gives signals to threads and looks after them; a [`Signal`] is what is said. What happens elsewhere is a
//! [`Notification`] in the [`Inbox`] of a thread until it is told. The records that travel are [`ThreadRecord`]s, as programs of the
//! reference write and read them.

mod abort;
mod advance;
mod entry;
mod foreign;
mod inbox;
mod keep;
mod keeper;
mod lease;
mod ledger;
mod membership;
#[cfg(test)]
mod model;
mod notification;
mod options;
mod part;
mod presence;
mod queue;
mod record;
mod runtime;
mod send;
mod signal;
mod state;
mod state_signal;
mod stream;
mod sweep;
mod thread;
mod timeline;
mod tracking;

pub(crate) use entry::Entry;
pub use inbox::{
    Delivery, DeliveryAction, DeliveryTime, Inbox, MAX_PENDING, NOTIFICATION_RETENTION,
    NotificationFilter, NotificationPage, NotificationPolicy, NotificationRecord,
    NotificationStatus, Notified, inbox_tool,
};
pub(crate) use membership::Membership;
pub use notification::{
    MAX_NOTIFICATION_ID, MAX_NOTIFICATION_NAME, MAX_NOTIFICATION_PAYLOAD, MAX_NOTIFICATION_SUMMARY,
    Notification, Priority,
};
pub use options::{Accepted, IfActive, IfIdle, QueueOptions, SendOptions};
pub use presence::{
    Advertisement, IdleAccepted, IdleRejected, MAX_PEER, MAX_PEERS, OWNER_ACCEPTANCE,
    OWNER_DISCOVERY, OwnerRequest, OwnerResponse, Ownership, PeerDetails, PeerRequest,
    PeerResponse, PresenceRecord, ThreadPeer,
};
pub use queue::{QueueEvent, QueueEvents};
pub use record::{
    AbortRequested, IdleSignal, RunCompleted, RunFailed, RunRef, RunRegistered, SignalEnqueued,
    SignalsCancelled, StreamPart, ThreadRecord,
};
pub use runtime::{LEASE, Threads, ThreadsBuilder};
pub use signal::{Contents, MAX_SIGNAL, Signal, SignalKind, SignalPart};
pub use state_signal::{StateMode, StateSignal};
pub use stream::ThreadStream;
pub use thread::ThreadId;
pub use timeline::{ThreadEvent, ThreadItem};

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/agents-threads.md")]
struct Guide;
