//! The subscriber of W4: it counts, and keeps latencies and, if asked, a trace.

use bowline_events::Event;
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
    last_ns: Option<u64>,
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
            last_ns: None,
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

    pub(super) fn report(&self) -> Value {
        json!({
            "received": self.received,
            "out_of_order_or_dup": self.misplaced,
            "last_ns": self.last_ns,
            "hist": self.histogram,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{BenchEvents, Encoding};

    #[test]
    fn what_is_not_beyond_the_largest_is_misplaced() {
        let mut counter = Counter::new(2, true);
        let events = BenchEvents::new(52, Encoding::Json);
        for seq in [0, 2, 1, 2, 3] {
            counter.count(&events.event(seq, 1).expect("made").stamp());
        }
        let report = counter.report();
        assert_eq!(
            (&report["received"], &report["out_of_order_or_dup"]),
            (&json!(5), &json!(2))
        );
        assert_eq!(report["hist"]["n"], 3);
        let seqs: Vec<_> = counter.trace.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [0, 2, 1, 2, 3]);
    }
}
