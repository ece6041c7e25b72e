//! The contract of the JSON scanner, with `serde_json` as the judge of what is JSON.

use std::ops::Range;

use bowline_events::json::{self, MAX_DEPTH, MemberVisitor, ScanErrorKind};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

fn judge(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

fn kind(text: &str) -> Option<(ScanErrorKind, usize)> {
    let error = json::validate(text.as_bytes()).err()?;
    Some((error.kind(), error.offset()))
}

#[test]
fn texts_that_are_json() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e-7",
        "1E+21",
        "-0.0e0",
        "123456789012345678901234567890",
        "\"\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u0000\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\u{7f}\u{2028}😀\"",
        "[]",
        "{}",
        " [ ] ",
        "\r\n{ \"a\" : [ 1 , { } ] , \"a\" : null }\t\r\n",
        "[[],[[]],{\"\":{}}]",
    ] {
        assert_eq!(kind(text), None, "{text}");
    }
}

#[test]
fn faults_are_named_with_their_place() {
    use ScanErrorKind::{Eof, Syntax, Trailing};
    for (text, expected) in [
        ("", (Eof, 0)),
        ("  ", (Eof, 2)),
        ("nul", (Eof, 3)),
        ("nulL", (Syntax, 3)),
        ("True", (Syntax, 0)),
        ("01", (Trailing, 1)),
        ("-", (Eof, 1)),
        ("-a", (Syntax, 1)),
        ("+1", (Syntax, 0)),
        (".5", (Syntax, 0)),
        ("1.", (Eof, 2)),
        ("1.e5", (Syntax, 2)),
        ("1e", (Eof, 2)),
        ("1e+", (Eof, 3)),
        ("\"", (Eof, 1)),
        ("\"a\nb\"", (Syntax, 2)),
        ("\"\\x\"", (Syntax, 2)),
        ("\"\\u12g4\"", (Syntax, 5)),
        ("\"\\u12", (Eof, 5)),
        ("\"\\", (Eof, 2)),
        ("[", (Eof, 1)),
        ("[1", (Eof, 2)),
        ("[1,]", (Syntax, 3)),
        ("[,1]", (Syntax, 1)),
        ("[1 2]", (Syntax, 3)),
        ("[1}", (Syntax, 2)),
        ("{\"a\"}", (Syntax, 4)),
        ("{\"a\":}", (Syntax, 5)),
        ("{\"a\":1,}", (Syntax, 7)),
        ("{a:1}", (Syntax, 1)),
        ("{1:1}", (Syntax, 1)),
        ("{\"a\":1]", (Syntax, 6)),
        ("{} {}", (Trailing, 3)),
        ("1,", (Trailing, 1)),
        ("\u{feff}1", (Syntax, 0)),
        ("\u{a0}1", (Syntax, 0)),
    ] {
        assert_eq!(kind(text), Some(expected), "{text:?}");
    }
}

#[test]
fn an_error_is_one_line_that_says_where() {
    let error = json::validate(b"[1,]").unwrap_err();
    assert_eq!(error.to_string(), "invalid JSON at byte 3");
    let error = json::utf8(b"\"\xff\"").unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ScanErrorKind::Encoding, 1));
}

#[test]
fn nesting_is_allowed_up_to_the_limit_and_no_further() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let width = open.matches(['[', '{']).count();
        let text = |depth: usize| {
            let times = depth / width;
            format!("{}1{}", open.repeat(times), close.repeat(times))
        };
        assert_eq!(kind(&text(MAX_DEPTH)), None);
        let (kind, offset) = kind(&text(MAX_DEPTH + width)).unwrap();
        assert_eq!(kind, ScanErrorKind::Depth);
        assert_eq!(offset, open.repeat(MAX_DEPTH / width).len());
    }
    let endless = "[".repeat(1_000_000);
    assert_eq!(kind(&endless), Some((ScanErrorKind::Depth, MAX_DEPTH)));
}

#[test]
fn the_depth_limit_holds_for_members_too() {
    for (depth, fine) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let arrays = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
        for text in [
            format!("{{\"a\":{}}}", arrays(depth - 1)),
            format!("{{\"a\":{{\"b\":{}}}}}", arrays(depth - 2)),
        ] {
            let text = text.as_bytes();
            assert_eq!(json::validate(text).is_ok(), fine);
            assert_eq!(json::members(text, |_, _| {}).is_ok(), fine);
            assert_eq!(
                json::members_nested(text, &mut Gather::of("a")).is_ok(),
                fine
            );
        }
    }
}

