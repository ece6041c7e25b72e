//! From tree to text, in the tagged dialect.

use super::{JsString, Object, Value};

/// The text of a value, without whitespace. What [`decode`](super::decode) read comes out as it
/// went in.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Appends the text of a value.
pub fn encode_into(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.text().as_bytes()),
        Value::String(text) => string(text, out),
        Value::Array(items) => array(items, out, encode_into),
        Value::Object(members) => object(members, out),
        Value::Tagged(tagged) => object(tagged.members(), out),
    }
}

fn object(members: &Object, out: &mut Vec<u8>) {
    let members = members.iter().map(|(key, value)| (key, value));
    object_of(members, out, encode_into);
}

/// Writes an object; `write` writes the values.
pub(super) fn object_of<'a>(
    members: impl Iterator<Item = (&'a JsString, &'a Value)>,
    out: &mut Vec<u8>,
    write: impl Fn(&Value, &mut Vec<u8>),
) {
    out.push(b'{');
    for (at, (key, value)) in members.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// Writes an array; `write` writes the items.
pub(super) fn array(items: &[Value], out: &mut Vec<u8>, write: impl Fn(&Value, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Writes a string as it was spelled.
pub(super) fn string(text: &JsString, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.raw().as_bytes());
    out.push(b'"');
}
