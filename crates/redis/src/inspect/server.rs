//! The questions about the server as a whole.

use std::net::ToSocketAddrs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::info::Answers;
use super::probe::{Probe, unknown};
use super::{Fact, Limits, Memory, Persistence, Replication, Software, SoftwareKind, Unknown};
use crate::Server;
use crate::wire::{Command, Failure, Reply};

/// The settings that are asked for, one by one: a server that has not all of them refuses a question for many.
const SETTINGS: [&str; 12] = [
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "appendonly",
    "appendfsync",
    "save",
    "min-replicas-to-write",
    "timeout",
    "stream-node-max-entries",
    "stream-node-max-bytes",
    "proto-max-bulk-len",
    "maxclients",
];

pub(super) async fn info(probe: &Probe) -> Answers {
    let text = probe.fact(&Command::new("INFO")).await.and_then(|reply| {
        reply
            .into_text()
            .map_err(|failure| unknown("INFO", &failure))
    });
    Answers::of_lines("INFO", text)
}

pub(super) async fn config(probe: &Probe) -> Answers {
    let name = "CONFIG GET";
    let questions = SETTINGS.map(|setting| Command::new("CONFIG GET").arg(setting));
    let replies = probe
        .ask_all(&questions)
        .await
        .map_err(|failure| unknown(name, &failure));
    let values = replies.map(|replies| {
        SETTINGS.iter().zip(replies).map(|(setting, reply)| {
            let value = setting_of(reply, setting).map_err(|failure| unknown(name, &failure));
            let value = value.and_then(|value| value.ok_or_else(|| Unknown::unsaid(name, setting)));
            ((*setting).to_owned(), value)
        })
    });
    Answers::of_each(name, values)
}

fn setting_of(reply: Reply, setting: &str) -> Result<Option<String>, Failure> {
    let fields = reply.into_result()?.into_array()?;
    Reply::field(&fields, setting)
        .map(Reply::into_text)
        .transpose()
}

pub(super) async fn user(probe: &Probe) -> Fact<String> {
    let command = Command::new("ACL WHOAMI");
    let reply = probe.fact(&command).await?;
    reply
        .into_text()
        .map_err(|failure| unknown("ACL WHOAMI", &failure))
}

/// What runs there: by `INFO`, or by `HELLO` where that is refused.
pub(super) async fn software(probe: &Probe, info: &Answers) -> Fact<Software> {
    match software_of_info(info) {
        Err(refused) => software_of_hello(probe).await.ok_or(refused),
        known => known,
    }
}

fn software_of_info(info: &Answers) -> Fact<Software> {
    // Servers that are compatible with Redis tell its version too, so theirs comes first.
    for (member, kind) in [
        ("valkey_version", SoftwareKind::Valkey),
        (
            "dragonfly_version",
            SoftwareKind::Other("dragonfly".to_owned()),
        ),
        ("keydb_version", SoftwareKind::Other("keydb".to_owned())),
        ("upstash_version", SoftwareKind::Other("upstash".to_owned())),
    ] {
        if let Ok(version) = info.text(member) {
            return Ok(Software { kind, version });
        }
    }
    Ok(Software {
        kind: SoftwareKind::Redis,
        version: info.text("redis_version")?,
    })
}

async fn software_of_hello(probe: &Probe) -> Option<Software> {
    let reply = probe.ask(&Command::new("HELLO")).await.ok()?;
    let fields = reply.into_array().ok()?;
    let text = |name: &str| Reply::field(&fields, name)?.into_text().ok();
    let kind = match text("server")?.as_str() {
        "redis" => SoftwareKind::Redis,
        "valkey" => SoftwareKind::Valkey,
        other => SoftwareKind::Other(other.to_owned()),
    };
    Some(Software {
        kind,
        version: text("version")?,
    })
}

/// Milliseconds by which the clock of the server is ahead.
pub(super) async fn clock(probe: &Probe) -> Fact<i64> {
    let before = now();
    let reply = probe.fact(&Command::new("TIME")).await?;
    let here = (before + now()) / 2;
    let there = millis_of(reply).map_err(|failure| unknown("TIME", &failure))?;
    Ok(there - here)
}

