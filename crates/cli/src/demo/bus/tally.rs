//! The account of the demo: what every reader got, and whether anything is missing that should not be.

use std::collections::BTreeMap;

use serde::Serialize;

/// The moments around the end of the broker, in nanoseconds of the shared clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Just before the kill.
    pub(crate) killed: u64,
    /// The process is gone: the operating system has closed its connections, so nobody can hand it an event any more.
    pub(crate) gone: u64,
}

/// The events that were published: number and instant of the call.
pub(crate) type Calls = BTreeMap<u64, u64>;

/// What one subscriber got.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Number of the event to the instant of its first arrival.
    first: BTreeMap<u64, u64>,
    arrivals: u64,
}

impl Inbox {
    /// Takes note of event `n` at the instant `got`.
    pub(crate) fn take(&mut self, n: u64, got: u64) {
        self.first.entry(n).or_insert(got);
        self.arrivals += 1;
    }

    /// Whether event `n` arrived.
    pub(crate) fn has(&self, n: u64) -> bool {
        self.first.contains_key(&n)
    }

    /// Different events that arrived.
    pub(crate) fn len(&self) -> u64 {
        self.first.len() as u64
    }

    /// When the first event arrived that was published after the broker was gone, counted from the kill.
    pub(crate) fn recovery(&self, calls: &Calls, crash: Crash) -> Option<u64> {
        self.first
            .iter()
            .filter(|(n, _)| calls.get(n).is_some_and(|called| *called > crash.gone))
            .map(|(_, got)| got.saturating_sub(crash.killed))
            .min()
    }

    /// The account of this subscriber.
    pub(crate) fn account(&self, name: &str, calls: &Calls, crash: Crash) -> Account {
        let lost: Vec<u64> = calls.keys().copied().filter(|n| !self.has(*n)).collect();
        Account {
            name: name.to_owned(),
            delivered: self.len(),
            lost: lost.len() as u64,
            inexcusable: lost.len() as u64 - excused(&lost, calls, crash),
            doubled: self.arrivals - self.len(),
            failover_ms: self
                .recovery(calls, crash)
                .map(|nanos| nanos as f64 / 1_000_000.0),
        }
    }
}

/// Lost events that may be lost: those that were with the broker when it was killed. The broker forwards in order and what it
/// never took is sent again, so these are one unbroken run, all of it published before the broker was gone.
fn excused(lost: &[u64], calls: &Calls, crash: Crash) -> u64 {
    let with_broker: Vec<u64> = lost
        .iter()
        .copied()
        .filter(|n| calls.get(n).is_some_and(|called| *called <= crash.gone))
        .collect();
    let run = match (with_broker.first(), with_broker.last()) {
        (Some(first), Some(last)) => calls.range(first..=last).count(),
        _ => 0,
    };
    if run == with_broker.len() {
        run as u64
    } else {
        0
    }
}

/// The account of one subscriber.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// Different events that arrived.
    pub(crate) delivered: u64,
    /// Published events that never arrived.
    pub(crate) lost: u64,
    /// Lost ones that were not with the dead broker.
    pub(crate) inexcusable: u64,
    /// Arrivals of an event beyond its first.
    pub(crate) doubled: u64,
    /// Kill to the first event that was published after it; absent when none came.
    pub(crate) failover_ms: Option<f64>,
}

/// What the late reader got.
#[derive(Debug, Default)]
pub(crate) struct LateInbox {
    from: u64,
    got: Vec<u64>,
}

impl LateInbox {
    /// A reader that asked for everything from event `from` on.
    pub(crate) fn new(from: u64) -> Self {
        Self {
            from,
            got: Vec::new(),
        }
    }

    /// Takes note of event `n`.
    pub(crate) fn take(&mut self, n: u64) {
        self.got.push(n);
    }

    /// Whether event `n` arrived as the last one.
    pub(crate) fn ends_with(&self, n: u64) -> bool {
        self.got.last() == Some(&n)
    }

