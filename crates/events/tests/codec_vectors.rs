//! The captured vectors: what a Node process wrote, and what it made of what it read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use bowline_events::codec::{
    self, ErrorRef, ErrorValue, JsString, Object, Tag, Value, check_for_node, decode, encode,
};

struct Vector {
    name: String,
    kind: String,
    wire: Option<String>,
    decoded: Option<String>,
    reencoded: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../testdata/codec.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let vectors = vectors.iter().map(|vector| {
        let text = |name: &str| vector[name].as_str().map(str::to_owned);
        Vector {
            name: text("name").unwrap(),
            kind: text("kind").unwrap(),
            wire: text("wire"),
            decoded: text("decoded"),
            reencoded: text("reencoded"),
        }
    });
    vectors.collect()
}

fn wires() -> impl Iterator<Item = (Vector, String)> {
    vectors().into_iter().filter_map(|mut vector| {
        let wire = vector.wire.take()?;
        Some((vector, wire))
    })
}

fn wire(name: &str) -> String {
    let (_, wire) = wires().find(|(vector, _)| vector.name == name).unwrap();
    wire
}

/// Vectors that Node throws at, when it decodes them or when it encodes the outcome.
fn kills(vector: &Vector) -> bool {
    let throws = |text: &Option<String>| {
        text.as_deref()
            .is_some_and(|text| text.starts_with("THROWS"))
    };
    throws(&vector.decoded) || throws(&vector.reencoded)
}

#[test]
fn the_file_is_complete() {
    let count = |kind| {
        vectors()
            .iter()
            .filter(|vector| vector.kind == kind)
            .count()
    };
    assert_eq!(
        (count("encode"), count("decode"), count("encode-error")),
        (99, 25, 3)
    );
    assert_eq!(wires().filter(|(vector, _)| kills(vector)).count(), 5);
}

#[test]
fn every_wire_text_is_decoded_and_forwarded_unchanged() {
    for (vector, wire) in wires() {
        let value = decode(wire.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(encode(&value)).unwrap(),
            wire,
            "{}",
            vector.name
        );
    }
}

#[test]
fn every_wire_text_means_what_node_says_it_means() {
    // We keep what Node normalises or loses: expressions it cannot compile.
    let differs = ["decode-regexp-uv", "decode-regexp-bad-source"];
    for (vector, wire) in wires() {
        let Some(expected) = vector.decoded.as_deref() else {
            panic!("{} has no rendering", vector.name);
        };
        if differs.contains(&vector.name.as_str()) || expected.starts_with("THROWS") {
            continue;
        }
        let mut rendering = String::new();
        render(Some(&decode(wire.as_bytes()).unwrap()), &mut rendering);
        // An object that owns a member `constructor` confuses the tool that made the renderings.
        let expected = expected
            .strip_prefix("undefined{")
            .map_or_else(|| expected.to_owned(), |rest| format!("{{{rest}"));
        assert_eq!(rendering, expected, "{}", vector.name);
    }
}