/// The time of a `TIME` reply in milliseconds since 1970.
pub(super) fn millis_of(reply: Reply) -> Result<i64, Failure> {
    let mut parts = reply.into_array()?.into_iter();
    let mut next = || parts.next().unwrap_or(Reply::Nil).into_int();
    let (seconds, micros) = (next()?, next()?);
    Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether every address of the server is on this host. A name that cannot be looked up is taken to be elsewhere.
pub(super) async fn is_loopback(server: &Server) -> bool {
    let (host, port) = server.address();
    let place = (host.to_owned(), port);
    let lookup = tokio::task::spawn_blocking(move || {
        place
            .to_socket_addrs()
            .map(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
    });
    matches!(lookup.await, Ok(Ok(true)))
}

pub(super) fn memory(info: &Answers, config: &Answers) -> Memory {
    Memory {
        policy: info
            .text("maxmemory_policy")
            .or_else(|_| config.text("maxmemory-policy")),
        used: info.number("used_memory"),
        limit: info
            .number("maxmemory")
            .or_else(|_| config.number("maxmemory")),
        evicted: info.number("evicted_keys"),
    }
}

pub(super) fn persistence(info: &Answers, config: &Answers) -> Persistence {
    let worked = |name: &str| info.text(name).map(|status| status == "ok");
    Persistence {
        append_only: info
            .switch("aof_enabled")
            .or_else(|_| config.switch("appendonly")),
        fsync: config.text("appendfsync"),
        snapshots: config.text("save"),
        healthy: worked("rdb_last_bgsave_status")
            .and_then(|snapshot| Ok(snapshot && worked("aof_last_write_status")?)),
    }
}

pub(super) fn replication(info: &Answers, config: &Answers) -> Replication {
    Replication {
        is_replica: info.text("role").map(|role| role == "slave"),
        replicas: info.number("connected_slaves"),
        needed: config.number("min-replicas-to-write"),
    }
}

pub(super) fn limits(info: &Answers, config: &Answers) -> Limits {
    Limits {
        idle_timeout: config.number("timeout").map(Duration::from_secs),
        node_entries: config.number("stream-node-max-entries"),
        node_bytes: config.number("stream-node-max-bytes"),
        client_memory: config.text("maxmemory-clients"),
        value_bytes: config.number("proto-max-bulk-len"),
        clients: info.number("connected_clients"),
        max_clients: info
            .number("maxclients")
            .or_else(|_| config.number("maxclients")),
    }
}

pub(super) fn is_cluster(info: &Answers) -> Fact<bool> {
    info.switch("cluster_enabled")
        .or_else(|_| info.text("redis_mode").map(|mode| mode == "cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_of(lines: &str) -> Answers {
        Answers::of_lines("INFO", Ok(lines.to_owned()))
    }

    #[test]
    fn servers_are_told_apart() {
        let table = [
            ("redis_version:7.0.15", SoftwareKind::Redis, (7, 0)),
            (
                "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.1.0",
                SoftwareKind::Valkey,
                (8, 1),
            ),
            (
                "redis_version:7.4.0\ndragonfly_version:df-v1.25",
                SoftwareKind::Other("dragonfly".to_owned()),
                (0, 0),
            ),
            ("redis_version:255", SoftwareKind::Redis, (255, 0)),
            ("redis_version:8.0-rc1", SoftwareKind::Redis, (8, 0)),
        ];
        for (lines, kind, release) in table {
            let software = software_of_info(&info_of(lines)).unwrap();
            assert_eq!(
                (software.release(), &software.kind),
                (release, &kind),
                "{lines}"
            );
        }
        assert!(software_of_info(&info_of("")).is_err());
    }

    #[test]
    fn where_one_command_is_silent_the_other_may_tell() {
        let silent = info_of("");
        let fields = [
            ("maxmemory-policy", "noeviction"),
            ("maxmemory", "1000"),
            ("appendonly", "yes"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), Ok(value.to_owned())));
        let config = Answers::of_each("CONFIG GET", Ok(fields));
        let memory = memory(&silent, &config);
        assert_eq!(memory.policy.as_deref(), Ok("noeviction"));
        assert_eq!(memory.limit, Ok(1000));
        assert_eq!(memory.used.unwrap_err().command, "INFO");
        assert_eq!(persistence(&silent, &config).append_only, Ok(true));
    }

    #[test]
    fn the_disk_is_healthy_only_if_both_files_are() {
        let table = [
            (
                "rdb_last_bgsave_status:ok\naof_last_write_status:ok",
                Ok(true),
            ),
            (
                "rdb_last_bgsave_status:err\naof_last_write_status:ok",
                Ok(false),
            ),
            (
                "rdb_last_bgsave_status:ok\naof_last_write_status:err",
                Ok(false),
            ),
        ];
        for (lines, healthy) in table {
            let info = info_of(lines);
            assert_eq!(persistence(&info, &info).healthy, healthy, "{lines}");
        }
    }
}