    /// The account, when `events` were published in all.
    pub(crate) fn account(&self, events: u64) -> LateAccount {
        let mut seen = std::collections::BTreeSet::new();
        let mut doubled = 0;
        let mut misordered = 0;
        let mut last = None;
        for n in &self.got {
            doubled += u64::from(!seen.insert(*n));
            misordered += u64::from(last.is_some_and(|last| last > *n));
            last = Some(*n);
        }
        let missing = (self.from..events).filter(|n| !seen.contains(n)).count() as u64;
        LateAccount {
            from: self.from,
            replayed: seen.len() as u64,
            missing,
            doubled,
            misordered,
        }
    }
}

/// The account of the late reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LateAccount {
    pub(crate) from: u64,
    /// Different events that arrived.
    pub(crate) replayed: u64,
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
    pub(crate) misordered: u64,
}

impl LateAccount {
    /// Whether every event from the offset on came once, in order.
    pub(crate) fn is_good(&self) -> bool {
        self.missing == 0 && self.doubled == 0 && self.misordered == 0 && self.replayed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten events, one every 10 ns from 0 on; the broker was killed at 45 and gone at 55.
    const CRASH: Crash = Crash {
        killed: 45,
        gone: 55,
    };

    fn calls() -> Calls {
        (0..10).map(|n| (n, n * 10)).collect()
    }

    fn account(arrivals: &[u64]) -> Account {
        let mut inbox = Inbox::default();
        for n in arrivals {
            inbox.take(*n, n * 10 + 1_000_000);
        }
        inbox.account("a", &calls(), CRASH)
    }

    #[test]
    fn only_a_run_of_events_that_was_with_the_broker_may_be_lost() {
        let table: [(&[u64], u64, u64); 7] = [
            (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0, 0),
            (&[0, 1, 2, 3, 6, 7, 8, 9], 2, 0),
            (&[0, 1, 2, 3, 4, 6, 7, 8, 9], 1, 0),
            (&[6, 7, 8, 9], 6, 0),
            (&[0, 1, 3, 4, 6, 7, 8, 9], 2, 2),
            (&[0, 1, 2, 3, 4, 5, 7, 8, 9], 1, 1),
            (&[0, 1, 2, 3, 4, 7, 8, 9], 2, 1),
        ];
        for (arrivals, lost, inexcusable) in table {
            let account = account(arrivals);
            assert_eq!(
                (account.lost, account.inexcusable),
                (lost, inexcusable),
                "{arrivals:?}"
            );
        }
    }

    #[test]
    fn doubles_and_a_stream_that_never_goes_on_are_not_good() {
        let doubled = account(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]);
        assert_eq!((doubled.doubled, doubled.delivered), (1, 10));
        let dead = account(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(dead.failover_ms, None);
    }

    #[test]
    fn the_failover_lasts_from_the_kill_to_the_first_event_published_after_it() {
        let account = account(&[0, 1, 2, 3, 4, 5, 7, 6, 8, 9]);
        assert_eq!(
            account.failover_ms,
            Some((1_000_060.0 - 45.0) / 1_000_000.0)
        );
    }

    #[test]
    fn a_late_reader_gets_everything_once_in_order() {
        let table: [(&[u64], bool, u64, u64, u64); 5] = [
            (&[6, 7, 8, 9], true, 0, 0, 0),
            (&[6, 8, 9], false, 1, 0, 0),
            (&[6, 7, 7, 8, 9], false, 0, 1, 0),
            (&[6, 8, 7, 9], false, 0, 0, 1),
            (&[], false, 4, 0, 0),
        ];
        for (arrivals, good, missing, doubled, misordered) in table {
            let mut inbox = LateInbox::new(6);
            arrivals.iter().for_each(|n| inbox.take(*n));
            let account = inbox.account(10);
            assert_eq!(account.is_good(), good, "{arrivals:?}");
            let found = (account.missing, account.doubled, account.misordered);
            assert_eq!(found, (missing, doubled, misordered), "{arrivals:?}");
        }
    }
}