#[test]
fn what_node_throws_at_is_refused_for_it_and_nothing_else_is() {
    for (vector, wire) in wires() {
        let frame = format!(r#"{{"type":"publish","topic":"t","event":{{"data":{wire}}}}}"#);
        for text in [wire, frame] {
            assert_eq!(
                check_for_node(text.as_bytes()).is_err(),
                kills(&vector),
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn what_node_throws_at_is_kept_as_data_or_fails_when_read() {
    assert!(
        decode(wire("decode-date-invalid").as_bytes())
            .unwrap()
            .as_date_millis()
            .is_err()
    );
    assert!(
        decode(wire("decode-bigint-bad").as_bytes())
            .unwrap()
            .as_bigint()
            .is_err()
    );
    assert!(
        decode(wire("decode-url-bad").as_bytes())
            .unwrap()
            .as_url()
            .is_err()
    );
    assert_eq!(
        decode(wire("decode-map-bad-entry").as_bytes())
            .unwrap()
            .tag(),
        None
    );
    let class = decode(wire("decode-class-bad-data").as_bytes()).unwrap();
    assert_eq!(class.as_class().unwrap().1, Some(&Value::Null));
}

#[test]
fn values_built_here_are_written_as_node_writes_them() {
    let epoch = || Value::date(0).unwrap();
    let object = |members: Vec<(&str, Value)>| -> Value {
        let members = members.into_iter().map(|(key, value)| (key.into(), value));
        members.collect::<Object>().into()
    };
    let error = |name: &str, message: &str| {
        let mut error = ErrorValue::new(name, message);
        error.stack = Some(format!("{name}: {message}\n    at test (file.js:1:1)").into());
        error
    };
    let mut inner = error("Error", "inner");
    inner.fields.push("code", 1.into());
    let mut outer = error("Error", "outer");
    outer.cause = Some(Value::error(inner).unwrap());
    let mut fields = error("Error", "x");
    fields.fields.push("code", "E42".into());
    fields.fields.push("status", 500.into());
    fields.fields.push(
        "details",
        object(vec![("a", vec![1.into(), 2.into()].into())]),
    );
    let mut unnamed = ErrorValue::new("", "x");
    unnamed.stack = Some("Error: x\n    at test (file.js:1:1)".into());

    for (name, value) in [
        ("null", Value::Null),
        ("true", true.into()),
        ("string", "hé \"q\" \n \u{2028} 😀".into()),
        (
            "lone-surrogate",
            Value::String(JsString::from_raw("\\ud800x").unwrap()),
        ),
        ("float", 1.5e-7.into()),
        ("big-float", 1e21.into()),
        ("max-safe", 9_007_199_254_740_991i64.into()),
        ("neg-zero", (-0.0).into()),
        ("nan", f64::NAN.into()),
        ("undefined-top", Value::undefined()),
        (
            "undefined-member",
            object(vec![("a", Value::undefined()), ("b", 1.into())]),
        ),
        (
            "bigint",
            Value::bigint("123456789012345678901234567890").unwrap(),
        ),
        ("bigint-negative", Value::bigint("-5").unwrap()),
        ("date", Value::date(1_767_323_045_678).unwrap()),
        (
            "date-far-future",
            Value::date(codec::date::MAX_MILLIS).unwrap(),
        ),
        (
            "date-negative-year",
            Value::date(-62_198_755_200_000).unwrap(),
        ),
        ("regexp", Value::regexp("a\\/b+(?<n>\\d)", "giu").unwrap()),
        (
            "url",
            Value::url("https://user:pw@example.com:8443/p%20a?q=1#h").unwrap(),
        ),
        ("error", Value::error(error("Error", "boom")).unwrap()),
        (
            "error-no-stack",
            Value::error(ErrorValue::new("Error", "x")).unwrap(),
        ),
        ("error-empty-name", Value::error(unnamed).unwrap()),
        ("error-custom-fields", Value::error(fields).unwrap()),
        ("error-cause-error", Value::error(outer).unwrap()),
        (
            "map",
            Value::map([
                ("a".into(), 1.into()),
                ("b".into(), object(vec![("c", epoch())])),
            ]),
        ),
        (
            "map-object-keys",
            Value::map([
                (object(vec![("k", 1.into())]), "v".into()),
                (Value::Null, Value::undefined()),
                (epoch(), Value::bigint("2").unwrap()),
            ]),
        ),
        (
            "set",
            Value::set([
                1.into(),
                "a".into(),
                object(vec![("x", Value::undefined())]),
            ]),
        ),
        (
            "class-DefaultGeneratedFile",
            Value::class(
                "DefaultGeneratedFile",
                object(vec![
                    ("data", "aGk=".into()),
                    ("mediaType", "text/plain".into()),
                ]),
            ),
        ),
    ] {
        assert_eq!(
            String::from_utf8(encode(&value)).unwrap(),
            wire(name),
            "{name}"
        );
        assert_eq!(decode(wire(name).as_bytes()).unwrap(), value, "{name}");
    }
}

/// The notation of the renderings in the file. None is what Node has as `undefined`.
fn render(value: Option<&Value>, out: &mut String) {
    let Some(value) = value else {
        return out.push_str("undefined");
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(std::str::from_utf8(&encode(value)).unwrap());
        }
        Value::Array(items) => {
            out.push('[');
            list(out, items, |item, out| render(Some(item), out));
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            let kept = members.iter().filter(|(key, _)| *key != "__proto__");
            list(out, kept, |(key, value), out| {
                write!(out, "{key:?}: ").unwrap();
                render(Some(value), out);
            });
            out.push('}');
        }
        Value::Tagged(tagged) => render_tagged(tagged.tag(), value, out),
    }
}

fn render_tagged(tag: Tag, value: &Value, out: &mut String) {
    match tag {
        Tag::Undefined => out.push_str("undefined"),
        Tag::Date => match value.as_date_millis() {
            Ok(millis) => write!(out, "Date({})", codec::date::format_iso(millis)).unwrap(),
            Err(_) => out.push_str("Date(Invalid)"),
        },
        Tag::BigInt => write!(out, "{}n", value.as_bigint().unwrap()).unwrap(),
        Tag::Url => write!(out, "URL({})", value.as_url().unwrap()).unwrap(),
        Tag::RegExp => {
            let (source, flags) = value.as_regexp().unwrap();
            write!(out, "RegExp(/{source}/{flags})").unwrap();
        }
        Tag::Map => {
            out.push_str("Map[");
            list(out, value.as_map().unwrap(), |(key, value), out| {
                render(key, out);
                out.push_str("=>");
                render(value, out);
            });
            out.push(']');
        }
        Tag::Set => {
            out.push_str("Set[");
            list(out, value.as_set().unwrap(), |item, out| {
                render(Some(item), out);
            });
            out.push(']');
        }
        Tag::Error => render_error(value.as_error().unwrap(), out),
        Tag::Class => render_class(value, out),
    }
}

fn render_error(error: ErrorRef<'_>, out: &mut String) {
    let text = |text: Option<&JsString>| text.map(|text| text.to_string());
    let name = text(error.name()).unwrap_or_else(|| "Error".to_owned());
    let message = text(error.message()).unwrap_or_default();
    write!(out, "Error{{name={name}, message={message}").unwrap();
    if let Some(cause) = error.cause_error() {
        out.push_str(", cause=");
        render_error(cause, out);
    } else if let Some(cause) = error.cause() {
        out.push_str(", cause=");
        render(Some(cause), out);
    }
    for (key, value) in error.fields() {
        write!(out, ", {key}=").unwrap();
        render(Some(value), out);
    }
    out.push('}');
}

/// Instances show the fields of the class; of unknown classes only the data is left.
fn render_class(value: &Value, out: &mut String) {
    let (name, data) = value.as_class().unwrap();
    let Some(data) = data else {
        return out.push_str("undefined");
    };
    match name.to_string().as_str() {
        name @ ("DefaultGeneratedFile" | "DefaultGeneratedFileWithType") => {
            write!(out, "{name}{{\"base64Data\": ").unwrap();
            render(data.get("data"), out);
            out.push_str(", \"uint8ArrayData\": undefined, \"mediaType\": ");
            render(data.get("mediaType"), out);
            if name.ends_with("Type") {
                out.push_str(", \"type\": \"file\"");
            }
            out.push('}');
        }
        "DefaultStepResult" => {
            out.push_str("DefaultStepResult");
            render(Some(data), out);
        }
        _ => render(Some(data), out),
    }
}

fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, each: impl Fn(T, &mut String)) {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        each(item, out);
    }
}
