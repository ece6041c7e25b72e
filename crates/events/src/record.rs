//! The JSON form of an event record.

use bytes::Bytes;
use uuid::Uuid;

use crate::codec::date::{parse_iso, write_iso};
use crate::{
    Dialect, Error, ErrorKind, Event, EventId, ExtraMembers, NewEvent, Payload, Result, Text,
    Timestamp, codec, json,
};

impl Event {
    /// Writes the record as one JSON object: `type, runId, data, id, createdAt, index?, deliveryAttempt`, then unknown members.
    ///
    /// In the tagged dialect `createdAt` is a `Date` envelope, in the plain one ISO text, and `data` is converted as
    /// `JSON.stringify` would.
    ///
    /// # Errors
    /// `InvalidPayload` when a local value cannot be serialised.
    pub fn write_json(&self, dialect: Dialect, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        write_text(out, "type", &self.event_type);
        write_text(out, "runId", &self.run_id);
        write_data(out, &self.data, dialect)?;
        self.write_tail(dialect, out);
        Ok(())
    }

    /// Writes the record for people and tools: members as in [`write_json`](Self::write_json) with `id` first, `createdAt` as ISO
    /// text, and `data` exactly as it came, envelopes included.
    ///
    /// # Errors
    /// `InvalidPayload` when a local value cannot be serialised.
    pub fn write_lossless(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        write_id(out, &self.id);
        write_text(out, "type", &self.event_type);
        write_text(out, "runId", &self.run_id);
        write_data(out, &self.data, self.data.dialect())?;
        write_created_at(out, self.created_at, Dialect::Plain);
        self.write_rest(out);
        Ok(())
    }

    fn write_tail(&self, dialect: Dialect, out: &mut Vec<u8>) {
        write_id(out, &self.id);
        write_created_at(out, self.created_at, dialect);
        self.write_rest(out);
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        write_index(out, self.index);
        write_key(out, "deliveryAttempt");
        write_number(out, u64::from(self.delivery_attempt));
        write_extra(out, self.generation.as_ref(), self.extra.as_deref());
        out.push(b'}');
    }

    /// Reads a record. `data` stays a slice of `text`. Missing or misfit members get harmless values: an empty `type` or `runId`,
    /// a fresh `id`, attempt 1, the epoch as `createdAt`.
    ///
    /// # Errors
    /// `InvalidPayload` when `text` is not one JSON object in UTF-8.
    pub fn from_json(text: &Bytes, dialect: Dialect) -> Result<Self> {
        let mut event = NewEvent::default().stamp();
        event.created_at = Timestamp::from_millis(0);
        let mut extra = ExtraMembers::new();
        read_members(text, |key, value| match key {
            "type" => event.event_type = read_text(&value),
            "runId" => event.run_id = read_text(&value),
            "data" => event.data = Payload::from_valid_json(value, dialect),
            "id" => event.id = EventId::parse(&read_text(&value)),
            "createdAt" => event.created_at = read_timestamp(&value).unwrap_or(event.created_at),
            "index" => event.index = read_number(&value),
            "deliveryAttempt" => {
                event.delivery_attempt = read_number(&value)
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(1)
                    .max(1);
            }
            "logGeneration" => event.generation = Some(read_text(&value)),
            other => extra.push((Text::from(other.to_owned()), value)),
        })?;
        event.extra = (!extra.is_empty()).then(|| Box::new(extra));
        Ok(event)
    }
}

impl NewEvent {
    /// Writes what a publisher knows: `type, runId, data, index?`, then unknown members.
    ///
    /// # Errors
    /// `InvalidPayload` when a local value cannot be serialised.
    pub fn write_json(&self, dialect: Dialect, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        write_text(out, "type", &self.event_type);
        write_text(out, "runId", &self.run_id);
        write_data(out, &self.data, dialect)?;
        write_index(out, self.index);
        write_extra(out, self.generation.as_ref(), self.extra.as_deref());
        out.push(b'}');
        Ok(())
    }

