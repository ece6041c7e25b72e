//! What the schemas of two steps have in common, compared with what values say.

#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` is shorter than its reference"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::compare::Comparison;
use super::document::Document;
use crate::Data;
use crate::schema::Schema;

fn mismatch(given: &Value, taken: &Value) -> Option<String> {
    let read = |schema: &Value| Document::read(&Data::from(schema.clone()));
    let (given, taken) = (read(given), read(taken));
    let found = Comparison::new().disjoint(given.view(), taken.view(), 0);
    found.map(|found| found.to_string())
}

#[test]
fn what_can_be_proved_is_found_with_its_place() {
    let price = |price: Value| json!({"type": "object", "properties": {"price": price}, "required": ["price"]});
    for (given, taken, expected) in [
        (
            json!({"type": "string"}),
            json!({"type": "number"}),
            "string comes where number is taken",
        ),
        (
            json!({"type": ["string", "null"]}),
            json!({"type": ["object", "integer"]}),
            "null or string comes where integer or object is taken",
        ),
        (
            price(json!({"type": "string"})),
            price(json!({"type": "number"})),
            "at price, string comes where number is taken",
        ),
        (
            price(price(json!({"const": 1}))),
            price(price(json!({"enum": [2, "1"]}))),
            "at price.price, 1 comes where 2 or \"1\" is taken",
        ),
        (
            json!({"enum": ["a", "b"]}),
            json!({"type": "integer"}),
            "\"a\" or \"b\" comes where integer is taken",
        ),
        (
            json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
            json!({"type": "object", "required": ["b"]}),
            "at b, there is never anything",
        ),
        (
            json!({"type": "object", "required": ["b"]}),
            json!({"type": "object", "additionalProperties": false}),
            "at b, nothing may be there",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "null"}}),
            price(json!({"type": "number"})),
            "at price, null comes where number is taken",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "array", "items": {"type": "null"}, "minItems": 1}),
            "at *, string comes where null is taken",
        ),
        (
            json!({"type": "array", "maxItems": 1}),
            json!({"type": "array", "minItems": 2}),
            "an element count of at most 1 comes where an element count of at least 2 is taken",
        ),
        (
            json!({"type": "string", "minLength": 5}),
            json!({"type": "string", "maxLength": 2}),
            "a length of at least 5 comes where a length of at most 2 is taken",
        ),
        (
            json!({"type": "object", "maxProperties": 0}),
            json!({"type": "object", "minProperties": 1}),
            "a member count of at most 0 comes where a member count of at least 1 is taken",
        ),
        (
            json!({"type": "integer", "maximum": 3}),
            json!({"type": "number", "exclusiveMinimum": 3}),
            "at most 3 comes where at least 3 is taken",
        ),
        (
            json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}),
            json!({"type": "array"}),
            "null comes where array is taken",
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"type": "string"}]}),
            json!({"type": "array"}),
            "null comes where array is taken",
        ),
        (
            json!({"type": "null"}),
            json!({"allOf": [{}, {"oneOf": [{"type": "array"}]}]}),
            "null comes where array is taken",
        ),
        (json!(true), json!(false), "nothing may be there"),
        (
            json!({"const": {"a": 1}}),
            json!({"required": ["b"]}),
            "{\"a\":1} comes where something else is taken",
        ),
    ] {
        let found = mismatch(&given, &taken);
        assert_eq!(found.as_deref(), Some(expected), "{given} and {taken}");
    }
}

