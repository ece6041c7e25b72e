//! The codec: nothing panics, forwarding changes nothing, the check for Node sees what the tree
//! shows.

#![no_main]

use bowline_events::codec::{self, CodecError, Date, JsError, JsMap, Maybe, Tag, Value};
use bowline_events::json;
use libfuzzer_sys::fuzz_target;

/// Whether the tree holds something that ends or stops a Node peer. Dates without a zone are fine
/// for Node but not readable here.
fn harmful(value: &Value, in_error: bool) -> bool {
    let inside = match value {
        Value::Array(items) => items.iter().any(|item| harmful(item, in_error)),
        Value::Object(members) => members.iter().any(|(_, value)| harmful(value, in_error)),
        Value::Tagged(tagged) => tagged.members().iter().any(|(_, value)| {
            // Of duplicate payloads the receiver sees one.
            let payload = tagged
                .payload()
                .is_some_and(|payload| std::ptr::eq(payload, value));
            harmful(value, in_error || (payload && tagged.tag() == Tag::Error))
        }),
        _ => false,
    };
    inside
        || match value.tag() {
            Some(Tag::BigInt) => in_error,
            Some(Tag::Url) => value.as_url().is_err(),
            _ => false,
        }
}

fn touch(value: &Value) {
    let _ = value.as_date_millis();
    let _ = value.as_bigint();
    let _ = value.as_regexp();
    let _ = value.as_map().map(|entries| entries.count());
    let _ = value.as_class();
    if let Some(error) = value.as_error() {
        let _ = (
            error.name(),
            error.message(),
            error.stack(),
            error.cause_error(),
        );
        let _ = error.fields().count();
    }
    if let Some(members) = match value {
        Value::Object(members) => Some(members),
        Value::Tagged(tagged) => Some(tagged.members()),
        _ => None,
    } {
        for (key, value) in members {
            let _ = (key.to_str(), key.utf16_len());
            touch(value);
        }
    }
}

fuzz_target!(|text: &[u8]| {
    let check = codec::check_for_node(text);
    let valid = json::utf8(text).and_then(|_| json::validate(text)).is_ok();
    let decoded = codec::decode(text);
    assert_eq!(decoded.is_ok(), valid);
    let _ = serde_json::from_slice::<Date>(text);
    let _ = serde_json::from_slice::<JsError>(text);
    let _ = serde_json::from_slice::<JsMap<Maybe<String>, Maybe<i64>>>(text);
    let Ok(value) = decoded else {
        return;
    };
    touch(&value);
    assert!(!matches!(check, Err(CodecError::Json(_))));
    if check.is_ok() {
        assert!(!harmful(&value, false));
    }
    let forwarded = codec::encode(&value);
    let again = codec::decode(&forwarded).expect("what was encoded can be decoded");
    assert_eq!(codec::encode(&again), forwarded);
    assert_eq!(again, value);
    assert_eq!(codec::check_for_node(&forwarded).is_ok(), check.is_ok());
    let plain = codec::to_plain(&value);
    assert!(json::validate(&plain).is_ok());
    let mut tagless = codec::decode_plain(&plain).expect("plain text is JSON");
    assert_eq!(codec::to_plain(&tagless), plain);
    tagless = codec::decode(&plain).expect("plain text is JSON");
    touch(&tagless);
});