    /// Reads a record and leaves out what the transport assigns (`id`, `createdAt`, `deliveryAttempt`).
    ///
    /// # Errors
    /// `InvalidPayload` when `text` is not one JSON object in UTF-8.
    pub fn from_json(text: &Bytes, dialect: Dialect) -> Result<Self> {
        Event::from_json(text, dialect).map(|event| event.to_new())
    }
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_text(out: &mut Vec<u8>, key: &str, text: &str) {
    write_key(out, key);
    json::escape_into(text, out);
}

fn write_data(out: &mut Vec<u8>, data: &Payload, dialect: Dialect) -> Result<()> {
    if !data.is_absent() {
        write_key(out, "data");
        out.extend_from_slice(&data.to_json_in(dialect)?);
    }
    Ok(())
}

fn write_id(out: &mut Vec<u8>, id: &EventId) {
    write_key(out, "id");
    match id {
        EventId::Uuid(id) => {
            out.push(b'"');
            out.extend_from_slice(
                id.hyphenated()
                    .encode_lower(&mut Uuid::encode_buffer())
                    .as_bytes(),
            );
            out.push(b'"');
        }
        EventId::Text(text) => json::escape_into(text, out),
    }
}

fn write_created_at(out: &mut Vec<u8>, at: Timestamp, dialect: Dialect) {
    write_key(out, "createdAt");
    if dialect == Dialect::Tagged {
        out.extend_from_slice(br#"{"__m_codec__":"Date","v":"#);
    }
    out.push(b'"');
    write_iso(at.as_millis(), out);
    out.push(b'"');
    if dialect == Dialect::Tagged {
        out.push(b'}');
    }
}

fn write_index(out: &mut Vec<u8>, index: Option<u64>) {
    if let Some(index) = index {
        write_key(out, "index");
        write_number(out, index);
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}");
}

/// The members that the record itself has; an unknown member cannot take their place.
const OWN_MEMBERS: [&str; 8] = [
    "type",
    "runId",
    "data",
    "id",
    "createdAt",
    "index",
    "deliveryAttempt",
    "logGeneration",
];

fn write_extra(out: &mut Vec<u8>, generation: Option<&Text>, extra: Option<&ExtraMembers>) {
    if let Some(generation) = generation {
        write_text(out, "logGeneration", generation);
    }
    for (key, value) in extra.into_iter().flatten() {
        if OWN_MEMBERS.contains(&key.as_str()) {
            continue;
        }
        out.push(b',');
        json::escape_into(key, out);
        out.push(b':');
        out.extend_from_slice(value);
    }
}

fn read_members(text: &Bytes, mut take: impl FnMut(&str, Bytes)) -> Result<()> {
    let not_a_record = |error: json::ScanError| {
        Error::new(
            ErrorKind::InvalidPayload,
            "read event",
            "the text is not one JSON object in UTF-8",
        )
        .with_source(error)
    };
    json::utf8(text).map_err(not_a_record)?;
    let mut failed = None;
    json::members(text, |key, range| match json::unescape(key) {
        Ok(key) => take(&key, text.slice(range)),
        Err(error) => failed = Some(error),
    })
    .map_err(not_a_record)?;
    failed.map_or(Ok(()), |error| Err(not_a_record(error)))
}

fn read_text(value: &[u8]) -> Text {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    match inner.map(json::unescape) {
        Some(Ok(text)) => Text::from(text.into_owned()),
        _ => Text::default(),
    }
}

fn read_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A date envelope, ISO text, or milliseconds.
fn read_timestamp(value: &Bytes) -> Option<Timestamp> {
    let millis = match value.first()? {
        b'"' => parse_iso(&read_text(value)),
        b'{' => codec::decode(value).ok()?.as_date_millis().ok(),
        _ => std::str::from_utf8(value)
            .ok()?
            .parse::<f64>()
            .ok()
            .map(|millis| millis as i64),
    };
    millis.map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &'static str, dialect: Dialect) -> Event {
        Event::from_json(&Bytes::from_static(text.as_bytes()), dialect).expect(text)
    }

    fn written(event: &Event, dialect: Dialect) -> String {
        let mut out = Vec::new();
        event.write_json(dialect, &mut out).expect("a record");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn the_tagged_form_is_the_one_that_the_reference_writes() {
        let text = r#"{"type":"x","runId":"r","data":1,"id":"8f14e45f-ceea-467f-a5b3-000000000000","createdAt":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"deliveryAttempt":1}"#;
        assert_eq!(
            written(&record(text, Dialect::Tagged), Dialect::Tagged),
            text
        );
    }

    #[test]
    fn the_plain_form_is_the_one_that_the_reference_writes() {
        let text = r#"{"type":"x","runId":"r","data":{"a":1},"id":"21395ff8-2f70-42ec-815d-976b58872d60","createdAt":"2026-11-20T03:13:35.322Z","index":7,"deliveryAttempt":1,"extra":1}"#;
        assert_eq!(written(&record(text, Dialect::Plain), Dialect::Plain), text);
    }

    #[test]
    fn crossing_to_plain_json_follows_stringify() {
        let event = record(
            r#"{"type":"x","runId":"r","data":{"at":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"u":{"__m_codec__":"Undefined"}}}"#,
            Dialect::Tagged,
        );
        assert!(
            written(&event, Dialect::Plain)
                .contains(r#""data":{"at":"1970-01-01T00:00:00.000Z"},"#)
        );
        assert!(written(&event, Dialect::Tagged).contains(r#""u":{"__m_codec__":"Undefined"}"#));
    }

    #[test]
    fn an_absent_data_member_stays_absent_and_null_stays_null() {
        assert!(record(r#"{"type":"x"}"#, Dialect::Plain).data.is_absent());
        let null = record(r#"{"type":"x","data":null}"#, Dialect::Plain);
        assert!(!null.data.is_absent());
        assert!(written(&null, Dialect::Plain).contains(r#""data":null"#));
    }

    #[test]
    fn times_are_read_from_envelope_text_and_number() {
        for text in [
            r#"{"createdAt":{"__m_codec__":"Date","v":"1970-01-01T00:00:01.500Z"}}"#,
            r#"{"createdAt":"1970-01-01T00:00:01.500Z"}"#,
            r#"{"createdAt":1500}"#,
        ] {
            assert_eq!(
                record(text, Dialect::Tagged).created_at.as_millis(),
                1500,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["", "[]", "{", r#"{"a":1}x"#, "\u{7f}"] {
            let error = Event::from_json(&Bytes::from(text), Dialect::Plain).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidPayload, "{text}");
        }
        assert!(
            Event::from_json(&Bytes::from_static(b"{\"a\":\"\xff\"}"), Dialect::Plain).is_err()
        );
    }
}
