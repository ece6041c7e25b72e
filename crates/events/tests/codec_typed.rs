//! The contract of the typed helpers, through `serde_json`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};

use bowline_events::codec::{self, BigInt, Cause, Date, JsError, JsMap, JsSet, Maybe, Undefined};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{from_str, json, to_string};

/// Reads through the text and through a tree: helpers must not depend on the kind of source.
fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) -> Result<T, String> {
    let direct = from_str::<T>(text).map_err(|error| error.to_string());
    let tree: serde_json::Value = from_str(text).unwrap();
    let indirect = serde_json::from_value::<T>(tree);
    assert_eq!(direct.as_ref().ok(), indirect.as_ref().ok(), "{text}");
    direct
}

#[test]
fn dates_are_read_in_every_form_and_written_in_one() {
    let date = Date::from_millis(1_767_323_045_678).unwrap();
    let wire = r#"{"__m_codec__":"Date","v":"2026-01-02T03:04:05.678Z"}"#;
    assert_eq!(to_string(&date).unwrap(), wire);
    for text in [
        wire,
        r#"{"x":1,"v":"2026-01-02T03:04:05.678Z","__m_codec__":"Date"}"#,
        r#""2026-01-02T03:04:05.678Z""#,
        r#""2026-01-02T04:04:05.678+01:00""#,
        "1767323045678",
        "1767323045678.9",
    ] {
        assert_eq!(read::<Date>(text), Ok(date), "{text}");
    }
    assert_eq!(
        read::<Date>("-1").unwrap().to_string(),
        "1969-12-31T23:59:59.999Z"
    );
    for text in [
        "null",
        "true",
        "[]",
        "{}",
        r#""""#,
        r#""yesterday""#,
        "1e300",
        "18446744073709551615",
        "8640000000000001",
        r#"{"__m_codec__":"Date"}"#,
        r#"{"__m_codec__":"URL","v":"1970"}"#,
        r#"{"v":"1970"}"#,
        r#"{"__m_codec__":"Date","v":"x"}"#,
        r#"{"__m_codec__":"Date","v":5}"#,
    ] {
        assert!(read::<Date>(text).is_err(), "{text}");
    }
    let error = read::<Date>(r#""yesterday""#).unwrap_err();
    assert!(
        error.starts_with(r#""yesterday" is not a valid Date"#),
        "{error}"
    );
}

#[test]
fn system_times_become_dates() {
    let date = Date::try_from(UNIX_EPOCH + Duration::from_micros(1_999)).unwrap();
    assert_eq!(date.millis(), 1);
    let date = Date::try_from(UNIX_EPOCH - Duration::from_micros(1)).unwrap();
    assert_eq!(date.millis(), -1);
    assert!(Date::from_millis(codec::date::MAX_MILLIS + 1).is_err());
}

#[test]
fn big_integers_keep_every_digit() {
    let digits = "123456789012345678901234567890";
    let wire = format!(r#"{{"__m_codec__":"BigInt","v":"{digits}"}}"#);
    let value = BigInt::new(digits).unwrap();
    assert_eq!(to_string(&value).unwrap(), wire);
    assert_eq!(read::<BigInt>(&wire), Ok(value.clone()));
    assert_eq!(read::<BigInt>(&format!("\"{digits}\"")), Ok(value.clone()));
    assert_eq!(
        value.to_i128(),
        Some(123_456_789_012_345_678_901_234_567_890)
    );
    assert_eq!(
        read::<BigInt>(r#"{"__m_codec__":"BigInt","v":" 0xff"}"#),
        Ok(BigInt::from(255u64))
    );
    assert_eq!(read::<BigInt>("-5"), Ok(BigInt::from(-5i64)));
    assert_eq!(BigInt::new("-007").unwrap().as_str(), "-7");
    for text in [
        "1.5",
        "null",
        r#""0x1""#,
        r#""""#,
        r#"{"__m_codec__":"BigInt","v":"1.5"}"#,
    ] {
        assert!(read::<BigInt>(text).is_err(), "{text}");
    }
}

#[test]
fn undefined_null_and_values_are_kept_apart() {
    let undefined = r#"{"__m_codec__":"Undefined"}"#;
    assert_eq!(to_string(&Undefined).unwrap(), undefined);
    assert_eq!(read::<Undefined>(undefined), Ok(Undefined));
    for text in ["null", "1", "{}", r#"{"__m_codec__":"Date","v":"1970"}"#] {
        assert!(read::<Undefined>(text).is_err(), "{text}");
    }
    type Number = Maybe<i64>;
    for (value, text) in [
        (Number::Undefined, undefined),
        (Number::Null, "null"),
        (Number::Value(-7), "-7"),
    ] {
        assert_eq!(to_string(&value).unwrap(), text);
        assert_eq!(read::<Number>(text), Ok(value));
    }
    assert!(read::<Number>("\"7\"").is_err());
    assert_eq!(
        read::<Number>(r#"{"__m_codec__":"Undefined","x":[1]}"#),
        Ok(Maybe::Undefined)
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Id(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    a: i64,
    b: Option<Vec<Id>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
struct Everything {
    #[serde(skip_serializing_if = "Maybe::is_undefined")]
    absent: Maybe<i64>,
    id: Maybe<Id>,
    unit: Maybe<Shape>,
    shape: Maybe<Shape>,
    inner: Maybe<Inner>,
    option: Maybe<Option<bool>>,
    list: Maybe<Vec<f64>>,
    date: Maybe<Date>,
    any: Maybe<serde_json::Value>,
    nested: Maybe<Vec<Maybe<u8>>>,
    map: JsMap<Date, JsSet<Maybe<Id>>>,
}

#[test]
fn helpers_work_inside_any_structure() {
    let value = Everything {
        absent: Maybe::Undefined,
        id: Id("x".to_owned()).into(),
        unit: Shape::Point.into(),
        shape: Shape::Circle { radius: 1.5 }.into(),
        inner: Inner {
            a: 1,
            b: Some(vec![Id("y".to_owned())]),
        }
        .into(),
        option: Some(true).into(),
        list: vec![0.5, 1.0].into(),
        date: Date::from_millis(5).unwrap().into(),
        any: json!({"__m_codec__": "Nope", "v": [null]}).into(),
        nested: vec![Maybe::Undefined, Maybe::Null, Maybe::Value(3)].into(),
        map: [(
            Date::from_millis(0).unwrap(),
            [Maybe::Null, Maybe::Value(Id("z".to_owned()))]
                .into_iter()
                .collect(),
        )]
        .into_iter()
        .collect(),
    };
    let text = to_string(&value).unwrap();
    assert!(!text.contains("absent"));
    assert_eq!(read::<Everything>(&text), Ok(value));
    assert_eq!(read::<Everything>("{}"), Ok(Everything::default()));
}

#[test]
fn maps_and_sets_are_lists_in_an_envelope() {
    let text = r#"{"__m_codec__":"Map","v":[["a",1],["b",2],["a",3]]}"#;
    let map: JsMap<String, i64> = read(text).unwrap();
    assert_eq!(map.0[2], ("a".to_owned(), 3));
    assert_eq!(to_string(&map).unwrap(), text);
    let text = r#"{"__m_codec__":"Set","v":[1,"a"]}"#;
    let set: JsSet<serde_json::Value> = read(text).unwrap();
    assert_eq!(to_string(&set).unwrap(), text);

    // What an entry lacks is undefined, what it has too much is ignored.
    let short: JsMap<String, Maybe<i64>> =
        read(r#"{"__m_codec__":"Map","v":[["a"],["b",1,2]]}"#).unwrap();
    assert_eq!(
        short.0,
        [
            ("a".to_owned(), Maybe::Undefined),
            ("b".to_owned(), Maybe::Value(1))
        ]
    );
    for text in [
        r#"{"__m_codec__":"Map","v":[["a"]]}"#,
        r#"{"__m_codec__":"Map","v":[5]}"#,
        r#"{"__m_codec__":"Map","v":{}}"#,
        r#"{"__m_codec__":"Set","v":[]}"#,
        "{}",
        "[]",
        "null",
    ] {
        assert!(read::<JsMap<String, i64>>(text).is_err(), "{text}");
    }
}

#[test]
fn errors_travel_with_their_causes_and_fields() {
    let text = r#"{"__m_codec__":"Error","v":{"name":"TypeError","message":"outer","stack":"S","cause":{"name":"Error","message":"inner","code":1},"status":500}}"#;
    let error: JsError = read(text).unwrap();
    assert_eq!(error.to_string(), "TypeError: outer");
    assert_eq!(error.source().unwrap().to_string(), "Error: inner");
    assert_eq!(error.fields["status"], 500);
    assert_eq!(to_string(&error).unwrap(), text);

    let mut plain = JsError::new("", "m");
    plain.cause = Some(Box::new(Cause::Value(json!("why"))));
    let text = r#"{"__m_codec__":"Error","v":{"name":"Error","message":"m","cause":"why"}}"#;
    assert_eq!(to_string(&plain).unwrap(), text);
}

#[test]
fn errors_are_read_bare_too() {
    let error: JsError = read(r#"{"message":"boom","name":"Error","stack":"S"}"#).unwrap();
    assert_eq!(
        (error.message.as_str(), error.stack.as_deref()),
        ("boom", Some("S"))
    );
    let enveloped =
        r#"{"name":"E","message":"m","cause":{"__m_codec__":"Error","v":{"message":"c"}}}"#;
    let error: JsError = read(enveloped).unwrap();
    assert_eq!(
        error.cause,
        Some(Box::new(Cause::Error(JsError::new("", "c"))))
    );
    assert_eq!(
        read::<JsError>(r#"{"__m_codec__":"Error","v":[]}"#),
        Ok(JsError::default())
    );
    for text in [
        "{}",
        r#"{"code":1}"#,
        "null",
        "\"boom\"",
        r#"{"__m_codec__":"Date","v":"1970","name":"x"}"#,
        r#"{"__m_codec__":"Error","v":1}"#,
    ] {
        assert!(read::<JsError>(text).is_err(), "{text}");
    }
}

#[test]
fn a_chain_of_causes_is_cut_where_node_cuts_it() {
    let chain = (0..8).rev().fold(None, |cause, depth| {
        let mut error = JsError::new("Error", format!("d{depth}"));
        error.cause = cause.map(|cause| Box::new(Cause::Error(cause)));
        Some(error)
    });
    let text = to_string(&chain.unwrap()).unwrap();
    assert!(text.contains(r#""message":"d5","cause":{}}"#), "{text}");
    assert!(!text.contains("d6"), "{text}");
}

#[test]
fn errors_that_could_harm_a_receiver_are_not_written() {
    for (name, value) in [
        ("n", json!({"__m_codec__": "BigInt", "v": "1"})),
        ("n", json!([{"a": {"__m_codec__": "Nope"}}])),
        ("__m_codec__", json!("Date")),
    ] {
        let mut error = JsError::new("E", "m");
        error.fields.insert(name.to_owned(), value.clone());
        assert!(to_string(&error).is_err(), "{value}");
        let mut error = JsError::new("E", "m");
        error.cause = Some(Box::new(Cause::Value(json!({ name: value }))));
        assert!(to_string(&error).is_err());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        millis in -codec::date::MAX_MILLIS..=codec::date::MAX_MILLIS,
        integer in any::<i128>(),
        entries in prop::collection::vec((any::<String>(), any::<Option<bool>>()), 0..5),
        name in "[A-Z][a-z]{1,9}",
        message in any::<String>(),
    ) {
        let date = Date::from_millis(millis).unwrap();
        prop_assert_eq!(read::<Date>(&to_string(&date).unwrap()), Ok(date));
        let integer = BigInt::from(integer);
        prop_assert_eq!(read::<BigInt>(&to_string(&integer).unwrap()), Ok(integer));
        let map: JsMap<String, Option<bool>> = entries.into_iter().collect();
        prop_assert_eq!(read::<JsMap<_, _>>(&to_string(&map).unwrap()), Ok(map));
        let error = JsError::new(name, message);
        let text = to_string(&error).unwrap();
        prop_assert!(codec::check_for_node(text.as_bytes()).is_ok());
        prop_assert_eq!(codec::decode(text.as_bytes()).unwrap().tag(), Some(codec::Tag::Error));
        prop_assert_eq!(read::<JsError>(&text), Ok(error));
    }
}
