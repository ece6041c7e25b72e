//! Where events go that cannot be handled.

use std::sync::atomic::Ordering::Relaxed;

use bowline_events::{Event, NewEvent, Payload, Text};
use bytes::Bytes;

use crate::bus::Bus;
use crate::stream::{Entry, encode};
use crate::wire::Failure;

/// The longest part of an unreadable entry that a dead letter repeats.
const LONGEST_QUOTE: usize = 64 * 1024;

/// What is to be buried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dead<'a> {
    /// An event that was refused as often as it may.
    Refused(&'a Event),
    /// An entry that holds no event.
    Malformed(&'a Entry, &'a bowline_events::Error),
}

impl Bus {
    /// Writes `dead` of `topic` to the topic for dead letters, where there is one, and counts it. The caller acknowledges the
    /// entry afterwards, and only if this succeeded.
    pub(crate) async fn bury(
        &self,
        topic: &str,
        group: Option<&str>,
        dead: Dead<'_>,
    ) -> Result<(), Failure> {
        match dead {
            Dead::Refused(event) => {
                tracing::warn!(topic, group, id = %event.id, event_type = %event.event_type, attempt = event.delivery_attempt, "an event was refused as often as it may");
            }
            Dead::Malformed(entry, error) => {
                self.counters.malformed.fetch_add(1, Relaxed);
                tracing::warn!(topic, group, entry = %entry.id, %error, "an entry of the stream holds no event");
            }
        }
        let Some(letters) = &self.settings.dead_letters else {
            if matches!(dead, Dead::Refused(_)) {
                self.counters.dropped.fetch_add(1, Relaxed);
            }
            return Ok(());
        };
        let letter = letter(topic, group, dead);
        let text = encode(&letter).map_err(|error| Failure::Configuration(error.to_string()))?;
        self.append(&self.stream(letters), &text, &letter.id)
            .await?;
        self.counters.dead_lettered.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// The event as it was, or a quote of the entry, with the unknown member `deadLetter` that says why.
fn letter(topic: &str, group: Option<&str>, dead: Dead<'_>) -> Event {
    let (mut letter, reason) = match dead {
        Dead::Refused(event) => (event.clone(), "refused".to_owned()),
        Dead::Malformed(entry, error) => (quote(entry), error.to_string()),
    };
    let why = serde_json::json!({ "topic": topic, "group": group, "reason": reason });
    let mut extra = letter.extra.take().unwrap_or_default();
    extra.retain(|(name, _)| *name != "deadLetter");
    extra.push((Text::from("deadLetter"), Bytes::from(why.to_string())));
    letter.extra = Some(extra);
    letter
}

fn quote(entry: &Entry) -> Event {
    let bytes = entry.event.as_deref().unwrap_or_default();
    let shown = &bytes[..bytes.len().min(LONGEST_QUOTE)];
    let data = serde_json::json!({
        "entry": entry.id.to_string(),
        "bytes": bytes.len(),
        "text": String::from_utf8_lossy(shown),
    });
    let data = Payload::json(data.to_string()).unwrap_or_default();
    NewEvent::new("malformed", "").with_data(data).stamp()
}
