//! Events between their JSON form in a frame and memory.

use std::ops::Range;

use bowline_events::codec::date::parse_iso;
use bowline_events::{Dialect, Event, EventId, NewEvent, Payload, Result, Text, Timestamp, json};
use bytes::Bytes;

use crate::frame::{self, EventParts};

/// The text of the previous event of a connection, so that what repeats is shared instead of copied.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    event_type: Interned,
    run_id: Interned,
    created_at: (Bytes, i64),
}

#[derive(Debug, Default)]
struct Interned {
    raw: Vec<u8>,
    text: Text,
}

impl Interned {
    fn get(&mut self, raw: &[u8]) -> Text {
        if self.raw != raw {
            self.raw.clear();
            self.raw.extend_from_slice(raw);
            self.text = Text::from(json::unescape(raw).unwrap_or_default().into_owned());
        }
        self.text.clone()
    }
}

/// Reads events out of frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    interner: Interner,
}

impl Reader {
    /// The event in the line that starts at `start` of `block`. Its data stay a slice of `block`.
    pub(crate) fn read(&mut self, block: &Bytes, start: usize, parts: &EventParts) -> Event {
        let value = |range: &Option<Range<usize>>| {
            range
                .as_ref()
                .map(|range| &block[start + range.start..start + range.end])
        };
        let raw_text =
            |range: &Option<Range<usize>>| value(range).and_then(frame::string).unwrap_or_default();
        let mut extra: Vec<(Text, Bytes)> = parts
            .extra
            .iter()
            .map(|(name, range)| (Text::from(name), slice(block, start, range)))
            .collect();
        let index = value(&parts.index).and_then(integer);
        if let (None, Some(range)) = (index, &parts.index) {
            extra.push((Text::from("index"), slice(block, start, range)));
        }
        let interner = &mut self.interner;
        Event {
            id: read_id(raw_text(&parts.id)),
            event_type: interner.event_type.get(raw_text(&parts.event_type)),
            run_id: interner.run_id.get(raw_text(&parts.run_id)),
            data: match (&parts.data, value(&parts.data)) {
                (Some(range), Some(text)) if !frame::is_undefined(text) => {
                    Payload::from_valid_json(slice(block, start, range), Dialect::Tagged)
                }
                _ => Payload::absent(),
            },
            created_at: value(&parts.created_at)
                .map_or_else(Timestamp::now, |text| interner.time(text)),
            index,
            delivery_attempt: value(&parts.delivery_attempt)
                .and_then(integer)
                .and_then(|attempt| u32::try_from(attempt).ok())
                .unwrap_or(1)
                .max(1),
            generation: value(&parts.generation)
                .and_then(frame::string)
                .map(|raw| Text::from(json::unescape(raw).unwrap_or_default().into_owned())),
            extra: (!extra.is_empty()).then(|| Box::new(extra)),
        }
    }
}

impl Interner {
    /// A time as envelope, ISO text or number of milliseconds; the present when it is none of them.
    fn time(&mut self, value: &[u8]) -> Timestamp {
        if *self.created_at.0 != *value {
            let millis = read_time(value).unwrap_or_else(|| Timestamp::now().as_millis());
            self.created_at = (Bytes::copy_from_slice(value), millis);
        }
        Timestamp::from_millis(self.created_at.1)
    }
}

fn read_time(value: &[u8]) -> Option<i64> {
    const ENVELOPE: &[u8] = br#"{"__m_codec__":"Date","v":""#;
    if let Some(rest) = value.strip_prefix(ENVELOPE)
        && let Some(text) = rest.strip_suffix(b"\"}")
    {
        return parse_iso(std::str::from_utf8(text).ok()?);
    }
    if value.first() == Some(&b'{') {
        let mut inner = None;
        json::members(value, |key, range| {
            if json::same_key(key, "v") {
                inner = Some(range);
            }
        })
        .ok()?;
        return read_time(&value[inner?]);
    }
    match frame::string(value) {
        Some(raw) => parse_iso(&json::unescape(raw).ok()?),
        None => integer(value).and_then(|millis| i64::try_from(millis).ok()),
    }
}

fn read_id(raw: &[u8]) -> EventId {
    match json::unescape(raw) {
        Ok(text) => EventId::parse(&text),
        Err(_) => EventId::parse(""),
    }
}

fn slice(block: &Bytes, start: usize, range: &Range<usize>) -> Bytes {
    block.slice(start + range.start..start + range.end)
}

fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether the data of `event` have yet to be serialised.
pub(crate) fn is_live(event: &NewEvent) -> bool {
    !event.data.is_absent() && event.data.as_json().is_none()
}

/// The event with its data as JSON text, so that nothing of the caller runs while it is encoded.
///
/// # Errors
/// `InvalidPayload` when a local value cannot be serialised.
pub(crate) fn materialise(mut event: NewEvent) -> Result<NewEvent> {
    if is_live(&event) {
        event.data = Payload::from_valid_json(event.data.to_json()?, Dialect::Tagged);
    }
    Ok(event)
}

/// Appends `event`, which [`materialise`] prepared, as a JSON object on one line.
///
/// # Errors
/// None for a prepared event.
pub(crate) fn write(event: &NewEvent, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    event.write_json(Dialect::Tagged, out)?;
    flatten(&mut out[start..]);
    Ok(())
}

/// JSON text may be laid out over several lines; a frame may not. Newlines in valid JSON are only ever whitespace.
pub(crate) fn flatten(text: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\n', &text[at..]) {
        at += found;
        text[at] = b' ';
    }
}
