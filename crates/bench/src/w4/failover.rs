//! The broker is killed while events are published at a rate, and every outcome is accounted for.

use std::collections::{BTreeSet, HashSet};
use std::thread::sleep;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::with_roles;
use crate::Result;
use crate::clock::{now_ns, round, seconds};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::roles::Roles;

const SUBSCRIBERS: usize = 2;
const PUBLISH_SECONDS: f64 = 3.0;
/// A subscriber that misses one of so many events at the end is deaf.
const TAIL: usize = 200;
const STUCK_NS: u64 = 1_000_000_000;

/// Number, call, settled, success.
type Entry = (u64, u64, Option<u64>, Option<bool>);

#[derive(Debug, Deserialize)]
struct Published {
    log: Vec<Entry>,
    broker: bool,
}

#[derive(Debug, Deserialize)]
struct Traced {
    trace: Vec<(u64, u64)>,
    broker: bool,
}

/// What one subscriber went through in one round.
#[derive(Debug, Default)]
struct Suffered {
    recovery_ms: Option<f64>,
    lost_before: u64,
    lost_during: u64,
    duplicates: u64,
    reordered: u64,
    deaf: bool,
}

/// What one round came to.
#[derive(Debug, Default)]
struct Round {
    published: u64,
    subscribers: Vec<Suffered>,
    rejected: u64,
    pending: u64,
    stuck: u64,
    longest_stall_ms: f64,
    brokers: usize,
    unhandled: u64,
}

fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn judge_subscriber(trace: &[(u64, u64)], log: &[Entry], killed_ns: u64) -> Suffered {
    let received: HashSet<u64> = trace.iter().map(|(seq, _)| *seq).collect();
    let lost = |during: bool| {
        let missing = log.iter().filter(|(seq, _, done, ok)| {
            *ok == Some(true) && !received.contains(seq) && (*done > Some(killed_ns)) == during
        });
        missing.count() as u64
    };
    let called_after = |seq: &u64| {
        log.get(*seq as usize)
            .is_some_and(|entry| entry.1 > killed_ns)
    };
    let back = trace.iter().find(|(seq, _)| called_after(seq));
    Suffered {
        recovery_ms: back.map(|(_, ns)| milliseconds(ns.saturating_sub(killed_ns))),
        lost_before: lost(false),
        lost_during: lost(true),
        duplicates: (trace.len() - received.len()) as u64,
        reordered: trace
            .windows(2)
            .filter(|pair| pair[1].0 < pair[0].0)
            .count() as u64,
        deaf: log
            .iter()
            .rev()
            .take(TAIL)
            .any(|(seq, ..)| !received.contains(seq)),
    }
}

fn judge(published: &Published, traced: &[Traced], killed_ns: u64, unhandled: u64) -> Round {
    let log = &published.log;
    let after = || log.iter().filter(|entry| entry.1 > killed_ns);
    let stall = |entry: &Entry| entry.2.map(|done| done.saturating_sub(entry.1));
    let resolved = after().filter(|entry| entry.3 == Some(true));
    let count = |ok: Option<bool>| log.iter().filter(|entry| entry.3 == ok).count() as u64;
    Round {
        published: log.len() as u64,
        subscribers: traced
            .iter()
            .map(|one| judge_subscriber(&one.trace, log, killed_ns))
            .collect(),
        rejected: count(Some(false)),
        pending: count(None),
        stuck: after()
            .filter(|entry| stall(entry).is_none_or(|ns| ns > STUCK_NS))
            .count() as u64,
        longest_stall_ms: milliseconds(resolved.filter_map(stall).max().unwrap_or(0)),
        brokers: traced.iter().filter(|one| one.broker).count() + usize::from(published.broker),
        unhandled,
    }
}

/// 0.7 to 1.0 s. The nanoseconds of the clock are random enough: nothing here runs in step with it.
fn until_kill() -> Duration {
    Duration::from_millis(700 + now_ns() / 1000 % 301)
}

fn play_round(cluster: &mut Cluster, rate: u64) -> Result<Round> {
    cluster.call_subscribers::<Value>("reset", &json!({"trace": true}))?;
    let pace = json!({"rate": rate, "seconds": PUBLISH_SECONDS});
    let publishing = cluster.publisher.send("log-publish", pace)?;
    sleep(until_kill());
    let killed_ns = now_ns();
    cluster.broker.kill();
    let published: Published = publishing.wait()?;
    let traced: Vec<Traced> = cluster.call_subscribers("trace", &json!({}))?;
    Ok(judge(&published, &traced, killed_ns, cluster.unhandled()))
}

fn quantile(ascending: &[f64], q: f64) -> Option<f64> {
    let place = (q * ascending.len() as f64) as usize;
    ascending
        .get(place.min(ascending.len().saturating_sub(1)))
        .copied()
}

/// The average over the subscribers of a round.
fn average(round: &Round, number: impl Fn(&Suffered) -> u64) -> f64 {
    round.subscribers.iter().map(number).sum::<u64>() as f64 / round.subscribers.len().max(1) as f64
}

