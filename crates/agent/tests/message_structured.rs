//! Answers that are JSON: whole, and while they are being written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bowline_agent::model::{ChatRequest, PromptContent, PromptMessage, ResponseFormat};
use bowline_agent::structured::{PartialJson, StructuredOutput};
use bowline_agent::{Data, ErrorKind};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Orders {
    /// All of them.
    orders: Vec<Order>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Order {
    id: u32,
    note: Option<String>,
}

/// The values that come of `deltas`.
fn values(deltas: &[&str]) -> Vec<String> {
    let mut json = PartialJson::new();
    let values = deltas.iter().filter_map(|delta| json.push(delta));
    values.map(|value| value.to_string()).collect()
}

#[test]
fn what_is_open_is_closed() {
    for (begun, value) in [
        ("{", "{}"),
        (r#"{"a"#, "{}"),
        (r#"{"a""#, "{}"),
        (r#"{"a": "#, "{}"),
        (r#"{"a": 1"#, r#"{"a": 1}"#),
        (r#"{"a": 1,"#, r#"{"a": 1}"#),
        (r#"{"a": 1, "b"#, r#"{"a": 1}"#),
        (r#"{"a": 1.5e"#, r#"{"a": 1.5}"#),
        (r#"{"a": -"#, "{}"),
        (r#"{"a": tr"#, r#"{"a": true}"#),
        (r#"{"a": "x"#, r#"{"a": "x"}"#),
        (r#"{"a": "x\"#, r#"{"a": "x"}"#),
        (r#"{"a": "x\u00"#, r#"{"a": "x"}"#),
        (r#"{"a": "x\ud83d"#, r#"{"a": "x"}"#),
        (r#"{"a": "x\ud83d\ud"#, r#"{"a": "x"}"#),
        (r#"{"a": "x\ud83d\ude00"#, r#"{"a": "x\ud83d\ude00"}"#),
        (r#"[[1, {"a": ["#, r#"[[1, {"a": []}]]"#),
        (r#"[1, "#, "[1]"),
        ("\"a", "\"a\""),
        ("12", "12"),
    ] {
        assert_eq!(values(&[begun]), [value], "{begun}");
    }
    for nothing in ["", " ", "-", "tru", "Sure, here", "```json\n"] {
        assert_eq!(values(&[nothing]), Vec::<String>::new(), "{nothing}");
    }
}

#[test]
fn words_around_a_value_are_left_out() {
    for text in [
        "```json\n{\"a\":1}\n```",
        "```{\"a\":1}```",
        "Sure: {\"a\":1} Anything else?",
        "no problem {\"a\":1}",
        "  {\"a\":1}  \n",
    ] {
        assert_eq!(values(&[text]), [r#"{"a":1}"#], "{text}");
        let value: Value = StructuredOutput::from_schema(Data::object())
            .unwrap()
            .parse(text)
            .unwrap();
        assert_eq!(value, serde_json::json!({"a": 1}));
    }
}

#[test]
fn what_is_no_json_changes_nothing() {
    for (begun, wrong) in [
        (r#"{"a":1"#, "x"),
        (r#"["a"#, "\n"),
        (r#"["a"#, r"\x"),
        ("[0", "1"),
        ("[1", ",]"),
        ("[tr", "a"),
        (r#"{"a":1"#, r#","b","#),
    ] {
        let mut json = PartialJson::new();
        let before = json.push(begun).unwrap();
        let after = json.push(wrong);
        assert!(json.is_broken(), "{begun}{wrong}");
        assert!(after.is_none_or(|after| after == before));
    }
}

#[test]
fn a_value_comes_only_when_it_has_changed() {
    assert_eq!(
        values(&["{", " ", "\"a\"", ":", "[1,", " ", "2", "]", "}", " ok"]),
        ["{}", r#"{ "a":[1]}"#, r#"{ "a":[1, 2]}"#]
    );
}

#[test]
fn the_text_of_a_captured_run_becomes_its_object() {
    let lines = include_str!("data/vectors/durable-structured.ndjson").lines();
    let mut json = PartialJson::new();
    let mut objects = Vec::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let chunk = &line["event"]["data"];
        if chunk["type"] == "text-delta" {
            objects.extend(json.push(chunk["payload"]["text"].as_str().unwrap()));
        }
    }
    let objects: Vec<&str> = objects.iter().map(Data::as_str).collect();
    assert_eq!(objects, ["{}", r#"{"a":1}"#]);
    assert!(json.is_complete());
}

#[test]
fn an_answer_of_another_form_is_named_by_its_place() {
    let form = StructuredOutput::of::<Orders>();
    for (text, place) in [
        (
            r#"{"orders": [{"id": 1}, {"id": "two"}]}"#,
            "$.orders[1].id:",
        ),
        (
            "{\"orders\": [\n  {\"id\": 1},\n  {\"note\": \"x\"}\n]}",
            "$.orders[1]:",
        ),
        (r#"{"orders": {}}"#, "$.orders:"),
        (r#"{"orders": [{"id": 1, "note": "a"#, "$.orders[0].note;"),
        (r#"{"orders": [{"id": 1, x"#, "$.orders[0]"),
        ("7", "$:"),
        ("I cannot do that.", "no JSON"),
        ("", "no JSON"),
    ] {
        let error = form.parse::<Orders>(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model, "{text}");
        assert!(error.message().contains(place), "{text}: {error}");
    }
    let orders: Orders = form.parse(r#"{"orders": [{"id": 1}]}"#).unwrap();
    let order = Order { id: 1, note: None };
    assert_eq!(
        orders,
        Orders {
            orders: vec![order]
        }
    );
    assert_eq!(form.parse::<i64>("-12").unwrap(), -12);
    assert!(form.parse::<bool>("true").unwrap());
}

#[test]
fn a_model_is_asked_by_its_settings_or_in_words() {
    let form = StructuredOutput::of::<Orders>().with_instructions("The open orders.");
    let mut request = ChatRequest::default();
    form.ask(&mut request);
    let ResponseFormat::Json {
        schema,
        name,
        description,
    } = &request.response_format
    else {
        panic!("{request:?}")
    };
    let schema: Value = schema.as_ref().unwrap().parse().unwrap();
    assert_eq!(schema["required"], serde_json::json!(["orders"]));
    assert_eq!(name.as_deref(), Some("Orders"));
    assert_eq!(description.as_deref(), Some("The open orders."));

    let mut request = ChatRequest::default();
    let user = PromptMessage::User(vec![PromptContent::Text {
        text: "hi".into(),
        metadata: None,
    }]);
    request.prompt = vec![PromptMessage::System("be".into()), user.clone()];
    form.clone().in_prompt().ask(&mut request);
    assert_eq!(request.response_format, ResponseFormat::Text);
    let [_, PromptMessage::System(words), last] = request.prompt.as_slice() else {
        panic!("{request:?}")
    };
    assert_eq!(*last, user);
    assert!(words.starts_with("The open orders.") && words.contains(form.schema().as_str()));
}

#[test]
fn a_form_survives_the_store() {
    for form in [
        StructuredOutput::of::<Orders>(),
        StructuredOutput::from_schema(Data::object())
            .unwrap()
            .with_name("n")
            .with_instructions("i")
            .in_prompt(),
    ] {
        let stored = Data::of(&form).unwrap();
        assert_eq!(stored.parse::<StructuredOutput>().unwrap(), form);
    }
    let error = StructuredOutput::from_schema(Data::null()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        "[a\"\\\\\n\u{e9}\u{1f600}\u{1}]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a\"\u{e9}]{0,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether `whole` can become of `part` by writing more.
fn begins(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|whole| begins(value, whole))),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len() && part.iter().zip(whole).all(|(a, b)| begins(a, b))
        }
        (Value::String(part), Value::String(whole)) => whole.starts_with(part.as_str()),
        (Value::Number(_), Value::Number(_)) => true,
        _ => part == whole,
    }
}

proptest! {
    #[test]
    fn every_beginning_of_a_value_makes_a_value_that_grows_to_it(
        value in json(),
        pretty in any::<bool>(),
        ascii in any::<bool>(),
    ) {
        let mut text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        if ascii {
            text = text.replace('\u{1f600}', "\\ud83d\\ude00").replace('\u{e9}', "\\u00e9");
        }
        let mut json = PartialJson::new();
        let mut last = None;
        for character in text.chars() {
            if let Some(part) = json.push(character.encode_utf8(&mut [0; 4])) {
                let part: Value = part.parse().unwrap();
                prop_assert!(begins(&part, &value), "{} of {}", part, value);
                last = Some(part);
            }
        }
        json.push("\n");
        prop_assert!(json.is_complete() && !json.is_broken(), "{}", text);
        prop_assert_eq!(last.as_ref(), Some(&value));
        let whole = StructuredOutput::from_schema(Data::object()).unwrap();
        prop_assert_eq!(whole.parse::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn whatever_is_written_every_value_is_json(deltas in proptest::collection::vec("[\\[\\]{}\",:0-9.eE+\\-\\\\utrfalsn d83\n\u{e9}]{0,6}", 0..20)) {
        let mut json = PartialJson::new();
        for delta in &deltas {
            if let Some(value) = json.push(delta) {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(value.as_str()).is_ok(), "{}", value);
            }
        }
        // It must not panic; what it says does not matter.
        let form = StructuredOutput::from_schema(Data::object()).unwrap();
        drop(form.parse::<Orders>(&deltas.concat()));
    }
}
