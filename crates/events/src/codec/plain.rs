//! From tree to plain JSON: what `JSON.stringify` makes of the values.

use std::borrow::Cow;
use std::collections::HashMap;

use super::bigint;
use super::date;
use super::encode::{array, encode_into, object_of, string};
use super::{JsString, Object, Tag, Tagged, Value};

/// The text of a value for the transports that carry plain JSON and for caches.
///
/// Node consumers expect what `JSON.stringify` gives: dates as ISO 8601 text, URLs as text, members
/// that are `undefined` left out (`null` in arrays and at the top), maps, sets and regular
/// expressions as `{}`, errors as their own fields only, classes as the fields of their instances,
/// numbers beyond a double as `null`. Big integers, at which JavaScript throws, become decimal text.
/// Members named `__proto__` are left out. Texts of dates, big integers and URLs that cannot be
/// read stay as they are.
///
/// What is lost here cannot be read back; keep the tagged text where that matters.
#[must_use]
pub fn to_plain(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) if number.overflows() => out.extend_from_slice(b"null"),
        Value::Array(items) => array(items, out, write),
        Value::Object(members) => object_of(present(members), out, write),
        Value::Tagged(tagged) => write_tagged(tagged, out),
        _ => encode_into(value, out),
    }
}

fn write_tagged(tagged: &Tagged, out: &mut Vec<u8>) {
    match tagged.tag() {
        Tag::Undefined => out.extend_from_slice(b"null"),
        Tag::Date => write_text(tagged, out, |text| {
            date::parse_iso(text).map(|millis| Cow::Owned(date::format_iso(millis)))
        }),
        Tag::BigInt => write_text(tagged, out, bigint::decimal),
        Tag::Url => write_text(tagged, out, |_| None),
        Tag::RegExp | Tag::Map | Tag::Set => out.extend_from_slice(b"{}"),
        Tag::Error => match tagged.payload() {
            Some(Value::Object(members)) => {
                let fixed = ["name", "message", "stack", "cause"];
                let own = present(members)
                    .filter(|(key, _)| !fixed.into_iter().any(|name| **key == name));
                object_of(own, out, write);
            }
            _ => out.extend_from_slice(b"{}"),
        },
        Tag::Class => write_class(tagged, out),
    }
}

/// Writes the text of an envelope, in the form that `normalise` gives it if it can.
fn write_text(
    tagged: &Tagged,
    out: &mut Vec<u8>,
    normalise: impl Fn(&str) -> Option<Cow<'_, str>>,
) {
    let Some(text) = tagged.text() else {
        return out.extend_from_slice(b"null");
    };
    match normalise(&text.to_string_lossy()) {
        Some(normal) => string(&JsString::from(normal.as_ref()), out),
        None => string(text, out),
    }
}

/// The classes of generated files keep their data in a field of another name than on the wire.
fn write_class(tagged: &Tagged, out: &mut Vec<u8>) {
    let name = tagged.members().get(super::CLASS_KEY);
    let is = |class: &str| matches!(name, Some(Value::String(name)) if *name == class);
    let typed = is("DefaultGeneratedFileWithType");
    match tagged.payload() {
        Some(Value::Object(members)) if typed || is("DefaultGeneratedFile") => {
            let mut file = Object::default();
            for (wire, field) in [("data", "base64Data"), ("mediaType", "mediaType")] {
                if let Some(value) = members.get(wire) {
                    file.push(field, value.clone());
                }
            }
            if typed {
                file.push("type", "file".into());
            }
            object_of(present(&file), out, write);
        }
        Some(data) => write(data, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// The members that JavaScript would have and write.
fn present(members: &Object) -> impl Iterator<Item = (&JsString, &Value)> {
    let last = last_places(members);
    members
        .iter()
        .enumerate()
        .filter(move |(at, (key, value))| {
            let hidden = last
                .as_ref()
                .is_some_and(|last| last.get(&key.wtf8()) != Some(at));
            !hidden && !value.is_undefined() && *key != "__proto__"
        })
        .map(|(_, (key, value))| (key, value))
}

/// Where each key stands last. Needed only when a member is left out, since an earlier duplicate
/// would then come back to life; readers let the last one win by themselves.
fn last_places(members: &Object) -> Option<HashMap<Cow<'_, [u8]>, usize>> {
    let places = || {
        members
            .iter()
            .enumerate()
            .map(|(at, (key, _))| (key.wtf8(), at))
    };
    let gaps = members.iter().any(|(_, value)| value.is_undefined());
    gaps.then(|| places().collect())
}
