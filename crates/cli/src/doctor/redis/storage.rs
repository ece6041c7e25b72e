//! What survives: full memory, a restart, the loss of the server.

use bowline_redis::inspect::{Memory, Persistence, Replication};

use super::{Finding, Report, Wanted, known, unknown};

/// Percent of the memory limit from which on it is nearly full.
const NEARLY_FULL: u64 = 90;

pub(super) fn judge(report: &Report, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = vec![judge_policy(&report.memory, wanted)];
    findings.extend(judge_evicted(&report.memory, wanted));
    findings.push(judge_room(&report.memory));
    if let Ok(true) = report.replication.is_replica {
        findings.push(Finding::problem(
            "the server is a replica, which takes no writes: nothing can be published and nobody can subscribe",
            "name its master in the URL (redis-cli role tells it)",
        ));
    }
    if wanted.is_cache {
        return findings;
    }
    findings.push(judge_disk(&report.persistence));
    if let Ok(false) = report.persistence.healthy {
        findings.push(Finding::problem(
            "the server could not write to its disk, and refuses to publish (MISCONF) unless it was told not to care",
            "look at its log; make room on its disk, or mend the permissions of its folder",
        ));
    }
    findings.extend(judge_replicas(&report.replication));
    findings
}

fn judge_policy(memory: &Memory, wanted: &Wanted) -> Finding {
    let what = "what happens when the memory is full";
    known(&memory.policy, what, |policy| {
        let remedy =
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file";
        let limited = !matches!(memory.limit, Ok(0));
        match (policy.as_str(), wanted.is_cache) {
            ("noeviction", false) => Finding::ok(
                "when the memory is full, publishing fails and nothing is thrown away (noeviction)",
            ),
            ("noeviction", true) => Finding::ok(
                "when the memory is full, events go out without being kept, and readers are told (noeviction)",
            ),
            (policy, true) => Finding::warning(
                format!(
                    "when the memory is full, histories are thrown away ({policy}); if only the counter of one is, its \
                     indices begin anew, and readers start over"
                ),
                "give the cache a server of its own with enough memory, or noeviction",
            ),
            (policy, false) if policy.starts_with("volatile-") => Finding::warning(
                format!(
                    "when the memory is full, keys with a time to live are thrown away ({policy}): leases, caches, and all \
                     streams if stream_idle_ttl is set, with what was not delivered yet"
                ),
                remedy,
            ),
            (policy, false) if limited => Finding::problem(
                format!(
                    "when the memory is full, any key may be thrown away ({policy}): whole topics, with their groups and what \
                     was not delivered yet, without a word"
                ),
                remedy,
            ),
            (policy, false) => Finding::warning(
                format!(
                    "once a memory limit is set, any key may be thrown away when it is reached ({policy}): whole topics, with \
                     their groups and what was not delivered yet"
                ),
                remedy,
            ),
        }
    })
}

fn judge_evicted(memory: &Memory, wanted: &Wanted) -> Option<Finding> {
    let evicted = *memory.evicted.as_ref().ok().filter(|count| **count > 0)?;
    let what = if wanted.is_cache {
        "histories may be among them"
    } else {
        "topics may be among them"
    };
    Some(Finding::warning(
        format!("the server threw away {evicted} keys for want of memory since it started; {what}"),
        "give it more memory (CONFIG SET maxmemory), or keep less (max_stream_length, stream_idle_ttl)",
    ))
}

fn judge_room(memory: &Memory) -> Finding {
    let (used, limit) = match (&memory.used, &memory.limit) {
        (Ok(used), Ok(limit)) => (*used, *limit),
        (Err(why), _) | (_, Err(why)) => return unknown("how much memory is left", why),
    };
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / (1024.0 * 1024.0));
    if limit == 0 {
        return Finding::ok(format!(
            "the server uses {} MiB and has no limit of its own (maxmemory 0): what bounds it is the host",
            megabytes(used)
        ));
    }
    let percent = used.saturating_mul(100) / limit;
    let what = format!(
        "the server uses {} of {} MiB ({percent} %)",
        megabytes(used),
        megabytes(limit)
    );
    if percent >= NEARLY_FULL {
        return Finding::warning(
            what,
            "raise maxmemory, or keep less (max_stream_length, stream_idle_ttl)",
        );
    }
    Finding::ok(what)
}

fn judge_disk(disk: &Persistence) -> Finding {
    known(
        &disk.append_only,
        "what survives a restart of the server",
        |append_only| {
            if *append_only {
                return judge_append_only(disk);
            }
            let remedy = "CONFIG SET appendonly yes, and the same in its configuration file";
            match disk.snapshots.as_deref() {
                Ok("") => Finding::warning(
                    "the server keeps nothing on disk: a publish is in its memory only, and everything is gone when it restarts",
                    remedy,
                ),
                Ok(times) => Finding::warning(
                    format!(
                        "the server writes snapshots only (save {times}): what was published after the last one is gone when it \
                     crashes"
                    ),
                    remedy,
                ),
                Err(_) => Finding::warning(
                    "the server appends nothing to a file: what was published after its last snapshot, if it makes any, is gone \
                 when it crashes",
                    remedy,
                ),
            }
        },
    )
}

