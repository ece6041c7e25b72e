//! What a request takes, and an entry to a reader, without a bus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use super::bare::{Entry, append, connect};
use crate::Result;
use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::payload::{since_stamp, stamp};

const GROUP: &str = "bench-bare";
const BLOCK_MS: u64 = 1000;

/// Round trips of one request after the other, each made when a timer finds it due, `rate` per second for `length`. Each appends
/// an entry of `bytes` bytes, with the instant at its beginning, to the stream `key`, which is kept at about `cap` entries.
pub(crate) async fn round_trips(
    url: &str,
    key: &str,
    cap: u64,
    bytes: usize,
    rate: f64,
    length: Duration,
) -> Result<Histogram> {
    let mut connection = connect(url).await?;
    let mut histogram = Histogram::default();
    let pad = "x".repeat(bytes);
    let total = (rate * length.as_secs_f64()).round() as u64;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.001)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..total {
        ticks.tick().await;
        let called = now_ns();
        let mut entry = stamp(called);
        entry.push_str(&pad[entry.len().min(bytes)..]);
        let request = append(key, cap, entry.as_bytes());
        connection.send_packed_command(&request).await?;
        histogram.add(now_ns() - called);
    }
    Ok(histogram)
}

/// The entries of a reader without a bus.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Histogram>>);

impl Heard {
    /// How long the entries were on their way.
    pub(crate) fn histogram(&self) -> Histogram {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Begins to read the stream `key`, on a connection of its own, as one consumer of a group that begins now.
    pub(crate) async fn listen(&self, url: &str, key: &str) -> Result<()> {
        let mut connection = connect(url).await?;
        let create = ["CREATE", key, GROUP, "$", "MKSTREAM"];
        redis::cmd("XGROUP")
            .arg(&create)
            .query_async::<()>(&mut connection)
            .await?;
        let (heard, key) = (self.clone(), key.to_owned());
        // Ends with the connection: the stream is removed or the process ends.
        tokio::spawn(async move { while heard.read(&mut connection, &key).await.is_ok() {} });
        Ok(())
    }

    async fn read(&self, connection: &mut MultiplexedConnection, key: &str) -> Result<()> {
        let read = redis::cmd("XREADGROUP")
            .arg(&["GROUP", GROUP, "one", "COUNT", "100", "BLOCK"])
            .arg(BLOCK_MS)
            .arg(&["STREAMS", key, ">"])
            .query_async::<Option<Vec<(String, Vec<Entry>)>>>(connection)
            .await?;
        let now = now_ns();
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = read.into_iter().flatten().flat_map(|(_, entries)| entries);
        for (_, fields) in entries {
            let text = fields.first().map(|(_, text)| text.as_slice());
            if let Some(ns) = text.and_then(|text| since_stamp(text, now)) {
                histogram.add(ns);
            }
        }
        Ok(())
    }
}
