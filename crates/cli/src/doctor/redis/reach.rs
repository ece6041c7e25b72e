//! Whether the right server is there, how far away it is, and who can listen.

use bowline_redis::inspect::SoftwareKind;

use super::{Finding, Report, Software, Wanted, known, unknown};

/// The first Redis that has all that the bus needs.
const OLDEST: (u32, u32) = (7, 0);

/// A round trip that makes one publish at a time slow.
const FAR_MICROS: u128 = 5_000;

/// Clocks that differ by more than this make times misleading.
const SKEW_MILLIS: i64 = 1_000;

pub(super) fn judge(report: &Report, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = vec![
        known(&report.software, "what runs there", |software| {
            judge_software(software, wanted)
        }),
        judge_distance(report),
    ];
    findings.push(judge_secrecy(report, wanted));
    if !wanted.is_cache {
        findings.push(judge_cluster(report, wanted));
        findings.push(judge_clock(report));
    }
    findings
}

/// The name of the program.
pub(super) fn name(software: &Software) -> String {
    match &software.kind {
        SoftwareKind::Redis => "redis".to_owned(),
        SoftwareKind::Valkey => "valkey".to_owned(),
        SoftwareKind::Other(name) => name.clone(),
    }
}

fn judge_software(software: &Software, wanted: &Wanted) -> Finding {
    let (name, version) = (name(software), &software.version);
    match software.kind {
        SoftwareKind::Redis if software.release() < OLDEST && wanted.is_cache => Finding::warning(
            format!("the server is {name} {version}; the cache is tested with Redis 7.0 and newer"),
            "upgrade to Redis 7.0 or newer, or to Valkey",
        ),
        SoftwareKind::Redis if software.release() < OLDEST => Finding::problem(
            format!(
                "the server is {name} {version}: it does not count the entries of a stream, so there are no positions, and \
                 pending entries that were trimmed stay for ever"
            ),
            "upgrade to Redis 7.0 or newer, or to Valkey",
        ),
        SoftwareKind::Redis | SoftwareKind::Valkey => {
            Finding::ok(format!("the server is {name} {version}"))
        }
        SoftwareKind::Other(_) => Finding::warning(
            format!("the server is {name} {version}, with which Bowline is not tested"),
            "watch group redelivery and blocking reads, or use Redis 7.0 or newer, or Valkey",
        ),
    }
}

fn judge_distance(report: &Report) -> Finding {
    let micros = report.round_trip.as_micros();
    let millis = report.round_trip.as_secs_f64() * 1000.0;
    if micros >= FAR_MICROS {
        return Finding::warning(
            format!("a round trip takes {millis:.1} ms, and a publish at least as long"),
            "publish without waiting for each event, or bring the server nearer",
        );
    }
    Finding::ok(format!(
        "a round trip takes {millis:.2} ms: a publish, which waits for the server, takes at least as long"
    ))
}

fn judge_secrecy(report: &Report, wanted: &Wanted) -> Finding {
    if wanted.is_tls {
        return Finding::ok("the connection is encrypted");
    }
    if report.is_loopback {
        return Finding::ok("the connection is not encrypted, and does not leave this host");
    }
    if wanted.has_login {
        return Finding::warning(
            "the connection is not encrypted: password and events can be read on the way",
            "use rediss://, or a tunnel",
        );
    }
    Finding::warning(
        "the connection is not encrypted and there is no login: who reaches the port reads, writes and deletes everything",
        "set a password or users (ACL), and use rediss://",
    )
}

fn judge_cluster(report: &Report, wanted: &Wanted) -> Finding {
    let Ok(is_cluster) = &report.is_cluster else {
        return Finding::unknown(
            "whether the server is part of a cluster is not known",
            "if commands fail with MOVED, add cluster=true to the bus URL",
        );
    };
    match (is_cluster, wanted.cluster) {
        (true, false) => Finding::problem(
            "the server is part of a cluster: topics on other nodes cannot be reached",
            "add cluster=true to the bus URL",
        ),
        (false, true) => Finding::problem(
            "the bus URL says cluster=true, and the server is not part of a cluster",
            "remove cluster=true",
        ),
        (true, true) => Finding::ok(
            "the server is part of a cluster: each topic is on one node, and what is said here is about the node that was asked",
        ),
        (false, false) => Finding::ok("the server stands alone, as the bus URL says"),
    }
}

fn judge_clock(report: &Report) -> Finding {
    let half = report.round_trip.as_millis() / 2 + 1;
    match &report.clock_ahead {
        Ok(ahead) if ahead.abs() > SKEW_MILLIS => {
            let (by, where_to) = (ahead.abs(), if *ahead > 0 { "ahead of" } else { "behind" });
            Finding::warning(
                format!(
                    "the clock of the server is {by} ms {where_to} the one here: entries are dated by one and events by the other"
                ),
                "let both follow a time service (chronyc tracking); leases and reclaim use the server's clock and are not affected",
            )
        }
        Ok(ahead) => Finding::ok(format!(
            "the clocks agree ({} ms apart, measured to {half} ms)",
            ahead.abs()
        )),
        Err(why) => unknown("how far the clocks are apart", why),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{bus, healthy, refused, worst};
    use super::*;
    use crate::doctor::finding::Level;

    fn software(kind: SoftwareKind, version: &str) -> Report {
        let mut report = healthy();
        report.software = Ok(Software {
            kind,
            version: version.to_owned(),
        });
        report
    }

    fn changed(change: impl FnOnce(&mut Report)) -> Report {
        let mut report = healthy();
        change(&mut report);
        report
    }

    #[test]
    fn what_is_wrong_is_found() {
        let far = changed(|report| report.is_loopback = false);
        let secret = Wanted {
            has_login: true,
            ..bus()
        };
        let cluster = Wanted {
            cluster: true,
            ..bus()
        };
        let table = [
            (
                software(SoftwareKind::Redis, "6.2.7"),
                bus(),
                Level::Problem,
                "6.2.7",
            ),
            (
                software(SoftwareKind::Other("keydb".into()), "6.3"),
                bus(),
                Level::Warning,
                "not tested",
            ),
            (
                changed(|report| report.round_trip = Duration::from_millis(30)),
                bus(),
                Level::Warning,
                "30.0 ms",
            ),
            (far.clone(), secret, Level::Warning, "password and events"),
            (far, bus(), Level::Warning, "no login"),
            (
                changed(|report| report.is_cluster = Ok(true)),
                bus(),
                Level::Problem,
                "other nodes",
            ),
            (healthy(), cluster, Level::Problem, "not part of a cluster"),
            (
                changed(|report| report.clock_ahead = Ok(-90_000)),
                bus(),
                Level::Warning,
                "90000 ms behind",
            ),
            (
                changed(|report| report.clock_ahead = Err(refused("TIME"))),
                bus(),
                Level::Unknown,
                "TIME: NOPERM",
            ),
        ];
        for (report, wanted, level, part) in table {
            let (found, text) = worst(&judge(&report, &wanted));
            assert_eq!(found, level, "{part}: {text}");
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_is_right_is_fine() {
        let valkey = software(SoftwareKind::Valkey, "8.0.1");
        let encrypted = changed(|report| report.is_loopback = false);
        let tls = Wanted {
            is_tls: true,
            ..bus()
        };
        for (report, wanted) in [(healthy(), bus()), (valkey, bus()), (encrypted, tls)] {
            assert_eq!(worst(&judge(&report, &wanted)).0, Level::Ok);
        }
    }
}
