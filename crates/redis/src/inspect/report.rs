//! What was found out about a server.

use std::time::Duration;

use super::{Fact, Permissions};

/// What a server told about itself. Produced by [`inspect`](super::inspect()).
#[derive(Debug, Clone)]
pub struct Report {
    /// What runs there.
    pub software: Fact<Software>,
    /// The time of a bare request, the median of a few.
    pub round_trip: Duration,
    /// Milliseconds by which the clock of the server is ahead of the clock here, to within half a round trip.
    pub clock_ahead: Fact<i64>,
    /// Whether all addresses of the server are on this host.
    pub is_loopback: bool,
    /// The user that the server takes us for.
    pub user: Fact<String>,
    /// How much memory there is, and what happens when it is full.
    pub memory: Memory,
    /// What survives a restart of the server.
    pub persistence: Persistence,
    /// What survives the loss of the server.
    pub replication: Replication,
    /// Settings that a bus can run into.
    pub limits: Limits,
    /// Whether the server is a node of a cluster.
    pub is_cluster: Fact<bool>,
    /// The commands that a bus needs, and whether this user may use them.
    pub permissions: Permissions,
}

/// The program and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// What kind of server it is.
    pub kind: SoftwareKind,
    /// Its version, as it tells it.
    pub version: String,
}

impl Software {
    /// The first two numbers of the version; 0 where there is none.
    pub fn release(&self) -> (u32, u32) {
        let mut numbers = self.version.split(['.', '-']).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
        (next(), next())
    }
}

/// A kind of server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoftwareKind {
    /// Redis.
    Redis,
    /// Valkey, whose first version corresponds to Redis 7.2.
    Valkey,
    /// Another server that speaks the protocol, by the name it gives.
    Other(String),
}

/// The memory of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// What happens when the memory is full: the name of the eviction policy.
    pub policy: Fact<String>,
    /// Bytes in use.
    pub used: Fact<u64>,
    /// Bytes that may be used; 0 means no limit.
    pub limit: Fact<u64>,
    /// Keys that were thrown away for want of memory since the server started.
    pub evicted: Fact<u64>,
}

/// How the server writes to its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persistence {
    /// Whether every change is appended to a file.
    pub append_only: Fact<bool>,
    /// When that file reaches the disk: `always`, `everysec` or `no`.
    pub fsync: Fact<String>,
    /// When snapshots are written, as the server puts it; empty means never.
    pub snapshots: Fact<String>,
    /// Whether the last write to the disk worked, for the append-only file and for the snapshot.
    pub healthy: Fact<bool>,
}

/// How the server passes changes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// Whether the server itself is a replica, which takes no writes.
    pub is_replica: Fact<bool>,
    /// Replicas that are connected.
    pub replicas: Fact<u64>,
    /// Replicas without which the server refuses writes.
    pub needed: Fact<u64>,
}

/// Settings that a bus can run into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// After this time the server closes the connection of an idle client; zero means never. Clients in a blocking read are
    /// not idle.
    pub idle_timeout: Fact<Duration>,
    /// Entries of one node of a stream; trimming removes whole nodes. 0 means no limit.
    pub node_entries: Fact<u64>,
    /// Bytes of one node of a stream; 0 means no limit.
    pub node_bytes: Fact<u64>,
    /// The memory that the buffers of all clients may take, as the server puts it; `0` means no limit.
    pub client_memory: Fact<String>,
    /// Bytes of one value at most.
    pub value_bytes: Fact<u64>,
    /// Connections that are open.
    pub clients: Fact<u64>,
    /// Connections that may be open.
    pub max_clients: Fact<u64>,
}
