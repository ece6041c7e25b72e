//! What a subscriber of a peer reported.

use serde_json::Value;

/// One delivery, as the peer described it.
#[derive(Debug, Clone)]
pub struct Seen {
    notification: Value,
}

impl Seen {
    pub(crate) fn new(notification: Value) -> Self {
        Self { notification }
    }

    /// The label of the callback.
    pub fn label(&self) -> &str {
        self.notification["as"].as_str().unwrap_or_default()
    }

    /// The event in tagged JSON.
    pub fn event(&self) -> &Value {
        &self.notification["event"]
    }

    /// The id that the transport gave it.
    pub fn id(&self) -> &str {
        self.event()["id"].as_str().unwrap_or_default()
    }

    /// The data; `null` when there is none, see [`Seen::event`] to tell the difference.
    pub fn data(&self) -> &Value {
        &self.event()["data"]
    }

    /// Size and hash of data that is too large to be reported.
    pub fn digest(&self) -> &Value {
        &self.notification["big"]
    }

    /// Which delivery of this event it is, counted from 1.
    pub fn attempt(&self) -> u64 {
        self.event()["deliveryAttempt"].as_u64().unwrap_or_default()
    }

    /// Whether `createdAt` arrived as a date of the language.
    pub fn has_date(&self) -> bool {
        self.notification["createdAtIsDate"] == true
    }
}

/// The ids in order.
pub fn ids(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|one| one.id().to_owned()).collect()
}

/// The data of events whose data is a number, in order; others are left out.
pub fn numbers(seen: &[Seen]) -> Vec<u64> {
    seen.iter().filter_map(|one| one.data().as_u64()).collect()
}
