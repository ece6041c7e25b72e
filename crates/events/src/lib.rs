//! # The event bus of Bowline
//!
//! One record type, the [`Event`], moves on string topics. A topic is an append-only log, a subscription is a cursor in it:
//! live delivery and replay are the same read, so there is no seam at which an event could be lost or doubled.
//!
//! - [`PubSub`] is the contract, [`PubSubExt`] what is pleasant to call on it.
//! - [`InProcessPubSub`] is the bus of one process; other crates connect processes and hosts.
//! - [`CachingPubSub`] makes the streams of any bus resumable from an offset.
//! - [`codec`] reads and writes the tagged JSON of the reference, losing nothing.
//!
//! ## Guarantees and limits
//!
//! Every topic belongs to a [`TopicFamily`] with a [`Retention`] in bytes, events and age. A reader that falls behind what is
//! kept gets a notice, never silence. A publisher is slowed down, for a bounded time, by a reader that is slower, and never
//! stopped by one that stands still.

pub mod codec;
pub mod json;
pub mod log;
pub mod topics;

mod batch;
mod caching;
mod capabilities;
mod clock;
mod delivery;
mod error;
mod event;
mod ext;
mod family;
mod in_process;
mod lease;
mod op;
mod payload;
mod pipeline;
mod pubsub;
mod record;
mod subscription;
mod text;
mod topic;

pub use batch::{BatchPolicy, Coalesce, IsImmediate, Overflow};
pub use caching::{
    CachePage, CachePosition, CachingPubSub, EventCache, Joint, JointPublish, MemoryCache,
};
pub use capabilities::{Capabilities, DeliveryModes, Ordering, PublishSafety, Reach};
pub use codec::Dialect;
pub use delivery::{Delivery, Settle, Settlement};
pub use error::{Error, ErrorKind, Result, Truncated};
pub use event::{Event, EventId, ExtraMembers, NewEvent, Timestamp};
pub use ext::{Listener, PubSubExt};
pub use family::{Retention, TopicFamily};
pub use in_process::{InProcessPubSub, InProcessPubSubBuilder};
pub use lease::{Acquired, InProcessLeases, LeaseProvider};
pub use op::OpFuture;
pub use payload::{LocalValue, Payload};
pub use pipeline::pipeline;
pub use pubsub::{PubSub, PublishOptions, Published, StartFrom, SubscribeOptions, TopicInfo};
pub use subscription::{Fill, Subscription, SubscriptionSource};
pub use text::Text;
pub use topic::Topic;
use topic::TopicMap;
