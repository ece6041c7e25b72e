//! A record of a history: the event as JSON with its index first, as the reference writes it.

use bowline_events::codec::date::write_iso;
use bowline_events::{Dialect, Event, Result, Text, json};
use bytes::Bytes;
use memchr::memmem;

/// What trimming writes at the front of a new head, before the name of the history.
const STAMP: &[u8] = br#"{"logGeneration":""#;

/// What comes before the id of an event.
const ID: &[u8] = br#""id":""#;

/// The member that trimming writes where the head itself is forgotten: the first index that is not.
const FIRST: &str = "logFirst";

/// The JSON text of `event` as the append script takes it: without index, and without what belongs to a delivery.
///
/// # Errors
/// `InvalidPayload` when a local value cannot be serialised.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>> {
    let mut known = event.to_new();
    known.index = None;
    known.generation = None;
    let mut text = Vec::with_capacity(event.weight() + 64);
    known.write_json(Dialect::Plain, &mut text)?;
    text.pop();
    text.push(b',');
    text.extend_from_slice(mark(event).as_bytes());
    text.extend_from_slice(br#","createdAt":""#);
    write_iso(event.created_at.as_millis(), &mut text);
    text.extend_from_slice(br#""}"#);
    Ok(text)
}

/// The member that tells the record of `event` from all others.
pub(crate) fn mark(event: &Event) -> String {
    let mut id = Vec::with_capacity(48);
    json::escape_into(&event.id.to_string(), &mut id);
    // Escaping keeps UTF-8 what it is.
    format!(r#""id":{}"#, String::from_utf8_lossy(&id))
}

/// A record that was read, and where it stands in its history.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) event: Event,
    pub(crate) index: u64,
    /// When this is a head that is itself forgotten: the first index that is not.
    pub(crate) first: Option<u64>,
}

impl Record {
    /// Reads an element of the list.
    ///
    /// # Errors
    /// A reason, when the element is not a JSON object with an index.
    pub(crate) fn decode(text: &Bytes) -> std::result::Result<Self, String> {
        let mut event =
            Event::from_json(text, Dialect::Plain).map_err(|error| error.to_string())?;
        let index = event.index.ok_or("the record has no index")?;
        event.generation = None;
        let mut first = None;
        if let Some(extra) = &mut event.extra {
            extra.retain(|(name, value)| {
                let hidden = name.as_str() == FIRST;
                if hidden {
                    first = std::str::from_utf8(value).ok().and_then(|n| n.parse().ok());
                }
                !hidden
            });
        }
        event.extra = event.extra.filter(|extra| !extra.is_empty());
        Ok(Self {
            event,
            index,
            first,
        })
    }
}

/// The name of the history that begins with the element `head`: what trimming wrote there, or else the id of the event.
///
/// The scripts find it in the text in the same way; a JSON reader would be slower there, and read some texts differently.
pub(crate) fn generation(head: &[u8]) -> Option<Text> {
    if let Some(name) = stamped(head) {
        return Some(name);
    }
    let mut end = head.len();
    while let Some(at) = memmem::rfind(&head[..end], ID) {
        if let Some((name, _)) = quoted(&head[at + ID.len()..]) {
            return Some(name);
        }
        end = at + ID.len() - 1;
    }
    None
}

/// The name that trimming wrote into the element `head`.
pub(crate) fn stamped(head: &[u8]) -> Option<Text> {
    let (name, rest) = head.strip_prefix(STAMP).and_then(quoted)?;
    (rest.first() == Some(&b',')).then_some(name)
}

/// The text up to the next quote, unless it is empty or has escapes, and what follows the quote.
fn quoted(text: &[u8]) -> Option<(Text, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', text)?;
    if end == 0 || text[end] == b'\\' {
        return None;
    }
    let name = String::from_utf8_lossy(&text[..end]).into_owned();
    Some((Text::from(name), &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use bowline_events::{EventId, NewEvent, Timestamp};

    use super::*;

    fn event(data: &'static str) -> Event {
        let new = NewEvent::new("chunk", "r1").with_json(data).expect("JSON");
        Event {
            id: EventId::parse("789e3e41-4c58-440e-99c7-e9a2dbe5fc39"),
            created_at: Timestamp::from_millis(1_795_144_460_681),
            ..new.stamp()
        }
    }

    #[test]
    fn a_record_is_the_one_of_the_reference_but_for_its_index() {
        let data = r#"{"type":"text-delta","when":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"m":{"__m_codec__":"Map","v":[]},"u":{"__m_codec__":"Undefined"}}"#;
        let mut event = event(data);
        event.index = Some(99);
        event.generation = Some("other".into());
        event.delivery_attempt = 3;
        let text = encode(&event).expect("a record");
        assert_eq!(
            String::from_utf8(text).expect("UTF-8"),
            r#"{"type":"chunk","runId":"r1","data":{"type":"text-delta","when":"1970-01-01T00:00:00.000Z","m":{}},"id":"789e3e41-4c58-440e-99c7-e9a2dbe5fc39","createdAt":"2026-11-20T03:14:20.681Z"}"#
        );
    }

    #[test]
    fn the_index_is_read_wherever_it_stands_and_unknown_members_stay() {
        for text in [
            r#"{"index":7,"type":"x","runId":"r","id":"i","extra":[1],"createdAt":"1970-01-01T00:00:01.000Z"}"#,
            r#"{"type":"x","runId":"r","id":"i","extra":[1],"createdAt":"1970-01-01T00:00:01.000Z","index":7}"#,
            r#"{"logGeneration":"g","logFirst":8,"index":7,"type":"x","runId":"r","id":"i","extra":[1],"createdAt":"1970-01-01T00:00:01.000Z"}"#,
        ] {
            let record = Record::decode(&Bytes::from_static(text.as_bytes())).expect(text);
            assert_eq!(record.index, 7);
            assert_eq!(record.event.created_at.as_millis(), 1000);
            let extra = record.event.extra.expect("the unknown member");
            assert_eq!(extra.len(), 1, "{text}");
            assert_eq!(
                (extra[0].0.as_str(), &extra[0].1[..]),
                ("extra", &b"[1]"[..])
            );
            assert_eq!(record.first.is_some(), text.contains("logFirst"));
        }
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "7",
            "not JSON",
            "{}",
            r#"{"type":"x"}"#,
            r#"{"index":-1}"#,
            r#"{"index":"1"}"#,
            r#"{"index":1.5}"#,
        ] {
            assert!(Record::decode(&Bytes::from_static(text.as_bytes())).is_err());
        }
    }

    #[test]
    fn a_history_is_named_by_the_stamp_or_the_id_of_its_head() {
        let table: [(&str, Option<&str>); 8] = [
            (
                r#"{"index":0,"data":{"id":"inner"},"id":"outer"}"#,
                Some("outer"),
            ),
            (r#"{"logGeneration":"g","index":3,"id":"outer"}"#, Some("g")),
            (
                r#"{"logGeneration":"","index":3,"id":"outer"}"#,
                Some("outer"),
            ),
            (r#"{"logGeneration":"g"x"id":"outer"}"#, Some("outer")),
            (r#"{"id":"a","x":"\"id\":\"b\""}"#, Some("a")),
            (r#"{"id":"a","id":"","id":"\\"}"#, Some("a")),
            (r#"{"index":0,"runId":"r"}"#, None),
            ("", None),
        ];
        for (head, name) in table {
            assert_eq!(generation(head.as_bytes()).as_deref(), name, "{head}");
        }
    }
}
