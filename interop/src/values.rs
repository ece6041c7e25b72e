//! The tagged JSON of the peer protocol, for Rust peers: what `lib/values.mjs` is for Node peers.
//!
//! It differs from the JSON of the wire in that everything is valid Unicode and tells its type: strings with lone surrogates,
//! negative zero, invalid dates and objects with awkward keys have tags of their own.

use bowline_events::codec::{self, ErrorRef, JsString, Object, Tag, Tagged, Value as Wire};
use bowline_events::json::escape_into;
use serde_json::{Map, Value, json};

const TAG: &str = "__m_codec__";

fn tagged(tag: &str, payload: Value) -> Value {
    json!({ TAG: tag, "v": payload })
}

/// Wire JSON as the peer protocol writes it; text that does not decode as the tag `Undecodable`.
pub fn reveal(wire: &[u8]) -> Value {
    match codec::decode(wire) {
        Ok(value) => reveal_value(&value),
        Err(error) => tagged("Undecodable", json!(error.to_string())),
    }
}

fn reveal_value(value: &Wire) -> Value {
    match value {
        Wire::Null => Value::Null,
        Wire::Bool(bool) => json!(bool),
        Wire::Number(number) => reveal_number(number.text(), number.as_f64()),
        Wire::String(text) => reveal_string(text),
        Wire::Array(items) => items.iter().map(reveal_value).collect(),
        Wire::Object(members) => reveal_members(members),
        Wire::Tagged(envelope) => reveal_envelope(value, envelope),
    }
}

fn reveal_number(text: &str, double: f64) -> Value {
    if double == 0.0 && double.is_sign_negative() {
        return tagged("Number", json!("-0"));
    }
    if double.is_infinite() {
        let name = if double > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        return tagged("Number", json!(name));
    }
    // Whole numbers keep all their digits: whether a hop has rounded them is what tests want to see.
    match (text.parse::<i64>(), text.parse::<u64>()) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) => json!(number),
        _ if double.fract() == 0.0 && double.abs() < 9e15 => json!(double as i64),
        _ => json!(double),
    }
}

fn reveal_string(text: &JsString) -> Value {
    match text.to_str() {
        Some(text) => json!(text),
        None => tagged("Utf16", json!(units(text.raw()))),
    }
}

/// The UTF-16 units of the text between the quotes of a JSON string.
fn units(raw: &str) -> Vec<u16> {
    let mut units = Vec::new();
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let hex = rest.strip_prefix("\\u").and_then(|tail| tail.get(..4));
        let taken = match hex.and_then(|hex| u16::from_str_radix(hex, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                6
            }
            None if first == '\\' => {
                units.push(short_escape(rest.as_bytes().get(1).copied()));
                2
            }
            None => {
                units.extend_from_slice(first.encode_utf16(&mut [0; 2]));
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    units
}

fn short_escape(letter: Option<u8>) -> u16 {
    u16::from(match letter.unwrap_or_default() {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        other => other,
    })
}

fn reveal_members(members: &Object) -> Value {
    let awkward = |key: &JsString| *key == *TAG || *key == *"__proto__" || key.to_str().is_none();
    if members.iter().any(|(key, _)| awkward(key)) {
        let pairs = members
            .iter()
            .map(|(key, value)| json!([reveal_string(key), reveal_value(value)]));
        return tagged("Plain", pairs.collect());
    }
    plain_members(members.iter().map(|(key, value)| (key, value)))
}

fn plain_members<'a>(members: impl Iterator<Item = (&'a JsString, &'a Wire)>) -> Value {
    let members =
        members.map(|(key, value)| (key.to_string_lossy().into_owned(), reveal_value(value)));
    Value::Object(members.collect())
}

fn reveal_envelope(value: &Wire, envelope: &Tagged) -> Value {
    let payload = envelope.payload();
    let name = envelope.tag().name();
    let or_undefined =
        |part: Option<&Wire>| part.map_or_else(|| json!({ TAG: "Undefined" }), reveal_value);
    match envelope.tag() {
        Tag::Undefined => json!({ TAG: "Undefined" }),
        Tag::Date => match value.as_date_millis() {
            Ok(millis) => tagged(name, json!(codec::date::format_iso(millis))),
            Err(_) => json!({ TAG: "InvalidDate" }),
        },
        Tag::BigInt => tagged(
            name,
            value
                .as_bigint()
                .map_or_else(|_| or_undefined(payload), |text| json!(text)),
        ),
        Tag::Url => tagged(
            name,
            value
                .as_url()
                .map_or_else(|_| or_undefined(payload), |text| json!(text)),
        ),
        Tag::Map => {
            let pairs = value.as_map().into_iter().flatten();
            tagged(
                name,
                pairs
                    .map(|(key, value)| json!([or_undefined(key), or_undefined(value)]))
                    .collect(),
            )
        }
        Tag::Error => value.as_error().map_or(Value::Null, reveal_error),
        Tag::Class => {
            let class = value.as_class().map(|(class, _)| reveal_string(class));
            json!({ TAG: name, "n": class, "v": or_undefined(payload) })
        }
        _ => tagged(name, or_undefined(payload)),
    }
}

fn reveal_error(error: ErrorRef<'_>) -> Value {
    let mut fields = plain_members(error.fields());
    fields["name"] = error.name().map_or_else(|| json!("Error"), reveal_string);
    fields["message"] = error.message().map_or_else(|| json!(""), reveal_string);
    if let Some(stack) = error.stack() {
        fields["stack"] = reveal_string(stack);
    }
    if let Some(cause) = error.cause() {
        fields["cause"] = error
            .cause_error()
            .map_or_else(|| reveal_value(cause), reveal_error);
    }
    tagged("Error", fields)
}

/// Wire JSON from the tagged JSON of the peer protocol.
///
/// # Errors
/// A message that names what has no wire form.
pub fn revive(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Array(items) => write_items(out, items.iter(), b"[]", |out, item| write(item, out)),
        Value::Object(members) => match members.get(TAG).and_then(Value::as_str) {
            Some(tag) => write_tagged(tag, members, out),
            None => write_members(members.iter().map(|(key, value)| (quoted(key), value)), out),
        },
        Value::String(text) => {
            out.extend_from_slice(quoted(text).as_bytes());
            Ok(())
        }
        other => {
            out.extend_from_slice(other.to_string().as_bytes());
            Ok(())
        }
    }
}

