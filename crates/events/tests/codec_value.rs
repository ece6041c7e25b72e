//! The contract of the tree: nothing is lost, nothing is misread, everything is bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_events::codec::{
    self, CodecError, Dialect, ErrorValue, JsString, Limits, MAX_CAUSES, Number, Object, Tag,
    Value, check_for_node, decode, decode_plain, decode_with, encode, to_plain,
};
use bowline_events::json::{self, MAX_DEPTH, ScanErrorKind};
use proptest::prelude::*;

fn forwarded(text: &str) -> String {
    String::from_utf8(encode(&decode(text.as_bytes()).unwrap())).unwrap()
}

fn plain(text: &str) -> String {
    String::from_utf8(to_plain(&decode(text.as_bytes()).unwrap())).unwrap()
}

fn tag(text: &str) -> Option<Tag> {
    decode(text.as_bytes()).unwrap().tag()
}

#[test]
fn texts_are_forwarded_as_they_came() {
    for text in [
        r#"{"n":[1.0,-0,1e400,12345678901234567890,1E5]}"#,
        r#"{"s":"\u0041\/\ud800\uD83D\uDE00é"}"#,
        r#"{"10":1,"2":2,"a":3,"a":4,"__proto__":5}"#,
        r#"{"v":"1970-01-01T00:00:00Z","__m_codec__":"Date","extra":[1]}"#,
        r#"{"__m_codec__":"Date","v":5,"v":"1970"}"#,
        r#"{"__m_\u0063odec__":"D\u0061te","v":"1970"}"#,
        r#"{"__m_codec__":"Undefined","x":{"__m_codec__":"BigInt","v":" 0x10 "}}"#,
        r#"{"__m_codec__":"Map","v":[[],["a"],["a",1,2]]}"#,
        r#"{"__m_codec__":"Class","v":1,"n":"\u0041"}"#,
    ] {
        assert_eq!(forwarded(text), text);
    }
}