/// Gathers what a visitor is told, with the members of one chosen member.
#[derive(Default)]
struct Gather {
    chosen: &'static str,
    outer: Vec<(String, Range<usize>)>,
    inner: Vec<(String, Range<usize>)>,
}

impl Gather {
    fn of(chosen: &'static str) -> Self {
        Self {
            chosen,
            ..Self::default()
        }
    }
}

impl MemberVisitor for Gather {
    fn descend(&mut self, key: &[u8]) -> bool {
        let chosen = json::same_key(key, self.chosen);
        if chosen {
            self.inner.clear();
        }
        chosen
    }

    fn inner(&mut self, key: &[u8], value: Range<usize>) {
        self.inner
            .push((String::from_utf8_lossy(key).into_owned(), value));
    }

    fn member(&mut self, key: &[u8], value: Range<usize>) {
        self.outer
            .push((String::from_utf8_lossy(key).into_owned(), value));
    }
}

fn texts<'a>(text: &'a str, found: &'a [(String, Range<usize>)]) -> Vec<(&'a str, &'a str)> {
    found
        .iter()
        .map(|(key, range)| (key.as_str(), &text[range.clone()]))
        .collect()
}

#[test]
fn one_pass_finds_the_members_of_a_frame_and_of_its_event() {
    let text = r#" { "type":"publish", "topic" : "t" ,
        "event": {"type":"x","data":{"id":"no"},"id":"1", "e":[ 1 ] } ,"localOnly":{"__m_codec__":"Undefined"},"e":{"f":{}} } "#;
    let mut found = Gather::of("event");
    json::members_nested(text.as_bytes(), &mut found).unwrap();
    assert_eq!(
        texts(text, &found.outer),
        [
            ("type", "\"publish\""),
            ("topic", "\"t\""),
            (
                "event",
                r#"{"type":"x","data":{"id":"no"},"id":"1", "e":[ 1 ] }"#
            ),
            ("localOnly", r#"{"__m_codec__":"Undefined"}"#),
            ("e", r#"{"f":{}}"#),
        ]
    );
    assert_eq!(
        texts(text, &found.inner),
        [
            ("type", "\"x\""),
            ("data", r#"{"id":"no"}"#),
            ("id", "\"1\""),
            ("e", "[ 1 ]")
        ]
    );
}

#[test]
fn a_duplicate_is_announced_and_reported_again() {
    for (text, inner) in [
        (r#"{"event":{"a":1},"event":{"b":2}}"#, vec![("b", "2")]),
        (r#"{"event":{"a":1},"\u0065vent":[{"b":2}]}"#, vec![]),
        (r#"{"event":{"a":1,"a":2}}"#, vec![("a", "1"), ("a", "2")]),
        (r#"{"event":{}}"#, vec![]),
    ] {
        let mut found = Gather::of("event");
        json::members_nested(text.as_bytes(), &mut found).unwrap();
        assert_eq!(texts(text, &found.inner), inner, "{text}");
    }
}

#[test]
fn only_objects_have_members() {
    for text in ["[]", "1", "\"{}\"", "null", "", "{} x", "{\"a\":1,}", "{,}"] {
        assert!(json::members(text.as_bytes(), |_, _| {}).is_err(), "{text}");
    }
}

#[test]
fn keys_are_compared_as_the_strings_they_stand_for() {
    for (raw, name, same) in [
        ("event", "event", true),
        ("event", "events", false),
        ("events", "event", false),
        ("\\u0065vent", "event", true),
        ("even\\u0074", "event", true),
        ("\\u0065vents", "event", false),
        ("a\\/b", "a/b", true),
        ("a\\nb", "a\\nb", false),
        ("a\\nb", "a\nb", true),
        ("\\ud83d\\ude00", "😀", true),
        ("\\ud800", "\u{fffd}", false),
        ("\\uD800x", "\u{fffd}x", false),
        ("", "", true),
        ("\\x", "x", false),
        ("__m_codec\\u005F_", "__m_codec__", true),
    ] {
        assert_eq!(json::same_key(raw.as_bytes(), name), same, "{raw} {name}");
    }
}

#[test]
fn strings_are_written_as_javascript_writes_them() {
    let mut out = Vec::new();
    json::escape_into("\0\u{1f}\u{8}\u{c}\n\r\t\"\\/\u{7f}\u{2028}é😀", &mut out);
    let expected = "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\u{7f}\u{2028}é😀\"";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn unescaping_replaces_what_no_string_can_hold() {
    for (raw, expected) in [
        (&b"\\ud800x"[..], "\u{fffd}x"),
        (b"\\udc00\\ud800", "\u{fffd}\u{fffd}"),
        (b"\\ud800\\u0041", "\u{fffd}A"),
        (b"\\ud83d\\uDE00", "😀"),
        (b"a\xffb", "a\u{fffd}b"),
        (b"a\xff\\nb", "a\u{fffd}\nb"),
        (b"\\/\\b\\f", "/\u{8}\u{c}"),
    ] {
        assert_eq!(json::unescape(raw).unwrap(), expected);
    }
    for (raw, offset) in [
        ("\\", 0),
        ("ab\\u12", 2),
        ("a\"b", 1),
        ("\\n\n", 2),
        ("a\\x", 1),
    ] {
        assert_eq!(
            json::unescape(raw.as_bytes()).unwrap_err().offset(),
            offset,
            "{raw}"
        );
    }
}

/// Trees of which `serde_json` writes the text.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z ]{30,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn documents_are_accepted_in_both_layouts(value in tree()) {
        prop_assert!(json::validate(&serde_json::to_vec(&value).unwrap()).is_ok());
        prop_assert!(json::validate(&serde_json::to_vec_pretty(&value).unwrap()).is_ok());
    }

    #[test]
    fn damaged_documents_are_judged_like_serde_json(
        value in tree(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[]:,0-.eEtfnu \x1f"[..])],
        action in 0..3,
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        match action {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            _ => { text.remove(at); }
        }
        // The judge refuses bad UTF-8 only where it must build a string: give it text.
        if let Ok(text) = String::from_utf8(text) {
            prop_assert_eq!(json::validate(text.as_bytes()).is_ok(), judge(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn json_like_noise_is_judged_like_serde_json(text in "[\\[\\]{}:,\"\\\\utrefalsn0-9.eE+ -]{0,12}") {
        prop_assert_eq!(json::validate(text.as_bytes()).is_ok(), judge(text.as_bytes()), "{}", text);
    }

    #[test]
    fn numbers_are_judged_like_serde_json(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,1})?") {
        prop_assert_eq!(json::validate(text.as_bytes()).is_ok(), judge(text.as_bytes()), "{}", text);
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut found = Gather::of("a");
        let whole = json::validate(&text).is_ok();
        let object = json::members(&text, |_, _| {}).is_ok();
        prop_assert!(whole || !object);
        prop_assert_eq!(json::members_nested(&text, &mut found).is_ok(), object);
        let _ = json::unescape(&text);
        let _ = json::same_key(&text, "name");
    }

    #[test]
    fn every_member_is_reported_in_order_with_its_exact_text(
        members in prop::collection::vec((any::<String>(), tree()), 0..8),
    ) {
        let mut text = String::from("{");
        for (i, (key, value)) in members.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(&format!("{}: {value} ", Value::from(key.as_str())));
        }
        text.push('}');
        let mut found = Vec::new();
        json::members(text.as_bytes(), |key, range| {
            found.push((json::unescape(key).unwrap().into_owned(), text[range].to_owned()));
        }).unwrap();
        let expected: Vec<_> = members.into_iter().map(|(key, value)| (key, value.to_string())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn escaping_and_unescaping_are_inverse(s in any::<String>()) {
        let mut out = Vec::new();
        json::escape_into(&s, &mut out);
        prop_assert_eq!(json::unescape(&out[1..out.len() - 1]).unwrap(), s.as_str());
        prop_assert!(json::same_key(&out[1..out.len() - 1], &s));
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), s);
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them(s in "(\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude0[0-9]|[a-z]{1,40}|é){0,6}") {
        let expected: String = serde_json::from_str(&format!("\"{s}\"")).unwrap();
        prop_assert_eq!(json::unescape(s.as_bytes()).unwrap(), expected.as_str());
        prop_assert!(json::same_key(s.as_bytes(), &expected));
    }
}
