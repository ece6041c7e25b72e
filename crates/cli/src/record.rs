//! An event as one line of text: the JSON record, or a line for people.

use std::io::Write;

use bowline_events::codec::date::{format_iso, write_iso};
use bowline_events::{Event, Result};
use serde_json::to_writer;

use crate::colour::{Colour, Painter, visible};

/// Appends `event` as one line of JSON: `id, type, runId, data, createdAt, index?, deliveryAttempt` and what else it carries.
///
/// The data is written as it came, except that line breaks between its tokens become spaces. `createdAt` is ISO text.
pub(crate) fn write_json(event: &Event, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"id\":");
    put_text(out, &event.id.to_string());
    out.extend_from_slice(b",\"type\":");
    put_text(out, &event.event_type);
    out.extend_from_slice(b",\"runId\":");
    put_text(out, &event.run_id);
    if !event.data.is_absent() {
        out.extend_from_slice(b",\"data\":");
        put_raw(out, &event.data.to_json()?);
    }
    out.extend_from_slice(b",\"createdAt\":\"");
    write_iso(event.created_at.as_millis(), out);
    out.push(b'"');
    if let Some(index) = event.index {
        put(out, format_args!(",\"index\":{index}"));
    }
    put(
        out,
        format_args!(",\"deliveryAttempt\":{}", event.delivery_attempt),
    );
    if let Some(generation) = &event.generation {
        out.extend_from_slice(b",\"logGeneration\":");
        put_text(out, generation);
    }
    for (name, value) in event.extra.iter().flat_map(|members| members.iter()) {
        out.push(b',');
        put_text(out, name);
        out.push(b':');
        put_raw(out, value);
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends `event` as one line for people: time, index, type, run, data.
pub(crate) fn write_readable(event: &Event, painter: Painter, out: &mut Vec<u8>) -> Result<()> {
    let mut line = String::with_capacity(128);
    let time = format_iso(event.created_at.as_millis());
    painter.put(&mut line, Colour::Dim, &time);
    if let Some(index) = event.index {
        line.push(' ');
        painter.put(&mut line, Colour::Dim, &format!("#{index}"));
    }
    line.push(' ');
    painter.put(&mut line, Colour::Cyan, &event.event_type);
    if !event.run_id.is_empty() {
        line.push(' ');
        painter.put(&mut line, Colour::Green, &event.run_id);
    }
    if event.delivery_attempt > 1 {
        line.push(' ');
        painter.put(
            &mut line,
            Colour::Yellow,
            &format!("attempt {}", event.delivery_attempt),
        );
    }
    if !event.data.is_absent() {
        line.push(' ');
        let mut data = Vec::new();
        put_raw(&mut data, &event.data.to_json()?);
        visible(&mut line, &String::from_utf8_lossy(&data));
    }
    line.push('\n');
    out.extend_from_slice(line.as_bytes());
    Ok(())
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

/// Appends `text` as a JSON string.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    // A string serialises always, and writing to a vector cannot fail.
    let _ = to_writer(out, text);
}

/// Appends JSON text on one line. Raw control characters stand only between tokens, never inside a JSON string.
fn put_raw(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(text);
    for byte in &mut out[start..] {
        if *byte < b' ' {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::{EventId, NewEvent, Timestamp};

    fn event() -> Event {
        let data = "{\n \"at\": {\"__m_codec__\":\"Date\",\"v\":\"2026-01-02T03:04:05.006Z\"},\t\"big\": 12345678901234567890}";
        let mut event = NewEvent::new("a\"b", "run\n1")
            .with_json(data)
            .unwrap()
            .stamp();
        event.id = EventId::parse("id-1");
        event.created_at = Timestamp::from_millis(1_767_323_045_006);
        event
    }

    fn json(event: &Event) -> String {
        let mut out = Vec::new();
        write_json(event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn readable(event: &Event) -> String {
        let mut out = Vec::new();
        write_readable(event, Painter::always(false), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_json_form_keeps_the_data_and_the_order_of_the_members() {
        let expected = "{\"id\":\"id-1\",\"type\":\"a\\\"b\",\"runId\":\"run\\n1\",\"data\":{  \
            \"at\": {\"__m_codec__\":\"Date\",\"v\":\"2026-01-02T03:04:05.006Z\"}, \"big\": 12345678901234567890},\
            \"createdAt\":\"2026-01-02T03:04:05.006Z\",\"deliveryAttempt\":1}\n";
        assert_eq!(json(&event()), expected);
    }

    #[test]
    fn what_else_an_event_carries_is_written_too() {
        let mut event = event().with_attempt(3);
        event.data = bowline_events::Payload::absent();
        event.index = Some(7);
        event.generation = Some("g".into());
        event.extra = Some(Box::new(vec![("more".into(), "[1,\n2]".into())]));
        let expected = "{\"id\":\"id-1\",\"type\":\"a\\\"b\",\"runId\":\"run\\n1\",\
            \"createdAt\":\"2026-01-02T03:04:05.006Z\",\"index\":7,\"deliveryAttempt\":3,\
            \"logGeneration\":\"g\",\"more\":[1, 2]}\n";
        assert_eq!(json(&event), expected);
        assert_eq!(
            readable(&event),
            "2026-01-02T03:04:05.006Z #7 a\"b run\\u000a1 attempt 3\n"
        );
    }

    #[test]
    fn the_readable_form_is_one_line() {
        let line = readable(&event());
        assert!(
            line.starts_with("2026-01-02T03:04:05.006Z a\"b run\\u000a1 {"),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    }
}