#[test]
fn an_object_is_an_envelope_only_if_tag_and_shape_fit() {
    let source = |length| {
        format!(
            r#"{{"__m_codec__":"RegExp","v":{{"source":"{}","flags":""}}}}"#,
            "a".repeat(length)
        )
    };
    for (text, expected) in [
        (r#"{"__m_codec__":"Undefined","v":1}"#, Some(Tag::Undefined)),
        (r#"{"__m_codec__":"Date","v":"whatever"}"#, Some(Tag::Date)),
        (r#"{"__m_codec__":"Date","v":1}"#, None),
        (r#"{"__m_codec__":"Date"}"#, None),
        (r#"{"__m_codec__":"date","v":""}"#, None),
        (
            r#"{"__m_codec__":"BigInt","v":{"__m_codec__":"Undefined"}}"#,
            None,
        ),
        (r#"{"__m_codec__":"URL","v":""}"#, Some(Tag::Url)),
        (r#"{"__m_codec__":"Url","v":""}"#, None),
        (
            r#"{"__m_codec__":"RegExp","v":{"source":"(","flags":"uv"}}"#,
            Some(Tag::RegExp),
        ),
        (
            r#"{"__m_codec__":"RegExp","v":{"source":"","flags":"gg"}}"#,
            None,
        ),
        (
            r#"{"__m_codec__":"RegExp","v":{"source":"","flags":"x"}}"#,
            None,
        ),
        (r#"{"__m_codec__":"RegExp","v":{"source":""}}"#, None),
        (r#"{"__m_codec__":"RegExp","v":["",""]}"#, None),
        (&source(1024), Some(Tag::RegExp)),
        (&source(1025), None),
        (
            r#"{"__m_codec__":"Map","v":[["a",1],["b"],[]]}"#,
            Some(Tag::Map),
        ),
        (r#"{"__m_codec__":"Map","v":[["a",1],5]}"#, None),
        (r#"{"__m_codec__":"Map","v":{}}"#, None),
        (r#"{"__m_codec__":"Set","v":[]}"#, Some(Tag::Set)),
        (r#"{"__m_codec__":"Set","v":{}}"#, None),
        (r#"{"__m_codec__":"Error","v":[]}"#, Some(Tag::Error)),
        (r#"{"__m_codec__":"Error","v":null}"#, None),
        (r#"{"__m_codec__":"Class","n":"A"}"#, Some(Tag::Class)),
        (r#"{"__m_codec__":"Class","v":"A"}"#, None),
        (r#"{"__m_codec__":"Nope","v":1}"#, None),
        (r#"{"__m_codec__":{"a":1},"v":1}"#, None),
        // The last of duplicates counts.
        (
            r#"{"__m_codec__":"Nope","__m_codec__":"Set","v":1,"v":[]}"#,
            Some(Tag::Set),
        ),
        (r#"{"__m_codec__":"Set","v":[],"v":1}"#, None),
        (
            r#"{"\u005f_m_codec_\u005F":"\u0053et","v":[]}"#,
            Some(Tag::Set),
        ),
    ] {
        assert_eq!(tag(text), expected, "{text}");
    }
}

#[test]
fn the_plain_dialect_has_no_envelopes() {
    let text = br#"{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"}"#;
    let value = decode_plain(text).unwrap();
    assert_eq!(value.get("__m_codec__").unwrap().as_str().unwrap(), "Date");
    assert_eq!(encode(&value), text);
}

#[test]
fn members_are_found_as_javascript_finds_them() {
    let value = decode(br#"{"a":1,"\u0061":2,"__proto__":3,"b":null}"#).unwrap();
    assert_eq!(value.get("a"), Some(&2.into()));
    assert_eq!(value.get("__proto__"), None);
    assert_eq!(value.get("b"), Some(&Value::Null));
    assert_eq!(value.get("c"), None);
}

#[test]
fn limits_are_enforced_and_named() {
    let limits = |text_bytes, nodes| Limits { text_bytes, nodes };
    let text = b"[1,{\"a\":[2]}]";
    let run = |limits| decode_with(text, Dialect::Tagged, &limits);
    assert!(run(limits(text.len(), 5)).is_ok());
    let error = run(limits(text.len() - 1, 5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "text of 13 bytes exceeds the limit of 12; split it or raise the limit"
    );
    assert_eq!(
        run(limits(100, 4)),
        Err(CodecError::TooManyNodes { limit: 4 })
    );

    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(decode(nested(MAX_DEPTH).as_bytes()).is_ok());
    for text in [
        nested(MAX_DEPTH + 1),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(1_000_000),
    ] {
        let Err(CodecError::Json(error)) = decode(text.as_bytes()) else {
            panic!("accepted");
        };
        assert_eq!(error.kind(), ScanErrorKind::Depth);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        &b""[..],
        b"{",
        b"[1,]",
        b"{\"a\" 1}",
        b"1 2",
        b"\"\x01\"",
        b"\"\xff\"",
        b"nul",
    ] {
        assert!(matches!(decode(text), Err(CodecError::Json(_))), "{text:?}");
    }
}

#[test]
fn plain_text_is_what_json_stringify_gives() {
    for (text, expected) in [
        (
            r#"{"a":{"__m_codec__":"Date","v":"2026-01-02"}}"#,
            r#"{"a":"2026-01-02T00:00:00.000Z"}"#,
        ),
        (
            r#"{"__m_codec__":"Date","v":"Fri, 02 Jan 2026"}"#,
            r#""Fri, 02 Jan 2026""#,
        ),
        (
            r#"{"__m_codec__":"URL","v":"https:\/\/a\/"}"#,
            r#""https:\/\/a\/""#,
        ),
        (r#"{"__m_codec__":"BigInt","v":" 0x10"}"#, r#""16""#),
        (r#"{"__m_codec__":"BigInt","v":"-007"}"#, r#""-7""#),
        (r#"{"__m_codec__":"Undefined"}"#, "null"),
        (
            r#"{"a":{"__m_codec__":"Undefined"},"b":[{"__m_codec__":"Undefined"},1]}"#,
            r#"{"b":[null,1]}"#,
        ),
        // The last duplicate counts, also when it is left out.
        (
            r#"{"a":1,"b":2,"\u0061":{"__m_codec__":"Undefined"}}"#,
            r#"{"b":2}"#,
        ),
        (r#"{"a":{"__m_codec__":"Undefined"},"a":1}"#, r#"{"a":1}"#),
        (r#"{"__proto__":{"a":1},"b":2}"#, r#"{"b":2}"#),
        (
            r#"[{"__m_codec__":"Map","v":[["a",1]]},{"__m_codec__":"Set","v":[1]}]"#,
            "[{},{}]",
        ),
        (
            r#"{"__m_codec__":"RegExp","v":{"source":"a","flags":"g"}}"#,
            "{}",
        ),
        (
            r#"{"__m_codec__":"Error","v":{"name":"E","message":"m","stack":"s","cause":{},"code":1,"at":{"__m_codec__":"Date","v":"1970"}}}"#,
            r#"{"code":1,"at":"1970-01-01T00:00:00.000Z"}"#,
        ),
        (
            r#"{"__m_codec__":"Class","n":"DefaultGeneratedFileWithType","v":{"data":"aGk=","mediaType":"text/plain"}}"#,
            r#"{"base64Data":"aGk=","mediaType":"text/plain","type":"file"}"#,
        ),
        (
            r#"{"__m_codec__":"Class","n":"Mine","v":{"a":{"__m_codec__":"Undefined"},"b":1}}"#,
            r#"{"b":1}"#,
        ),
        ("[1e400,-1E999,1e3,1.0]", "[null,null,1e3,1.0]"),
        (
            r#"{"__m_codec__":"Nope","v":1}"#,
            r#"{"__m_codec__":"Nope","v":1}"#,
        ),
    ] {
        assert_eq!(plain(text), expected, "{text}");
    }
}

#[test]
fn constructors_refuse_what_a_receiver_would_misread() {
    let limit = codec::date::MAX_MILLIS;
    assert!(Value::date(limit).is_ok() && Value::date(-limit).is_ok());
    assert!(Value::date(limit + 1).is_err() && Value::date(i64::MIN).is_err());
    for digits in ["", "-", "+1", "0x1", "1.5", " 1", "1n", "١"] {
        assert!(Value::bigint(digits).is_err(), "{digits:?}");
    }
    for href in ["", "/relative", "example.com", "http://", "http:a"] {
        assert!(Value::url(href).is_err(), "{href:?}");
    }
    assert!(Value::regexp("(", "g").is_ok());
    assert!(Value::regexp("a", "gg").is_err() && Value::regexp("a", "x").is_err());
    assert!(Value::regexp(&"😀".repeat(512), "").is_ok());
    assert!(Value::regexp(&"😀".repeat(513), "").is_err());
    let error = Value::bigint(&"x".repeat(1000)).unwrap_err();
    assert!(error.to_string().len() < 160, "{error}");
}

#[test]
fn errors_hold_plain_json_and_a_bounded_chain_of_causes() {
    let with = |key: &str, value: Value| {
        let mut error = ErrorValue::new("Error", "x");
        error.fields.push(key, value);
        Value::error(error)
    };
    assert!(with("code", 1.into()).is_ok());
    for tagged in [
        Value::undefined(),
        vec![Value::bigint("1").unwrap()].into(),
        decode_plain(br#"{"a":{"__m_codec__":"Nope"}}"#).unwrap(),
    ] {
        let expected = CodecError::NotPlain {
            field: "f".to_owned(),
        };
        assert_eq!(with("f", tagged), Err(expected));
    }
    for fixed in ["name", "message", "stack", "cause"] {
        let expected = CodecError::ReservedField {
            field: fixed.to_owned(),
        };
        assert_eq!(with(fixed, 1.into()), Err(expected));
    }
    let chain = |length: usize| {
        let innermost = Value::error(ErrorValue::new("Error", "end"));
        (0..length).fold(innermost, |cause, _| {
            let mut error = ErrorValue::new("Error", "link");
            error.cause = Some(cause?);
            Value::error(error)
        })
    };
    let longest = chain(MAX_CAUSES).unwrap();
    assert!(check_for_node(&encode(&longest)).is_ok());
    let mut depth = 0;
    let mut error = longest.as_error().unwrap();
    while let Some(cause) = error.cause_error() {
        depth += 1;
        error = cause;
    }
    assert_eq!((depth, error.message().unwrap().raw()), (MAX_CAUSES, "end"));
    assert_eq!(chain(MAX_CAUSES + 1), Err(CodecError::TooManyCauses));
}

#[test]
fn reading_the_wrong_kind_says_so() {
    let number = Value::from(1);
    assert_eq!(
        number.as_date_millis(),
        Err(CodecError::NotA { tag: Tag::Date })
    );
    assert_eq!(
        number.as_bigint().unwrap_err().to_string(),
        "the value is not a BigInt"
    );
    assert!(number.as_map().is_none() && number.as_error().is_none());
    assert!(Value::set([]).as_map().is_none());
}

#[test]
fn big_integers_are_read_as_javascript_reads_them() {
    for (text, expected) in [
        ("", Some("0")),
        (" \u{feff}\u{a0}12\n", Some("12")),
        ("\u{85}12", None),
        ("+5", Some("5")),
        ("-005", Some("-5")),
        ("-0", Some("0")),
        ("-", None),
        ("- 5", None),
        ("0x", None),
        ("0XfF", Some("255")),
        ("-0x1", None),
        ("0o17", Some("15")),
        ("0b12", None),
        ("1_000", None),
        ("1e3", None),
        ("5n", None),
        ("é", None),
    ] {
        let mut members = Object::default();
        members.push("__m_codec__", "BigInt".into());
        members.push("v", text.into());
        let value = decode(&encode(&members.into())).unwrap();
        assert_eq!(value.as_bigint().ok().as_deref(), expected, "{text:?}");
    }
}

/// Any string of JavaScript, in any spelling.
fn string() -> impl Strategy<Value = JsString> {
    let piece =
        "([a-z é😀]{0,40}|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud[89a-f][0-9a-f]{2}){0,4}";
    prop_oneof![
        any::<String>().prop_map(JsString::from),
        piece.prop_map(|raw| JsString::from_raw(&raw).unwrap()),
    ]
}

/// Values of every kind, built by the constructors. Keys avoid the reserved name, which the wire
/// cannot escape.
fn value() -> impl Strategy<Value = Value> {
    let limit = codec::date::MAX_MILLIS;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|text| Value::Number(Number::from_text(&text).unwrap())),
        string().prop_map(Value::String),
        Just(Value::undefined()),
        (-limit..=limit).prop_map(|millis| Value::date(millis).unwrap()),
        "-?[0-9]{1,60}".prop_map(|digits| Value::bigint(&digits).unwrap()),
        "https://[a-z]{1,9}\\.org(:[0-9]{1,4})?/[a-z/%?#]{0,9}"
            .prop_map(|href| Value::url(&href).unwrap()),
        (any::<String>(), "g?i?m?").prop_filter_map("too long", |(source, flags)| {
            Value::regexp(&source, &flags).ok()
        }),
        (string(), string(), prop::option::of(string())).prop_map(|(name, message, stack)| {
            let mut error = ErrorValue::new(name, message);
            error.stack = stack;
            Value::error(error).unwrap()
        }),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let members = || {
            prop::collection::vec((string(), inner.clone()), 0..5).prop_map(|members| {
                members
                    .into_iter()
                    .filter(|(key, _)| *key != "__m_codec__")
                    .collect::<Object>()
            })
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            members().prop_map(Value::from),
            prop::collection::vec((inner.clone(), inner.clone()), 0..5).prop_map(Value::map),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::set),
            members().prop_map(|members| Value::class("Mine", members.into())),
        ]
    })
}

/// JSON texts full of envelopes, right and wrong, in every spelling.
fn suspicious() -> impl Strategy<Value = String> {
    let words =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let leaf = words(&[
        "1",
        "null",
        r#""x""#,
        r#""1970""#,
        r#""1""#,
        r#""urn:x""#,
        r#""\ud800""#,
        "[]",
        "{}",
        r#"{"__m_codec__":"BigInt","v":"1"}"#,
        r#"{"__m_codec__":"Date","v":"1970"}"#,
        r#"{"__m_codec__":"Map","v":[["a",1],[1]]}"#,
    ]);
    let tag = words(&[
        r#""Date""#,
        r#""BigInt""#,
        r#""URL""#,
        r#""Map""#,
        r#""Set""#,
        r#""Error""#,
        r#""\u0045rror""#,
        r#""Class""#,
        r#""RegExp""#,
        r#""Undefined""#,
        r#""Nope""#,
        "1",
    ]);
    let tag_key = words(&[
        r#""__m_codec__""#,
        r#""__m_codec__""#,
        r#""__m_\u0063odec__""#,
    ]);
    let key = words(&[
        r#""v""#,
        r#""v""#,
        r#""\u0076""#,
        r#""n""#,
        r#""message""#,
        r#""cause""#,
        r#""data""#,
        r#""x""#,
    ]);
    leaf.prop_recursive(5, 30, 4, move |inner| {
        let tag = (tag_key.clone(), tag.clone());
        let member = prop_oneof![tag, (key.clone(), inner.clone())];
        let member = member.prop_map(|(key, value)| format!("{key} : {value}"));
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            3 => prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Whether the tree holds something that ends or stops a Node peer, judged value by value.
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
    let itself = match value.tag() {
        Some(Tag::Date) => value.as_date_millis().is_err(),
        Some(Tag::BigInt) => in_error || value.as_bigint().is_err(),
        Some(Tag::Url) => value.as_url().is_err(),
        _ => false,
    };
    inside || itself
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(value in value()) {
        let text = encode(&value);
        prop_assert!(json::validate(&text).is_ok());
        let back = decode(&text).unwrap();
        prop_assert_eq!(encode(&back), text);
        prop_assert_eq!(back, value);
    }

    #[test]
    fn whatever_is_built_is_fit_for_node(value in value()) {
        let text = encode(&value);
        prop_assert_eq!(check_for_node(&text), Ok(()), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn plain_text_holds_no_envelope(value in value()) {
        let text = to_plain(&value);
        prop_assert_eq!(encode(&decode(&text).unwrap()), encode(&decode_plain(&text).unwrap()));
        prop_assert!(memchr::memmem::find(&text, b"__m_codec__").is_none());
    }

    #[test]
    fn plain_json_passes_through_both_dialects(value in value()) {
        let text = to_plain(&value);
        prop_assert_eq!(&encode(&decode(&text).unwrap()), &text);
        prop_assert_eq!(to_plain(&decode_plain(&text).unwrap()), text);
    }

    #[test]
    fn envelopes_of_any_shape_are_forwarded(text in suspicious()) {
        let value = decode(text.as_bytes()).unwrap();
        let forwarded = String::from_utf8(encode(&value)).unwrap();
        prop_assert_eq!(&forwarded, &text.replace(" :", ":").replace(": ", ":").replace(" ,", ","));
        prop_assert_eq!(decode(forwarded.as_bytes()).unwrap(), value);
    }

    #[test]
    fn the_check_for_node_sees_what_the_tree_shows(text in suspicious()) {
        let value = decode(text.as_bytes()).unwrap();
        match check_for_node(text.as_bytes()) {
            Ok(()) => prop_assert!(!harmful(&value, false)),
            Err(error) => prop_assert!(matches!(error, CodecError::Hazard { .. }), "{}", error),
        }
    }

    #[test]
    fn damaged_texts_are_accepted_by_the_decoder_as_by_the_scanner(
        text in suspicious(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(&b"\"\\{}[]:,0x \xff"[..]),
    ) {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let valid = json::utf8(&text).and_then(|_| json::validate(&text)).is_ok();
        prop_assert_eq!(decode(&text).is_ok(), valid);
        if valid {
            let refused = matches!(check_for_node(&text), Err(CodecError::Json(_)));
            prop_assert!(!refused);
        }
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&text);
        let _ = decode_plain(&text);
        let _ = check_for_node(&text);
        let _ = JsString::from_raw(&String::from_utf8_lossy(&text));
        let _ = Number::from_text(&String::from_utf8_lossy(&text));
        let _ = Value::url(&String::from_utf8_lossy(&text));
    }
}