fn write_items<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    brackets: &[u8; 2],
    mut each: impl FnMut(&mut Vec<u8>, T) -> Result<(), String>,
) -> Result<(), String> {
    out.push(brackets[0]);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(out, item)?;
    }
    out.push(brackets[1]);
    Ok(())
}

fn write_members<'a>(
    members: impl Iterator<Item = (String, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    write_items(out, members, b"{}", |out, (key, value)| {
        out.extend_from_slice(key.as_bytes());
        out.push(b':');
        write(value, out)
    })
}

fn write_tagged(tag: &str, members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), String> {
    let payload = members.get("v").unwrap_or(&Value::Null);
    match tag {
        "Utf16" => out.extend_from_slice(quoted_units(payload)?.as_bytes()),
        "Number" if payload == "-0" => out.extend_from_slice(b"-0"),
        "Number" => out.extend_from_slice(b"null"),
        "InvalidDate" => out.extend_from_slice(br#"{"__m_codec__":"Date","v":"Invalid Date"}"#),
        "Plain" => {
            let pairs = payload.as_array().ok_or("Plain needs a list of pairs")?;
            let members: Result<Vec<_>, String> = pairs.iter().map(pair).collect();
            write_members(members?.into_iter(), out)?;
        }
        "Undefined" | "Date" | "BigInt" | "URL" | "RegExp" | "Map" | "Set" | "Error" | "Class" => {
            write_members(members.iter().map(|(key, value)| (quoted(key), value)), out)?;
        }
        other => {
            return Err(format!(
                "unknown tag {other:?}; send such an object as Plain"
            ));
        }
    }
    Ok(())
}

fn pair(pair: &Value) -> Result<(String, &Value), String> {
    let key = match &pair[0] {
        Value::String(key) => quoted(key),
        units => quoted_units(&units["v"])?,
    };
    Ok((key, &pair[1]))
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    escape_into(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn quoted_units(units: &Value) -> Result<String, String> {
    let units = units.as_array().ok_or("Utf16 needs a list of numbers")?;
    let escapes: Vec<String> = units
        .iter()
        .map(|unit| format!("\\u{:04x}", unit.as_u64().unwrap_or_default()))
        .collect();
    Ok(format!("\"{}\"", escapes.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(value: &Value) {
        let wire = revive(value).unwrap();
        assert_eq!(reveal(&wire), *value, "{}", String::from_utf8_lossy(&wire));
    }

    #[test]
    fn every_tag_comes_back() {
        for value in [
            json!({"a": [1, "x", null, true, -2.5], "b": {}}),
            json!({ TAG: "Undefined" }),
            tagged("Date", json!("2026-01-02T03:04:05.678Z")),
            json!({ TAG: "InvalidDate" }),
            tagged("BigInt", json!("-12345678901234567890")),
            tagged("URL", json!("https://example.com/a?b#c")),
            tagged("RegExp", json!({"source": "a+", "flags": "gi"})),
            tagged("Map", json!([["k", { TAG: "Undefined" }], [1, [2]]])),
            tagged("Set", json!([1, tagged("Set", json!([]))])),
            tagged(
                "Error",
                json!({"name": "E", "message": "m", "stack": "s", "code": 7}),
            ),
            tagged("Number", json!("-0")),
            tagged("Utf16", json!([0x61, 0xd800, 0x0a, 0x22])),
            tagged("Plain", json!([["__m_codec__", "Future"], ["v", 1]])),
            json!({ TAG: "Class", "n": "Nope", "v": {"a": 1} }),
            json!("a\"\\\n\u{2028}😀\u{1}"),
        ] {
            there_and_back(&value);
        }
    }

    #[test]
    fn unknown_tags_are_refused() {
        assert!(revive(&tagged("Dat", json!(""))).is_err());
    }
}
