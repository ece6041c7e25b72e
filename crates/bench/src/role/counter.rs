//! One subscriber of a role: it counts, and keeps latencies and, if asked, a trace.

use bowline_events::{Error, Event};
use serde_json::{Value, json};

use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::payload::Stamped;

#[derive(Debug)]
pub(super) struct Counter {
    latency_every: u64,
    tracing: bool,
    received: u64,
    misplaced: u64,
    /// Events that notices said are missing.
    missed: u64,
    acked: u64,
    first_ns: Option<u64>,
    last_ns: Option<u64>,
    last_ack_ns: Option<u64>,
    largest: Option<u64>,
    histogram: Histogram,
    /// Numbers and instants, in order of receipt.
    pub(super) trace: Vec<(u64, u64)>,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new(10, false)
    }
}

impl Counter {
    /// Measures the latency of every event whose number is a multiple of `latency_every`.
    pub(super) fn new(latency_every: u64, tracing: bool) -> Self {
        Self {
            latency_every: latency_every.max(1),
            tracing,
            received: 0,
            misplaced: 0,
            missed: 0,
            acked: 0,
            first_ns: None,
            last_ns: None,
            last_ack_ns: None,
            largest: None,
            histogram: Histogram::default(),
            trace: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, event: &Event) {
        let now = now_ns();
        let Some(data) = Stamped::of(event) else {
            return;
        };
        let seq = data.seq();
        self.received += 1;
        self.first_ns = self.first_ns.or(Some(now));
        self.last_ns = Some(now);
        if Some(seq) > self.largest {
            self.largest = Some(seq);
        } else {
            self.misplaced += 1;
        }
        if seq.is_multiple_of(self.latency_every)
            && let Some(ns) = data.latency_ns(now)
        {
            self.histogram.add(ns);
        }
        if self.tracing {
            self.trace.push((seq, now));
        }
    }

    /// Takes note of what the bus says is missing.
    pub(super) fn notice(&mut self, notice: &Error) {
        if let Some(range) = notice.truncated() {
            self.missed += range.first.saturating_sub(range.wanted);
        }
    }

    /// So many acknowledgements are known to have arrived.
    pub(super) fn acknowledged(&mut self, count: u64) {
        self.acked += count;
        self.last_ack_ns = Some(now_ns());
    }

    /// What several subscribers counted together.
    pub(super) fn report(all: &[&Self]) -> Value {
        let sum = |number: fn(&Self) -> u64| all.iter().map(|one| number(one)).sum::<u64>();
        let mut histogram = Histogram::default();
        for one in all {
            histogram.merge(&one.histogram);
        }
        json!({
            "received": sum(|one| one.received),
            "out_of_order_or_dup": sum(|one| one.misplaced),
            "missed": sum(|one| one.missed),
            "acked": sum(|one| one.acked),
            "first_ns": all.iter().filter_map(|one| one.first_ns).min(),
            "last_ns": all.iter().filter_map(|one| one.last_ns).max(),
            "last_ack_ns": all.iter().filter_map(|one| one.last_ack_ns).max(),
            "hist": histogram,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{BenchEvents, Encoding};

    fn counter(seqs: &[u64]) -> Counter {
        let mut counter = Counter::new(2, true);
        let events = BenchEvents::new(52, Encoding::Json);
        for seq in seqs {
            counter.count(&events.event(*seq, 1).expect("made").stamp());
        }
        counter
    }

    #[test]
    fn what_is_not_beyond_the_largest_is_misplaced() {
        let counter = counter(&[0, 2, 1, 2, 3]);
        let report = Counter::report(&[&counter]);
        assert_eq!(
            (&report["received"], &report["out_of_order_or_dup"]),
            (&json!(5), &json!(2))
        );
        assert_eq!(report["hist"]["n"], 3);
        let seqs: Vec<_> = counter.trace.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [0, 2, 1, 2, 3]);
    }

    #[test]
    fn subscribers_of_one_process_report_together() {
        let (mut one, other) = (counter(&[0, 1]), counter(&[0, 1, 2]));
        one.acknowledged(2);
        one.notice(&Error::truncation("t", 2, 7));
        let report = Counter::report(&[&one, &other]);
        let expected = [
            ("received", 5),
            ("acked", 2),
            ("missed", 5),
            ("out_of_order_or_dup", 0),
        ];
        for (name, count) in expected {
            assert_eq!(report[name], count, "{name}");
        }
        assert_eq!(report["first_ns"], json!(one.first_ns));
        assert_eq!(report["last_ns"], json!(other.last_ns));
    }

    #[test]
    fn who_saw_nothing_reports_null() {
        let report = Counter::report(&[]);
        for name in ["first_ns", "last_ns", "last_ack_ns"] {
            assert_eq!(report[name], Value::Null, "{name}");
        }
    }
}