#[test]
fn what_may_fit_is_let_through() {
    let optional = |kind: &str| json!({"type": "object", "properties": {"a": {"type": kind}}});
    for (given, taken) in [
        (json!(true), json!({"type": "number"})),
        (json!({"type": "number"}), json!({"type": "integer"})),
        (json!({"const": 1}), json!({"const": 1.0})),
        (
            json!({"type": "number", "maximum": 3}),
            json!({"type": "number", "minimum": 3}),
        ),
        // An object without the member fits both, and so does an empty array.
        (optional("string"), optional("number")),
        (
            json!({"items": {"type": "string"}, "type": "array"}),
            json!({"items": {"type": "null"}, "type": "array"}),
        ),
        // What is no object is not asked for members.
        (
            json!({"required": ["a"]}),
            json!({"additionalProperties": false}),
        ),
        (
            json!({"type": "object", "patternProperties": {"^b": {}}, "additionalProperties": false}),
            json!({"required": ["b"]}),
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"type": "array"}]}),
            json!({"type": "array"}),
        ),
        (
            json!({"maximum": 9007199254740993_i64}),
            json!({"exclusiveMinimum": 9007199254740992_i64}),
        ),
        // References that lead to another schema, in circles, or nowhere, are not followed.
        (
            json!({"$ref": "https://schemas.example/a"}),
            json!({"type": "null"}),
        ),
        (json!({"$ref": "#"}), json!({"type": "null"})),
        (
            json!({"$ref": "#/a%20b", "a b": {"type": "string"}}),
            json!({"type": "null"}),
        ),
        (
            json!({"$defs": {"a": {"$id": "https://schemas.example/b", "type": "string"}}, "$ref": "#/$defs/a"}),
            json!({"type": "null"}),
        ),
        // In draft 4 there is no `const`, and nobody knows what an own dialect says.
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}),
            json!({"const": 2}),
        ),
        (
            json!({"$schema": "https://schemas.example/own", "type": "string"}),
            json!({"type": "null"}),
        ),
    ] {
        assert_eq!(mismatch(&given, &taken), None, "{given} and {taken}");
        assert_eq!(mismatch(&taken, &given), None, "{taken} and {given}");
    }
}

#[test]
fn a_comparison_of_schemas_that_grow_without_end_ends() {
    let twice = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]});
    assert_eq!(
        mismatch(&twice, &json!({"allOf": [twice.clone(), twice.clone()]})),
        None
    );
    let mut other = twice.clone();
    other["title"] = json!("other");
    assert_eq!(mismatch(&twice, &other), None);
}

/// A small schema. `leaf` is what it consists of at the end.
fn schemas() -> impl Strategy<Value = Value> {
    let types = [
        "null", "boolean", "integer", "number", "string", "array", "object",
    ];
    let listed = prop::collection::vec(small_values(1), 1..3);
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        prop::sample::subsequence(types.to_vec(), 1..3).prop_map(|types| json!({"type": types})),
        prop::sample::select(types.to_vec()).prop_map(|name| json!({"type": name})),
        small_values(1).prop_map(|value| json!({"const": value})),
        listed.prop_map(|values| json!({"enum": values})),
        (0..3, 0..3).prop_map(|(low, high)| json!({"minimum": low, "exclusiveMaximum": high})),
        (0..3, 0..3).prop_map(
            |(low, high)| json!({"exclusiveMinimum": low, "maximum": high, "type": "number"})
        ),
        (0..2, 0..2)
            .prop_map(|(low, high)| json!({"minLength": low, "maxLength": high, "type": "string"})),
        (0..3).prop_map(|low| json!({"minimum": low, "type": "number"})),
        (0..3).prop_map(|high| json!({"maximum": high, "type": "integer"})),
        Just(json!({"$ref": "#/$defs/d"})),
    ];
    let inner = leaf.prop_recursive(3, 24, 3, |inner| {
        let key = || prop::sample::select(vec!["a", "b"]);
        let members = prop::collection::btree_map(key(), inner.clone(), 0..3);
        let required = prop::sample::subsequence(vec!["a", "b"], 0..3);
        let others = prop::option::of(inner.clone());
        let all = prop::collection::vec(inner.clone(), 1..3);
        let object = (members, required, others, any::<bool>(), any::<bool>());
        prop_oneof![
            object.prop_map(|(members, required, others, typed, patterned)| {
                let mut schema = json!({"properties": members, "required": required});
                if let Some(others) = others {
                    schema["additionalProperties"] = others;
                }
                if typed {
                    schema["type"] = json!("object");
                }
                if patterned {
                    schema["patternProperties"] = json!({"^b": true});
                }
                schema
            }),
            (inner.clone(), 0..2, 0..3).prop_map(|(items, least, most)| {
                json!({"type": "array", "items": items, "minItems": least, "maxItems": most})
            }),
            (inner.clone(), inner.clone()).prop_map(|(first, items)| {
                json!({"prefixItems": [first], "items": items, "minItems": 1})
            }),
            all.clone().prop_map(|all| json!({"anyOf": all})),
            all.clone().prop_map(|all| json!({"oneOf": all})),
            all.prop_map(|all| json!({"allOf": all})),
            (inner.clone(), inner.clone()).prop_map(|(left, mut right)| {
                // Two things said of one value.
                if let (Value::Object(left), Value::Object(right)) = (left, &mut right) {
                    right.extend(left);
                }
                right
            }),
            inner.prop_map(|not| json!({"not": not})),
        ]
    });
    (inner.clone(), inner).prop_map(|(schema, definition)| {
        let mut whole = json!({"allOf": [schema]});
        whole["$defs"] = json!({"d": definition});
        whole
    })
}

