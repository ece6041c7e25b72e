//! Who is there: processes that have claimed threads, and agents that want to be found. Nothing of it is kept; whoever wants to know
//! asks on the bus, as programs of the reference do.

mod ask;
mod deliver;
mod handled;
mod owner;
mod peer;
mod record;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{Text, Timestamp};

pub use owner::Ownership;
pub use peer::{Advertisement, MAX_PEER, MAX_PEERS, PeerDetails, ThreadPeer};
pub use record::{
    IdleAccepted, IdleRejected, OwnerRequest, OwnerResponse, PeerRequest, PeerResponse,
    PresenceRecord,
};

use handled::Handled;

/// How long it is asked who has claimed a thread unless set, as in the reference.
pub const OWNER_DISCOVERY: Duration = Duration::from_millis(100);
/// How long a claimed owner has to take a signal unless set, as in the reference.
pub const OWNER_ACCEPTANCE: Duration = Duration::from_secs(5);

/// How much the clocks of hosts may differ before what has just been asked seems to be of the past.
const SKEW: i64 = 5000;

/// What this process says of itself.
#[derive(Debug)]
pub(super) struct Presence {
    pub(super) discovery: Duration,
    pub(super) acceptance: Duration,
    /// The keys of the threads that it has claimed.
    claims: Mutex<HashSet<Text>>,
    /// Its agents that want to be found, by the ids of the peers.
    peers: Mutex<HashMap<Text, Arc<Mutex<ThreadPeer>>>>,
    handled: Mutex<Handled>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            discovery: OWNER_DISCOVERY,
            acceptance: OWNER_ACCEPTANCE,
            claims: Mutex::default(),
            peers: Mutex::default(),
            handled: Mutex::default(),
        }
    }
}

impl Presence {
    pub(super) fn has_claimed(&self, key: &str) -> bool {
        locked(&self.claims).contains(key)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nobody waits any more for an answer to a request. Those without a time have somebody.
fn is_stale(expires_at: Option<i64>) -> bool {
    let late = |at: i64| Timestamp::now().as_millis().saturating_sub(at) > SKEW;
    expires_at.is_some_and(late)
}
