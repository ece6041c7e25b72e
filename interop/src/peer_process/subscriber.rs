//! A label: what it does with a delivery is set by command, and it keeps count.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bowline_events::json::{members, same_key};
use bowline_events::{Delivery, Dialect, Event, Payload};
use bowline_interop::values::reveal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::channel::say;

/// Data longer than this in tagged JSON is reported by hash.
const BIG_BYTES: usize = 64 * 1024;

/// Size and hash of a text.
pub(crate) fn digest(text: &[u8]) -> Value {
    let hash: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({ "bytes": text.len(), "sha256": hash })
}

/// An event as tagged JSON.
pub(crate) fn reveal_event(event: &Event) -> Value {
    let mut text = Vec::new();
    // The bus hands out nothing that it could not write; an empty text shows as undecodable.
    let _ = event.write_json(Dialect::Tagged, &mut text);
    reveal(&text)
}

#[derive(Debug, Clone)]
struct Behaviour {
    ack: bool,
    nack_until: u32,
    throw: bool,
    quiet: bool,
}

#[derive(Debug, Default)]
struct Stats {
    ids: HashSet<String>,
    count: u64,
    duplicates: u64,
    out_of_order: u64,
    first: Option<u64>,
    last: Option<u64>,
    largest: Option<u64>,
}

/// One labelled subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    label: String,
    behaviour: Mutex<Behaviour>,
    stats: Mutex<Stats>,
    counted: Notify,
    /// Deliveries that were neither acked nor nacked.
    held: Mutex<Vec<Delivery>>,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics while it holds a lock; a poisoned one is whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber {
    pub(crate) fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            behaviour: Mutex::new(Behaviour {
                ack: true,
                nack_until: 0,
                throw: false,
                quiet: false,
            }),
            stats: Mutex::default(),
            counted: Notify::new(),
            held: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Changes the members of the behaviour that `command` has.
    pub(crate) fn configure(&self, command: &Value) {
        let mut behaviour = lock(&self.behaviour);
        if let Some(ack) = command["ack"].as_bool() {
            behaviour.ack = ack;
        }
        if let Some(attempt) = command["nackUntil"].as_u64() {
            behaviour.nack_until = u32::try_from(attempt).unwrap_or(u32::MAX);
        }
        if !command["throw"].is_null() {
            behaviour.throw = command["throw"] != false;
        }
        if let Some(quiet) = command["quiet"].as_bool() {
            behaviour.quiet = quiet;
        }
    }

    /// Does with a delivery what the behaviour says. A handler that throws drops its delivery.
    pub(crate) fn deliver(&self, topic: &str, delivery: Delivery) {
        let behaviour = lock(&self.behaviour).clone();
        self.count(delivery.event());
        if !behaviour.quiet {
            say(&json!({ "event": self.describe(topic, delivery.event()) }));
        }
        self.counted.notify_waiters();
        if behaviour.throw {
            drop(delivery);
        } else if delivery.delivery_attempt < behaviour.nack_until {
            drop(delivery.nack());
        } else if behaviour.ack {
            drop(delivery.ack());
        } else {
            lock(&self.held).push(delivery);
        }
    }

    fn describe(&self, topic: &str, event: &Event) -> Value {
        let mut message = json!({
            "as": self.label,
            "topic": topic,
            "t": self.started.elapsed().as_secs_f64() * 1e3,
            "createdAtIsDate": true,
        });
        let mut event = event.clone();
        if event.data.weight() > BIG_BYTES
            && let Some(data) = event.data.as_json()
        {
            message["big"] = digest(data);
            event.data = Payload::absent();
        }
        message["event"] = reveal_event(&event);
        message
    }

    fn count(&self, event: &Event) {
        let mut stats = lock(&self.stats);
        stats.count += 1;
        if !stats.ids.insert(event.id.to_string()) {
            stats.duplicates += 1;
        }
        let Some(seq) = seq(event) else { return };
        stats.first.get_or_insert(seq);
        stats.last = Some(seq);
        match stats.largest {
            Some(largest) if seq <= largest => stats.out_of_order += 1,
            _ => stats.largest = Some(seq),
        }
    }

    /// The counts since the start or the last reset.
    pub(crate) fn stats(&self) -> Value {
        let stats = lock(&self.stats);
        json!({
            "count": stats.count,
            "firstSeq": stats.first,
            "lastSeq": stats.last,
            "outOfOrder": stats.out_of_order,
            "duplicates": stats.duplicates,
            "distinct": stats.ids.len(),
        })
    }

    /// Forgets all counts.
    pub(crate) fn reset(&self) {
        *lock(&self.stats) = Stats::default();
    }

    /// Resolves when at least `count` events were counted.
    pub(crate) async fn reached(&self, count: u64) {
        loop {
            let counted = self.counted.notified();
            if lock(&self.stats).count >= count {
                return;
            }
            counted.await;
        }
    }
}

/// The member `seq` of the data, found without reading the rest into memory.
fn seq(event: &Event) -> Option<u64> {
    let data = event.data.as_json()?;
    let mut found = None;
    members(data, |key, range| {
        if same_key(key, "seq") {
            found = std::str::from_utf8(&data[range])
                .ok()
                .and_then(|text| text.parse().ok());
        }
    })
    .ok()?;
    found
}
