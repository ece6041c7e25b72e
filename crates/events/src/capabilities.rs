//! What a backend can do, as data.

use std::time::Duration;

/// How the framework gets work from a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryModes {
    /// Consumers take from a shared queue: groups are reliable.
    pub pull: bool,
    /// The bus pushes to every process.
    pub push: bool,
}

/// In which order the events of one topic reach a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ordering {
    /// One total order per topic.
    Topic,
    /// The order in which one publisher published; events of several publishers interleave the same way for all readers
    /// as long as the broker lives.
    Publisher,
    /// None.
    None,
}

/// How safe an event is once `publish` has resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishSafety {
    /// In the memory of this process.
    Memory,
    /// In the ordered send window of this process or already with the broker, which keeps it in memory: it survives a broker
    /// that restarts before it read the event, not a crash of this process.
    SendWindow,
    /// Stored by a server.
    Stored,
}

/// How far the bus reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reach {
    /// One process.
    Process,
    /// All processes of one host.
    Host,
    /// Several hosts.
    Network,
}

/// What a backend can do. Declared by the backend, shown in the documentation, and used to choose conformance clauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Short name of the backend.
    pub name: &'static str,
    /// Keeps events for readers that come later; `history`, `Earliest` and `Offset` work.
    pub replay: bool,
    /// Competing consumers.
    pub groups: bool,
    /// A nack of a grouped delivery leads to a redelivery.
    pub group_redelivery: bool,
    /// A nacked grouped event may go to another member than the one that refused it.
    pub group_redelivery_moves: bool,
    /// A nack of an ungrouped delivery leads to a redelivery to the same subscriber.
    pub fanout_redelivery: bool,
    /// A redelivery is seen only by the group, or the ungrouped subscriber, that refused the event. Without it the event comes
    /// again to every group and every ungrouped subscriber of the topic, as the next attempt and with the same id.
    pub private_redelivery: bool,
    /// Deliveries of one event at most, the first included; `None` when the backend sets no cap.
    pub max_deliveries: Option<u32>,
    /// Delay before the first redelivery.
    pub redelivery_delay: Duration,
    /// A [`LeaseProvider`](crate::LeaseProvider) is offered.
    pub leases: bool,
    /// `local_only` publishing stays in the process.
    pub local_only: bool,
    /// Batch policies are honoured.
    pub batching: bool,
    /// `clear_topic` removes history.
    pub clear: bool,
    /// `topics` lists the topics that the bus knows.
    pub list_topics: bool,
    /// Bytes of one event on the wire at most; `None` when only memory limits it.
    pub max_event_bytes: Option<usize>,
    /// Order of delivery.
    pub ordering: Ordering,
    /// What `publish` promises.
    pub publish_safety: PublishSafety,
    /// How far the bus reaches.
    pub reach: Reach,
    /// How workers take their work.
    pub modes: DeliveryModes,
}
