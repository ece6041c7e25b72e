//! Which capability a clause is about.

use bowline_events::{Capabilities, Ordering, Reach};

/// What a backend must declare for a clause to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// [`Capabilities::replay`].
    Replay,
    /// [`Capabilities::groups`].
    Groups,
    /// [`Capabilities::group_redelivery`].
    GroupRedelivery,
    /// [`Capabilities::group_redelivery_moves`].
    GroupRedeliveryMoves,
    /// [`Capabilities::fanout_redelivery`].
    FanoutRedelivery,
    /// No [`Capabilities::fanout_redelivery`].
    NoFanoutRedelivery,
    /// [`Capabilities::private_redelivery`].
    PrivateRedelivery,
    /// No [`Capabilities::private_redelivery`].
    SharedRedelivery,
    /// [`Capabilities::max_deliveries`] is set.
    DeliveryCap,
    /// [`Capabilities::max_deliveries`] is not set.
    NoDeliveryCap,
    /// [`Capabilities::leases`].
    Leases,
    /// [`Capabilities::local_only`].
    LocalOnly,
    /// [`Capabilities::batching`].
    Batching,
    /// [`Capabilities::clear`].
    Clear,
    /// [`Capabilities::list_topics`].
    ListTopics,
    /// [`Capabilities::max_event_bytes`] is set.
    SizeLimit,
    /// [`Capabilities::ordering`] promises the order of one publisher at least.
    Order,
    /// [`Capabilities::reach`] is one process.
    OneProcess,
}

impl Need {
    /// All needs.
    pub const ALL: [Self; 18] = [
        Self::Replay,
        Self::Groups,
        Self::GroupRedelivery,
        Self::GroupRedeliveryMoves,
        Self::FanoutRedelivery,
        Self::NoFanoutRedelivery,
        Self::PrivateRedelivery,
        Self::SharedRedelivery,
        Self::DeliveryCap,
        Self::NoDeliveryCap,
        Self::Leases,
        Self::LocalOnly,
        Self::Batching,
        Self::Clear,
        Self::ListTopics,
        Self::SizeLimit,
        Self::Order,
        Self::OneProcess,
    ];

    /// Whether `declared` fulfils this need.
    pub fn is_met_by(self, declared: &Capabilities) -> bool {
        match self {
            Self::Replay => declared.replay,
            Self::Groups => declared.groups,
            Self::GroupRedelivery => declared.group_redelivery,
            Self::GroupRedeliveryMoves => declared.group_redelivery_moves,
            Self::FanoutRedelivery => declared.fanout_redelivery,
            Self::NoFanoutRedelivery => !declared.fanout_redelivery,
            Self::PrivateRedelivery => declared.private_redelivery,
            Self::SharedRedelivery => !declared.private_redelivery,
            Self::DeliveryCap => declared.max_deliveries.is_some(),
            Self::NoDeliveryCap => declared.max_deliveries.is_none(),
            Self::Leases => declared.leases,
            Self::LocalOnly => declared.local_only,
            Self::Batching => declared.batching,
            Self::Clear => declared.clear,
            Self::ListTopics => declared.list_topics,
            Self::SizeLimit => declared.max_event_bytes.is_some(),
            Self::Order => declared.ordering != Ordering::None,
            Self::OneProcess => declared.reach == Reach::Process,
        }
    }

    /// The words that a report uses for a need that is not met.
    pub fn label(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Groups => "groups",
            Self::GroupRedelivery => "group_redelivery",
            Self::GroupRedeliveryMoves => "group_redelivery_moves",
            Self::FanoutRedelivery => "fanout_redelivery",
            Self::NoFanoutRedelivery => "no fanout_redelivery",
            Self::PrivateRedelivery => "private_redelivery",
            Self::SharedRedelivery => "no private_redelivery",
            Self::DeliveryCap => "max_deliveries",
            Self::NoDeliveryCap => "no max_deliveries",
            Self::Leases => "leases",
            Self::LocalOnly => "local_only",
            Self::Batching => "batching",
            Self::Clear => "clear",
            Self::ListTopics => "list_topics",
            Self::SizeLimit => "max_event_bytes",
            Self::Order => "ordering",
            Self::OneProcess => "reach of one process",
        }
    }
}
