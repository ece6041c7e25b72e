//! A server that is as it should be, to be changed by tests.

use std::time::Duration;

use bowline_redis::inspect::{
    Limits, Memory, Permission, Permissions, Persistence, Replication, Report, Software,
    SoftwareKind, Unknown, Verdict,
};

use super::{EVENT_BYTES, STREAM_LENGTH, Wanted};
use crate::doctor::finding::{Finding, Level};

pub(super) fn healthy() -> Report {
    let allowed = |command, without, is_essential| Permission {
        command,
        without,
        is_essential,
        verdict: Verdict::Allowed,
    };
    Report {
        software: Ok(Software {
            kind: SoftwareKind::Redis,
            version: "7.0.15".to_owned(),
        }),
        round_trip: Duration::from_micros(120),
        clock_ahead: Ok(3),
        is_loopback: true,
        user: Ok("default".to_owned()),
        memory: Memory {
            policy: Ok("noeviction".to_owned()),
            used: Ok(1 << 20),
            limit: Ok(1 << 30),
            evicted: Ok(0),
        },
        persistence: Persistence {
            append_only: Ok(true),
            fsync: Ok("everysec".to_owned()),
            snapshots: Ok(String::new()),
            healthy: Ok(true),
        },
        replication: Replication {
            is_replica: Ok(false),
            replicas: Ok(0),
            needed: Ok(0),
        },
        limits: Limits {
            idle_timeout: Ok(Duration::ZERO),
            node_entries: Ok(100),
            node_bytes: Ok(4096),
            client_memory: Ok("0".to_owned()),
            value_bytes: Ok(512 << 20),
            clients: Ok(10),
            max_clients: Ok(10_000),
        },
        is_cluster: Ok(false),
        permissions: Permissions {
            asked: true,
            commands: vec![
                allowed("XADD", "nothing can be published", true),
                allowed("XPENDING", "crashed members keep their events", false),
                allowed("XCLAIM", "crashed members keep their events", false),
            ],
        },
    }
}

pub(super) fn bus() -> Wanted {
    Wanted {
        is_cache: false,
        is_tls: false,
        has_login: false,
        cluster: false,
        keys: "mastra:topic:".to_owned(),
        max_event_bytes: EVENT_BYTES,
        max_stream_length: Some(STREAM_LENGTH),
    }
}

pub(super) fn cache() -> Wanted {
    Wanted {
        is_cache: true,
        ..bus()
    }
}

pub(super) fn refused(command: &'static str) -> Unknown {
    Unknown {
        command,
        reason: "NOPERM".to_owned(),
    }
}

/// The worst level, and the text of all findings at that level.
pub(super) fn worst(findings: &[Finding]) -> (Level, String) {
    for level in [Level::Problem, Level::Warning, Level::Unknown] {
        let bad: Vec<_> = findings.iter().filter(|f| f.level == level).collect();
        if !bad.is_empty() {
            assert!(bad.iter().all(|f| f.remedy.is_some()), "{bad:?}");
            let text = bad.iter().map(|f| f.what.as_str()).collect::<Vec<_>>();
            return (level, text.join("; "));
        }
    }
    (Level::Ok, String::new())
}