fn summary(rounds: &[Round], took: f64) -> Outcome {
    let all = || rounds.iter().flat_map(|round| &round.subscribers);
    let sum = |number: fn(&Round) -> u64| rounds.iter().map(number).sum::<u64>();
    let mut recoveries: Vec<f64> = all().filter_map(|one| one.recovery_ms).collect();
    recoveries.sort_by(f64::total_cmp);
    let recovery = |q: f64, decimals: i32, unit: f64| {
        quantile(&recoveries, q).map(|ms| round(ms * unit, decimals))
    };
    let during: Vec<f64> = rounds
        .iter()
        .map(|one| average(one, |suffered| suffered.lost_during))
        .collect();
    let before: f64 = rounds
        .iter()
        .map(|one| average(one, |suffered| suffered.lost_before))
        .sum();
    let brokers: BTreeSet<usize> = rounds.iter().map(|one| one.brokers).collect();
    let longest = rounds
        .iter()
        .map(|one| one.longest_stall_ms)
        .fold(0.0, f64::max);
    let recovered = Members::new()
        .with("min", recovery(0.0, 2, 1.0))
        .with("p50", recovery(0.5, 2, 1.0))
        .with("max", recovery(1.0, 2, 1.0));
    let lost = Members::new()
        .with("total_per_subscriber", round(during.iter().sum(), 2))
        .with(
            "max_in_one",
            round(during.iter().copied().fold(0.0, f64::max), 2),
        )
        .with(
            "failovers_affected",
            during.iter().filter(|lost| **lost > 0.0).count(),
        );
    let extras = Members::new()
        .with_group("recovery_ms", recovered)
        .with("never_recovered", all().count() - recoveries.len())
        .with_group("resolved_during_failover_but_lost", lost)
        .with("resolved_before_kill_but_lost", round(before, 2))
        .with("rejected", sum(|one| one.rejected))
        .with("never_settled", sum(|one| one.pending))
        .with("duplicates", all().map(|one| one.duplicates).sum::<u64>())
        .with("reordered", all().map(|one| one.reordered).sum::<u64>())
        .with("longest_publish_stall_ms", round(longest, 2))
        .with(
            "publishes_stuck_over_1s",
            rounds.iter().map(|one| one.stuck).collect::<Vec<_>>(),
        )
        .with("brokers_after", brokers.into_iter().collect::<Vec<_>>())
        .with(
            "subscribers_deaf_at_end",
            all().filter(|one| one.deaf).count(),
        )
        .with("unhandled_errors", sum(|one| one.unhandled));
    Outcome {
        p50_us: recovery(0.5, 3, 1e3),
        p99_us: recovery(0.99, 3, 1e3),
        rss_mb: None,
        ..Outcome::new(sum(|one| one.published), took)
    }
    .extras(extras)
}

pub(super) fn measurement(roles: &Roles, rounds: usize, rate: u64) -> Measurement {
    let params = Members::new()
        .with("rounds", rounds)
        .with("subscribers", SUBSCRIBERS)
        .with("rate_per_s", rate)
        .with("payload_bytes", super::BYTES);
    let roles = roles.clone();
    Measurement::one(Subject::new("W4.failover", params), move |_| {
        let start = now_ns();
        let mut played = Vec::new();
        let mut mixture = Members::new();
        for _ in 0..rounds {
            let mut cluster = Cluster::start(&roles, SUBSCRIBERS)?;
            played.push(play_round(&mut cluster, rate)?);
            mixture = with_roles(Members::new(), &cluster);
        }
        let mut outcome = summary(&played, seconds(now_ns() - start));
        outcome.extras.append(mixture);
        Ok(outcome)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: u64 = 5_000_000;

    fn log() -> Vec<Entry> {
        // One event per millisecond from 1 ms on, each settled 0.1 ms later.
        (0..10)
            .map(|seq| {
                let call = (seq + 1) * 1_000_000;
                (seq, call, Some(call + 100_000), Some(true))
            })
            .collect()
    }

    #[test]
    fn what_resolved_and_was_not_received_is_lost_before_or_after_the_kill() {
        // Event 4 was called at the instant of the kill and resolved after it.
        let trace = [
            (0, 1),
            (1, 2),
            (6, 8_000_000),
            (5, 8_000_001),
            (6, 8_000_002),
            (9, 11_000_000),
        ];
        let suffered = judge_subscriber(&trace, &log(), KILLED);
        assert_eq!((suffered.lost_before, suffered.lost_during), (2, 3));
        assert_eq!((suffered.duplicates, suffered.reordered), (1, 1));
        assert_eq!(suffered.recovery_ms, Some(3.0));
        assert!(suffered.deaf);
    }

    #[test]
    fn who_gets_everything_suffered_nothing() {
        let trace: Vec<_> = log()
            .iter()
            .map(|entry| (entry.0, entry.1 + 200_000))
            .collect();
        let suffered = judge_subscriber(&trace, &log(), KILLED);
        assert_eq!((suffered.lost_before, suffered.lost_during), (0, 0));
        assert_eq!(
            (suffered.duplicates, suffered.reordered, suffered.deaf),
            (0, 0, false)
        );
        assert_eq!(suffered.recovery_ms, Some(1.2));
    }

    #[test]
    fn a_publish_that_never_settled_is_pending_and_stuck() {
        let mut published = Published {
            log: log(),
            broker: true,
        };
        published.log[7].2 = None;
        published.log[7].3 = None;
        published.log[8].3 = Some(false);
        published.log[9].2 = Some(2_010_000_000);
        let round = judge(&published, &[], KILLED, 3);
        assert_eq!((round.pending, round.rejected, round.stuck), (1, 1, 2));
        assert_eq!(
            (round.longest_stall_ms, round.brokers, round.unhandled),
            (2000.0, 1, 3)
        );
    }

    #[test]
    fn rounds_without_recovery_have_no_quantiles() {
        let outcome = summary(
            &[Round {
                subscribers: vec![Suffered::default()],
                ..Round::default()
            }],
            1.0,
        );
        assert_eq!(outcome.p50_us, None);
        assert!(
            outcome.extras.json().contains(
                r#""recovery_ms":{"min":null,"p50":null,"max":null},"never_recovered":1"#
            )
        );
    }
}