fn judge_append_only(disk: &Persistence) -> Finding {
    match disk.fsync.as_deref() {
        Ok("always") => {
            Finding::ok("an acknowledged publish is on the disk of the server (appendfsync always)")
        }
        Ok("everysec") => Finding::ok(
            "an acknowledged publish survives a crash of the server, and is on disk within a second or two: that much may be \
             lost when its host fails (appendfsync everysec)",
        ),
        Ok(fsync) => Finding::warning(
            format!(
                "the operating system decides when a publish reaches the disk (appendfsync {fsync}): tens of seconds may be \
                 lost when the host fails"
            ),
            "CONFIG SET appendfsync everysec",
        ),
        Err(why) => unknown(
            "when a publish reaches the disk (it is appended to a file, so it survives a crash of the server)",
            why,
        ),
    }
}

fn judge_replicas(replication: &Replication) -> Option<Finding> {
    if let Ok(true) = replication.is_replica {
        return None;
    }
    let replicas = match &replication.replicas {
        Ok(replicas) => *replicas,
        Err(why) => return Some(unknown("whether there are replicas", why)),
    };
    let needed = *replication.needed.as_ref().unwrap_or(&0);
    Some(if replicas < needed {
        Finding::problem(
            format!(
                "{replicas} replicas are connected and {needed} are needed: the server refuses to publish (NOREPLICAS)"
            ),
            "start the replicas, or lower min-replicas-to-write",
        )
    } else if replicas == 0 {
        Finding::ok("there is no replica: nothing takes over when the server is lost")
    } else if needed == 0 {
        Finding::warning(
            format!(
                "{replicas} replicas follow asynchronously: a failover loses what was acknowledged and not copied yet, \
                 without a bound"
            ),
            "CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 10 bound the loss; nothing rules it out",
        )
    } else {
        Finding::ok(format!(
            "{replicas} replicas follow asynchronously, {needed} of them closely (min-replicas-to-write): a failover may lose \
             the last moments before it, acknowledged or not"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bus, cache, healthy, refused, worst};
    use super::*;
    use crate::doctor::finding::Level;

    fn changed(change: impl FnOnce(&mut Report)) -> Report {
        let mut report = healthy();
        change(&mut report);
        report
    }

    fn policy(name: &str, limit: u64) -> Report {
        changed(|report| {
            report.memory.policy = Ok(name.to_owned());
            report.memory.limit = Ok(limit);
        })
    }

    fn disk(append_only: bool, fsync: &str, snapshots: &str) -> Report {
        changed(|report| {
            report.persistence.append_only = Ok(append_only);
            report.persistence.fsync = Ok(fsync.to_owned());
            report.persistence.snapshots = Ok(snapshots.to_owned());
        })
    }

    fn replicas(replicas: u64, needed: u64) -> Report {
        changed(|report| {
            report.replication.replicas = Ok(replicas);
            report.replication.needed = Ok(needed);
        })
    }

    #[test]
    fn what_may_be_lost_is_said() {
        const MIB: u64 = 1024 * 1024;
        let table = [
            (
                policy("allkeys-lru", 64 * MIB),
                Level::Problem,
                "whole topics",
            ),
            (
                policy("allkeys-lru", 0),
                Level::Warning,
                "once a memory limit is set",
            ),
            (policy("volatile-ttl", 64 * MIB), Level::Warning, "leases"),
            (
                changed(|r| r.memory.evicted = Ok(7)),
                Level::Warning,
                "threw away 7 keys",
            ),
            (
                changed(|r| (r.memory.used, r.memory.limit) = (Ok(95 * MIB), Ok(100 * MIB))),
                Level::Warning,
                "95.0 of 100.0 MiB",
            ),
            (
                disk(false, "everysec", ""),
                Level::Warning,
                "nothing on disk",
            ),
            (
                disk(false, "everysec", "3600 1"),
                Level::Warning,
                "snapshots only (save 3600 1)",
            ),
            (disk(true, "no", ""), Level::Warning, "appendfsync no"),
            (
                changed(|r| r.persistence.healthy = Ok(false)),
                Level::Problem,
                "MISCONF",
            ),
            (
                changed(|r| r.replication.is_replica = Ok(true)),
                Level::Problem,
                "is a replica",
            ),
            (replicas(0, 1), Level::Problem, "NOREPLICAS"),
            (replicas(2, 0), Level::Warning, "asynchronously"),
            (
                changed(|r| r.memory.policy = Err(refused("CONFIG GET"))),
                Level::Unknown,
                "memory is full is not known; CONFIG GET",
            ),
            (
                changed(|r| r.persistence.append_only = Err(refused("INFO"))),
                Level::Unknown,
                "restart of the server is not known",
            ),
        ];
        for (report, level, part) in table {
            let (found, text) = worst(&judge(&report, &bus()));
            assert_eq!(found, level, "{part}: {text}");
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_careful_server_is_fine() {
        for report in [
            healthy(),
            disk(true, "always", ""),
            replicas(0, 0),
            replicas(2, 1),
        ] {
            let findings = judge(&report, &bus());
            assert_eq!(worst(&findings), (Level::Ok, String::new()), "{findings:?}");
        }
    }

    #[test]
    fn a_cache_may_lose_what_a_bus_may_not() {
        let (level, text) = worst(&judge(&policy("allkeys-lru", 1 << 30), &cache()));
        assert_eq!(level, Level::Warning);
        assert!(text.contains("indices begin anew"), "{text}");
        assert_eq!(worst(&judge(&disk(false, "no", ""), &cache())).0, Level::Ok);
    }
}
