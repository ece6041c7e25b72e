//! The contract of the check that protects Node peers.

use bowline_events::codec::{CodecError, Hazard, check_for_node};
use bowline_events::json::MAX_DEPTH;

fn hazard(text: &str) -> Option<Hazard> {
    match check_for_node(text.as_bytes()) {
        Ok(()) => None,
        Err(CodecError::Hazard { hazard, .. }) => Some(hazard),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn envelope(tag: &str, payload: &str) -> String {
    format!(r#"{{"__m_codec__":"{tag}","v":{payload}}}"#)
}

#[test]
fn dates_have_to_be_iso_8601() {
    for (text, fine) in [
        ("2026-01-02T03:04:05.678Z", true),
        ("2026-01-02", true),
        ("+275760-09-13T00:00:00.000Z", true),
        ("2026-01-02T03:04:05", true),
        ("2026-01-02T03:04:05.123456Z", true),
        ("not a date", false),
        ("", false),
        ("Invalid Date", false),
        ("2026-13-01", false),
        ("+275760-09-13T00:00:00.001Z", false),
        ("+275760-09-13T00:00", false),
        ("2026-01-02T03:04:05\\u005a", true),
        ("2026-01-02T03:04:05\\ud800", false),
    ] {
        let expected = (!fine).then_some(Hazard::Date);
        assert_eq!(
            hazard(&envelope("Date", &format!("\"{text}\""))),
            expected,
            "{text}"
        );
    }
    // Not an envelope, so never read as a date.
    assert_eq!(hazard(&envelope("Date", "5")), None);
}

#[test]
fn big_integers_have_to_be_readable() {
    for (text, fine) in [
        ("12", true),
        ("", true),
        ("0x10", true),
        (" -5\\n", true),
        ("1.5", false),
        ("x", false),
    ] {
        let expected = (!fine).then_some(Hazard::BigInt);
        assert_eq!(
            hazard(&envelope("BigInt", &format!("\"{text}\""))),
            expected,
            "{text}"
        );
    }
}

#[test]
fn urls_have_to_be_absolute() {
    for text in [
        "https://user:pw@example.com:8443/p%20a?q=1#h",
        "http://a",
        "http://a:/",
        "http://1.2.3.4",
        "http://[::1]:3/",
        "file:///x",
        "file://host/x",
        "mailto:a b",
        "data:,x y",
        "foo://",
        "foo:///p",
        "foo://h:1/",
        "urn:x",
        "a1+-.:x",
        "http://a.b./",
        "ws://h?q#f",
        "foo://u@h",
        "HTTP://A",
        "http://xn--bcher-kva.example/",
        "http://1.2.3.4.b/",
    ] {
        assert_eq!(
            hazard(&envelope("URL", &format!("\"{text}\""))),
            None,
            "{text}"
        );
    }
    for text in [
        "",
        "/relative",
        "example.com",
        "1a:b",
        ":x",
        "é:x",
        "http:",
        "http:a",
        "http://",
        "http:///x",
        "https://?q",
        "http://u@",
        "http://a:b/",
        "http://a:65536/",
        "http://a b/",
        "http://[::1/",
        "http://[::g]/",
        "http://1.2.3.256/",
        "http://a.1/",
        "http://a.0x/",
        "http://a%20/",
        "http://é/",
        "http://a<b/",
        "file://a:1/",
        "http://a\\tb/",
        "foo://a|b/",
        "foo://a\\\\b/",
    ] {
        assert_eq!(
            hazard(&envelope("URL", &format!("\"{text}\""))),
            Some(Hazard::Url),
            "{text}"
        );
    }
}

#[test]
fn map_entries_have_to_be_pairs() {
    for (entries, fine) in [
        ("[]", true),
        (r#"[["a",1],["b"],[]]"#, true),
        (r#"[["a",1],5]"#, false),
        ("[null]", false),
        ("[{}]", false),
        (r#"[{"__m_codec__":"Set","v":[1,2]}]"#, false),
        ("{}", true),
    ] {
        let expected = (!fine).then_some(Hazard::MapEntry);
        assert_eq!(hazard(&envelope("Map", entries)), expected, "{entries}");
    }
}

#[test]
fn errors_hold_no_big_integers_and_can_be_built() {
    let bigint = envelope("BigInt", "\"1\"");
    for (payload, expected) in [
        (
            r#"{"name":"E","message":"m","stack":"s","code":1}"#.to_owned(),
            None,
        ),
        ("{}".to_owned(), None),
        ("[]".to_owned(), None),
        ("null".to_owned(), None),
        (r#"{"message":5,"cause":"why"}"#.to_owned(), None),
        (envelope("Error", "{}"), Some(Hazard::ErrorPayload)),
        (
            r#"{"__m_codec__":"Undefined"}"#.to_owned(),
            Some(Hazard::ErrorPayload),
        ),
        (format!(r#"{{"n":{bigint}}}"#), Some(Hazard::BigIntInError)),
        (
            format!(r#"{{"a":[{{"b":{bigint}}}]}}"#),
            Some(Hazard::BigIntInError),
        ),
        (format!("[{bigint}]"), Some(Hazard::BigIntInError)),
        (format!(r#"{{"cause":{}}}"#, envelope("Error", "{}")), None),
        (
            r#"{"message":{"toString":1}}"#.to_owned(),
            Some(Hazard::ErrorPayload),
        ),
        (
            r#"{"message":["m"]}"#.to_owned(),
            Some(Hazard::ErrorPayload),
        ),
        (
            r#"{"cause":{"name":"C","message":{}}}"#.to_owned(),
            Some(Hazard::ErrorPayload),
        ),
        // A message elsewhere is data.
        (r#"{"details":{"message":{"a":1}}}"#.to_owned(), None),
    ] {
        assert_eq!(hazard(&envelope("Error", &payload)), expected, "{payload}");
        // The tag may come last.
        let turned = format!(r#"{{"v":{payload},"__m_codec__":"Error"}}"#);
        assert_eq!(hazard(&turned), expected, "{turned}");
    }
    assert_eq!(
        hazard(&format!("[{bigint},{}]", envelope("Error", "{}"))),
        None
    );
}

#[test]
fn registered_classes_need_their_data() {
    for (name, data, fine) in [
        (
            "DefaultGeneratedFile",
            r#"{"data":"aGk=","mediaType":"t/p"}"#,
            true,
        ),
        ("DefaultGeneratedFile", "null", false),
        ("DefaultGeneratedFile", r#"{"mediaType":"t/p"}"#, false),
        (
            "DefaultGeneratedFile",
            r#"{"__m_codec__":"Undefined","data":"x"}"#,
            false,
        ),
        ("DefaultGeneratedFileWithType", r#"{"data":1}"#, false),
        ("DefaultGeneratedFileWithType", r#"{"data":"x"}"#, true),
        ("DefaultStepResult", "{}", true),
        ("DefaultStepResult", "null", false),
        ("DefaultStepResult", "[]", false),
        ("Mine", "null", true),
    ] {
        let text = format!(r#"{{"__m_codec__":"Class","n":"{name}","v":{data}}}"#);
        let expected = (!fine).then_some(Hazard::ClassData);
        assert_eq!(hazard(&text), expected, "{text}");
    }
    for (name, fine) in [
        ("DefaultGeneratedFile", false),
        ("DefaultStepResult", false),
        ("Mine", true),
    ] {
        let text = format!(r#"{{"__m_codec__":"Class","n":"{name}"}}"#);
        assert_eq!(hazard(&text).is_none(), fine, "{text}");
    }
}

#[test]
fn no_spelling_slips_through() {
    for text in [
        r#"{"__m_codec__":"Date","v":"x"}"#,
        r#"{"v":"x","__m_codec__":"Date"}"#,
        r#"{ "__m_codec__" : "Date" , "v" : "x" }"#,
        r#"{"\u005f_m_codec__":"Date","v":"x"}"#,
        r#"{"__m_codec_\u005F":"Date","v":"x"}"#,
        r#"{"__\u006d_codec__":"Date","v":"x"}"#,
        r#"{"__\u006D_codec__":"Date","v":"x"}"#,
        r#"{"__m_\u0063\u006f\u0064\u0065\u0063__":"Date","v":"x"}"#,
        r#"{"__m_codec__":"D\u0061te","\u0076":"\u0078"}"#,
        r#"{"__m_codec__":"Nope","__m_codec__":"Date","v":"1970","v":"x"}"#,
        r#"{"__m_codec__":"Undefined","x":{"__m_codec__":"Date","v":"x"}}"#,
        r#"[[{"a":[{"__m_codec__":"Date","v":"x"}]}]]"#,
        r#"{"type":"publish","topic":{"__m_codec__":"Date","v":"x"},"event":{}}"#,
        r#"{"__m_codec__":"Map","v":[[{"__m_codec__":"Date","v":"x"},1]]}"#,
        r#"{"__m_codec__":"Class","n":"A","v":{"__m_codec__":"Date","v":"x"}}"#,
    ] {
        assert_eq!(hazard(text), Some(Hazard::Date), "{text}");
    }
    for text in [
        r#"{"__m_codec__":"Date","v":"x","v":"1970"}"#,
        r#"{"__m_codec__":"Date","__m_codec__":1,"v":"x"}"#,
        r#"{"__M_codec__":"Date","v":"x"}"#,
        r#"{"a":"__m_codec__","v":"x"}"#,
        r#"{"__m_codec__":"Date\u0000","v":"x"}"#,
    ] {
        assert_eq!(hazard(text), None, "{text}");
    }
}

#[test]
fn the_place_is_that_of_the_envelope() {
    let error = check_for_node(br#"{"a":[1,{"__m_codec__":"BigInt","v":"x"}]}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 8: BigInt envelope that JavaScript cannot read; write decimal digits"
    );
}

#[test]
fn malformed_texts_are_refused_once_they_are_scanned() {
    let deep = "[".repeat(MAX_DEPTH + 1);
    for text in [
        r#"{"__m_codec__":"#,
        r#"{"__m_codec__":"Date",}"#,
        &format!("{deep}\"__m_codec__\""),
    ] {
        let result = check_for_node(text.as_bytes());
        assert!(matches!(result, Err(CodecError::Json(_))), "{text}");
    }
}
