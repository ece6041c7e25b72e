//! An event as an entry of a log: a byte for the dialect of its data, and its JSON.
//!
//! Where the key does not tell the topic, the entry does: length (4 bytes, big endian) and name come first, after a mark.

use bowline_events::{Dialect, Event, EventId, Payload, Result, Text, Topic};
use bytes::Bytes;

use super::name;
use crate::LogEntry;

const TAGGED: u8 = b't';
const PLAIN: u8 = b'p';
/// Before the name of a topic that is too long for a key.
const NAMED: u8 = b'n';

/// The entry for `event`. Index and generation are those of the log and are not written.
///
/// # Errors
/// `InvalidPayload` when a local value cannot be serialised.
pub(super) fn encode(topic: &Topic, mut event: Event) -> Result<Vec<u8>> {
    event.index = None;
    event.generation = None;
    let mut entry = Vec::with_capacity(event.weight() + 64);
    if name::is_hashed(topic) {
        entry.push(NAMED);
        let length = u32::try_from(topic.len()).unwrap_or(u32::MAX);
        entry.extend_from_slice(&length.to_be_bytes());
        entry.extend_from_slice(topic.as_bytes());
    }
    entry.push(match event.data.dialect() {
        Dialect::Plain => PLAIN,
        _ => TAGGED,
    });
    event.write_lossless(&mut entry)?;
    Ok(entry)
}

/// The event of `entry`. An entry that is no event (a damaged or foreign one) becomes an event of type
/// `bowline.unreadable` without data, so that indices stay contiguous and readers go on.
pub(super) fn decode(topic: &Topic, entry: &LogEntry, generation: Option<Text>) -> Event {
    let event = text_of(&entry.body).and_then(|(mark, text)| {
        let dialect = match mark {
            PLAIN => Dialect::Plain,
            _ => Dialect::Tagged,
        };
        Event::from_json(&text, dialect).ok()
    });
    let mut event = event.unwrap_or_else(|| {
        tracing::warn!(%topic, index = entry.position, "an entry of the history is no event");
        Event {
            id: EventId::random(),
            event_type: Text::from("bowline.unreadable"),
            run_id: Text::default(),
            data: Payload::absent(),
            created_at: entry.at,
            index: None,
            delivery_attempt: 1,
            generation: None,
            extra: None,
        }
    });
    event.index = Some(entry.position);
    event.generation = generation;
    event
}

/// The name of the topic, if the entry has it.
pub(super) fn topic_of(entry: &[u8]) -> Option<String> {
    let (name, _) = named(entry)?;
    String::from_utf8(name.to_vec()).ok()
}

/// The dialect and the JSON of an entry.
fn text_of(entry: &Bytes) -> Option<(u8, Bytes)> {
    let start = match named(entry) {
        Some((_, rest)) => entry.len() - rest.len(),
        None => 0,
    };
    let mark = *entry.get(start)?;
    Some((mark, entry.slice(start + 1..)))
}

/// The name in front of an entry, and what follows it.
fn named(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = entry.strip_prefix(&[NAMED])?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use bowline_events::{NewEvent, Timestamp};

    use super::*;

    fn entry(body: Vec<u8>) -> LogEntry {
        LogEntry {
            position: 7,
            at: Timestamp::from_millis(5),
            body: body.into(),
        }
    }

    #[test]
    fn events_survive_as_entries() {
        let data = r#"{"at":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"t":" \u2028"}"#;
        for topic in [Topic::new("short"), Topic::new("long".repeat(1000))] {
            for dialect in [Dialect::Tagged, Dialect::Plain] {
                let payload = Payload::from_valid_json(data.into(), dialect);
                let event = NewEvent::new("chunk", "run").with_data(payload).stamp();
                let read = encode(&topic, event.clone()).unwrap();
                let known = topic_of(&read);
                assert_eq!(known.is_some(), topic.len() > 1024, "the name in the entry");
                assert!(known.is_none_or(|known| topic == known.as_str()));
                let read = decode(&topic, &entry(read), Some("g".into()));
                assert_eq!((read.id, read.created_at), (event.id, event.created_at));
                assert_eq!(read.data.dialect(), dialect);
                assert_eq!(read.data.to_json().unwrap(), data);
                assert_eq!((read.index, read.generation), (Some(7), Some("g".into())));
            }
        }
    }

    #[test]
    fn what_is_no_event_keeps_its_place() {
        for body in [
            "",
            "t",
            "p[]",
            "n",
            "n\0\0\0\u{9}x",
            "n\0\0\0\0",
            "x{",
            "t{\"a\":1}x",
        ] {
            let event = decode(&Topic::new("t"), &entry(body.into()), None);
            assert_eq!(event.event_type, "bowline.unreadable", "{body:?}");
            assert_eq!(event.index, Some(7), "{body:?}");
        }
    }
}
