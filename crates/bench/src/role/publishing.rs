//! The publishing commands of a role. One runs at a time: two would share their sequence numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bowline_events::{PubSub, Topic};
use serde_json::{Value, json};

use super::command::Pace;
use super::paced;
use crate::Result;
use crate::clock::{self, CpuTime, now_ns};
use crate::payload::{BenchEvents, Encoding, LEAST_BYTES};
use crate::publishers::{Publisher, blast};
use crate::settings::span;

const PACED_WAIT: Duration = Duration::from_secs(10);

/// Lets one publishing command in at a time.
#[derive(Default)]
pub(super) struct Turn(AtomicBool);

impl Turn {
    pub(super) async fn run(&self, work: impl Future<Output = Result<Value>>) -> Result<Value> {
        if self.0.swap(true, Relaxed) {
            return Err("busy: a publishing command runs; wait for its reply".into());
        }
        let result = work.await;
        self.0.store(false, Relaxed);
        result
    }
}

fn publisher(bus: &Arc<dyn PubSub>, topic: Option<&str>, bytes: usize) -> Result<Arc<Publisher>> {
    if bytes < LEAST_BYTES {
        return Err(
            format!("{bytes} bytes are too few for the data; {LEAST_BYTES} is the least").into(),
        );
    }
    let events = BenchEvents::new(bytes, Encoding::Json);
    let topic = Topic::new(topic.unwrap_or(super::TOPIC));
    Ok(Publisher::new(bus, &topic, events))
}

pub(super) async fn blast_bus(
    bus: &Arc<dyn PubSub>,
    topic: Option<&str>,
    bytes: usize,
    width: usize,
    seconds: f64,
) -> Result<Value> {
    let blasted = blast(&publisher(bus, topic, bytes)?, width, span(seconds)?).await;
    Ok(json!({
        "published": blasted.published,
        "rejected": blasted.rejected,
        "first_ns": blasted.first_ns,
        "last_ns": blasted.last_ns,
        "rss_mb": clock::rss_mb(),
        "cpu_us": cpu_us(),
    }))
}

pub(super) async fn pace_bus(bus: &Arc<dyn PubSub>, pace: Pace) -> Result<Value> {
    let publisher = publisher(bus, pace.topic.as_deref(), pace.bytes())?;
    let first_ns = now_ns();
    let length = span(pace.seconds)?;
    let done = paced::run(&publisher, pace.rate, length, Duration::ZERO, PACED_WAIT).await;
    let settled = |ok: bool| done.log.iter().filter(|entry| entry.3 == Some(ok)).count();
    Ok(json!({
        "published": done.log.len(),
        "rejected": settled(false),
        "unsettled": done.log.len() - settled(false) - settled(true),
        "first_ns": first_ns,
        "last_ns": now_ns(),
        "rss_mb": clock::rss_mb(),
        "cpu_us": cpu_us(),
    }))
}

/// The log of every publish, and the number of each error.
pub(super) async fn log_publish(
    bus: &Arc<dyn PubSub>,
    pace: Pace,
    settle: Duration,
    wait: Duration,
) -> Result<paced::Log> {
    let publisher = publisher(bus, pace.topic.as_deref(), pace.bytes())?;
    Ok(paced::run(&publisher, pace.rate, span(pace.seconds)?, settle, wait).await)
}

pub(super) fn cpu_us() -> Value {
    let cpu = CpuTime::now();
    json!({"user": cpu.user.as_micros() as u64, "system": cpu.system.as_micros() as u64})
}
