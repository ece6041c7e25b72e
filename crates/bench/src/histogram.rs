//! Latencies in buckets one percent wide, in the transport form of `bench/README.md`.

use serde::{Deserialize, Serialize};

const BUCKETS: usize = 3200;

/// The natural logarithm of the width of a bucket.
fn width() -> f64 {
    1.01f64.ln()
}

/// Counts latencies. Quantiles are exact to half a percent.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(try_from = "Transport", into = "Transport")]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    n: u64,
    max_ns: u64,
}

/// How a histogram travels: only the buckets that hold something, by ascending index.
#[derive(Serialize, Deserialize)]
struct Transport {
    n: u64,
    max_ns: u64,
    buckets: Vec<(usize, u64)>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            n: 0,
            max_ns: 0,
        }
    }
}

impl Histogram {
    /// Records a latency in nanoseconds.
    pub(crate) fn add(&mut self, ns: u64) {
        self.add_to(bucket(ns), ns);
    }

    /// Records a latency in each of `histograms`.
    pub(crate) fn add_to_each(histograms: [Option<&mut Self>; 3], ns: u64) {
        let bucket = bucket(ns);
        for histogram in histograms.into_iter().flatten() {
            histogram.add_to(bucket, ns);
        }
    }

    fn add_to(&mut self, bucket: usize, ns: u64) {
        self.counts[bucket] += 1;
        self.n += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what another histogram holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.n += other.n;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many latencies were recorded.
    pub(crate) fn len(&self) -> u64 {
        self.n
    }

    /// The largest latency; 0 when there is none.
    pub(crate) fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Quantile in microseconds with three decimals; `None` when nothing was recorded.
    pub(crate) fn quantile_us(&self, q: f64) -> Option<f64> {
        let wanted = ((q * self.n as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        let ns = ((index as f64 + 0.5) * width())
            .exp()
            .min(self.max_ns as f64);
        Some(crate::clock::round(ns / 1e3, 3))
    }
}

fn bucket(ns: u64) -> usize {
    (((ns.max(1) as f64).ln() / width()) as usize).min(BUCKETS - 1)
}

impl From<Histogram> for Transport {
    fn from(histogram: Histogram) -> Self {
        let counts = histogram.counts.into_iter().enumerate();
        Self {
            n: histogram.n,
            max_ns: histogram.max_ns,
            buckets: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

impl TryFrom<Transport> for Histogram {
    type Error = String;

    fn try_from(transport: Transport) -> Result<Self, String> {
        let mut histogram = Self {
            max_ns: transport.max_ns,
            ..Self::default()
        };
        for (index, count) in transport.buckets {
            let slot = histogram.counts.get_mut(index).ok_or_else(|| {
                format!(
                    "bucket {index} of a histogram, the last one is {}",
                    BUCKETS - 1
                )
            })?;
            *slot += count;
            histogram.n += count;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn latencies_fall_into_the_buckets_of_the_protocol() {
        let mut histogram = Histogram::default();
        for ns in [0, 1, 1000, 94_100, 1_000_000, 3_000_000_000, 10u64.pow(18)] {
            histogram.add(ns);
        }
        let text = serde_json::to_string(&histogram).expect("plain data");
        let buckets = "[[0,2],[694,1],[1150,1],[1388,1],[2193,1],[3199,1]]";
        assert_eq!(
            text,
            format!(r#"{{"n":7,"max_ns":1000000000000000000,"buckets":{buckets}}}"#)
        );
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::default().quantile_us(0.5), None);
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_an_error() {
        let text = r#"{"n":1,"max_ns":1,"buckets":[[3200,1]]}"#;
        assert!(serde_json::from_str::<Histogram>(text).is_err());
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_percent_and_never_above_the_largest(
            mut ns in proptest::collection::vec(1u64..10_000_000_000, 1..200),
            q in 0.0..=1.0f64,
        ) {
            let mut histogram = Histogram::default();
            ns.iter().for_each(|ns| histogram.add(*ns));
            ns.sort_unstable();
            let rank = ((q * ns.len() as f64).ceil() as usize).max(1) - 1;
            let (exact, measured) = (ns[rank] as f64, histogram.quantile_us(q).expect("not empty") * 1e3);
            // Three decimals of a microsecond are whole nanoseconds.
            prop_assert!((measured - exact).abs() <= exact * 0.01 + 1.0, "{measured} for {exact}");
            prop_assert!(measured <= ns[ns.len() - 1] as f64 + 1.0);
        }

        #[test]
        fn merging_what_travelled_is_recording_everything_in_one(
            left in proptest::collection::vec(any::<u64>(), 0..50),
            right in proptest::collection::vec(any::<u64>(), 0..50),
        ) {
            let [mut one, mut other, mut both] = [const { None }; 3].map(|_: Option<()>| Histogram::default());
            for ns in left { one.add(ns); both.add(ns); }
            for ns in right { other.add(ns); both.add(ns); }
            let text = serde_json::to_string(&other).expect("plain data");
            one.merge(&serde_json::from_str(&text).expect("our own form"));
            prop_assert_eq!(
                serde_json::to_string(&one).expect("plain data"),
                serde_json::to_string(&both).expect("plain data")
            );
        }
    }
}