fn small_values(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 1.5]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "ab"]).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
    ];
    leaf.prop_recursive(depth, 8, 2, |inner| {
        let key = prop::sample::select(vec!["a".to_owned(), "b".to_owned()]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Values that may fit `schema`, made of what it says.
fn candidates(schema: &Value, root: &Value, depth: usize) -> Vec<Value> {
    let plain = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(0.5),
        json!(1.5),
        json!(2.5),
        json!(""),
        json!("a"),
        json!([]),
        json!({}),
    ];
    let Some(object) = schema.as_object().filter(|_| depth < 5) else {
        return plain;
    };
    let mut all = plain;
    all.extend(object.get("const").cloned());
    all.extend(
        object
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .cloned(),
    );
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in object
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            all.extend(candidates(part, root, depth + 1));
        }
    }
    if object.contains_key("$ref") {
        all.extend(candidates(&root["$defs"]["d"], root, depth + 1));
    }
    let inner = |part: Option<&Value>| {
        let mut inner =
            part.map_or_else(|| vec![json!(1)], |part| candidates(part, root, depth + 1));
        inner.retain(|value| all.len() < 400 || !value.is_object());
        inner.truncate(24);
        inner
    };
    let mut made = Vec::new();
    for first in inner(
        object
            .get("items")
            .or_else(|| object.get("prefixItems")?.get(0)),
    ) {
        made.push(json!([first]));
        made.push(json!([first, first]));
    }
    let others = object.get("additionalProperties");
    let member = |name: &str| {
        inner(
            object
                .get("properties")
                .and_then(|all| all.get(name))
                .or(others),
        )
    };
    for a in member("a") {
        made.push(json!({"a": a}));
        for b in member("b") {
            made.push(json!({"a": a, "b": b}));
            made.push(json!({"b": b}));
        }
    }
    all.extend(made);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Where a mismatch is found, no value fits both, whichever of the two is asked for values.
    #[test]
    fn no_pair_is_refused_that_a_value_fits(
        given in schemas(),
        taken in schemas(),
        some in prop::collection::vec(small_values(2), 16),
    ) {
        if mismatch(&given, &taken).is_none() {
            return Ok(());
        }
        let schemas = [&given, &taken].map(|schema| Schema::compile(&Data::from(schema.clone())).unwrap());
        let mut values = candidates(&given, &given, 0);
        values.extend(candidates(&taken, &taken, 0));
        values.extend(some);
        for value in values {
            let data = Data::from(value);
            let both = schemas.iter().all(|schema| schema.check(&data).is_ok());
            prop_assert!(!both, "{} fits {} and {}", data, given, taken);
        }
    }
}
