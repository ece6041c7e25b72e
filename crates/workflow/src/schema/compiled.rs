//! One schema, ready to check values.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::fault::{Faults, short};
use crate::Data;
use crate::graph::compact;

/// Bytes of the JSON of a schema.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// Levels of arrays and objects in a schema.
pub(crate) const MAX_DEPTH: usize = 64;

/// How much of a pattern is tried before a value counts as not matching, for patterns that look around or back.
const MAX_BACKTRACKS: usize = 100_000;

/// Bytes of one compiled pattern.
const MAX_PATTERN: usize = 1024 * 1024;

/// A schema that was checked itself.
pub(crate) struct Schema {
    /// Without white space, members in their order.
    text: Data,
    validator: Validator,
}

impl Schema {
    /// The schema in `json`. Nothing is fetched: references have to be to the schema itself.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn compile(json: &Data) -> Result<Self, String> {
        let value = read(json)?;
        // Look-around, which schemas made by zod have, takes an engine that goes back; how far is bounded.
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(MAX_BACKTRACKS)
            .size_limit(MAX_PATTERN)
            .dfa_size_limit(MAX_PATTERN);
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .build(&value)
            .map_err(|error| {
                let place = error.instance_path().as_str();
                let place = if place.is_empty() { "its root" } else { place };
                short(format_args!("is no valid JSON Schema: at {place}: {error}"))
            })?;
        Ok(Self {
            text: compact(json),
            validator,
        })
    }

    pub(crate) fn text(&self) -> &Data {
        &self.text
    }

    /// Whether `data` fits.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, data: &Data) -> Result<(), Faults> {
        let value: Value = serde_json::from_str(data.as_str())
            .map_err(|error| Faults::one("", format_args!("cannot be checked: {error}")))?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        Err(Faults::of(self.validator.iter_errors(&value)))
    }
}

/// The JSON of a schema that is not too large.
///
/// # Errors
/// What is too large, or that it is no JSON that can be read.
pub(super) fn read(json: &Data) -> Result<Value, String> {
    let size = json.as_str().len();
    if size > MAX_BYTES {
        return Err(format!(
            "has {size} bytes, the limit is {MAX_BYTES}; say less, or check the rest in the step"
        ));
    }
    if depth(json.as_str()) > MAX_DEPTH {
        return Err(format!(
            "is nested more than {MAX_DEPTH} deep; move parts of it to \"$defs\""
        ));
    }
    serde_json::from_str(json.as_str()).map_err(|error| format!("cannot be read: {error}"))
}

/// How many arrays and objects are open at once in JSON text.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: Value) -> String {
        let refused = Schema::compile(&Data::from(schema));
        refused.expect_err("the schema is refused")
    }

    fn faults(schema: Value, value: Value) -> String {
        let schema = Schema::compile(&Data::from(schema)).unwrap();
        let checked = schema.check(&Data::from(value));
        checked
            .err()
            .map(|faults| faults.lines())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_no_schema_is_refused_with_the_place() {
        for (schema, words) in [
            (json!(3), "at its root: 3 is not of types"),
            (json!({"type": "strin"}), "at /type"),
            (
                json!({"properties": {"a": {"minimum": "x"}}}),
                "at /properties/a/minimum",
            ),
            (json!({"pattern": "("}), "at /pattern"),
            (
                json!({"$schema": "https://schemas.example/own"}),
                "schemas.example",
            ),
        ] {
            let refused = refusal(schema.clone());
            assert!(refused.contains(words), "{schema}: {refused}");
        }
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in [
            "https://schemas.example/a.json",
            "http://127.0.0.1:1/a.json",
            "file:///etc/hostname",
            "a.json",
            "#/$defs/none",
            "#none",
        ] {
            let refused = refusal(json!({"properties": {"a": {"$ref": reference}}}));
            assert!(refused.starts_with("is no valid JSON Schema"), "{refused}");
        }
        let based = json!({"$id": "https://schemas.example/", "$ref": "a.json"});
        assert!(refusal(based).contains("https://schemas.example/a.json"));
    }

    #[test]
    fn a_schema_has_a_size_and_a_depth() {
        let nested = |levels| (0..levels).fold(json!(true), |inner, _| json!({"not": inner}));
        assert!(Schema::compile(&Data::from(nested(MAX_DEPTH))).is_ok());
        assert!(refusal(nested(MAX_DEPTH + 1)).contains("more than 64 deep"));
        let long = |length| json!({"title": "[".repeat(length)});
        let framing = long(0).to_string().len();
        assert!(Schema::compile(&Data::from(long(MAX_BYTES - framing))).is_ok());
        assert!(refusal(long(MAX_BYTES - framing + 1)).contains("the limit is 262144"));
    }

    #[test]
    fn references_that_go_in_circles_end() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
                   "$ref": "#/$defs/a"}),
        ] {
            assert_eq!(faults(schema, json!({"a": 1})), "");
        }
    }

    #[test]
    fn a_fault_has_a_path_and_what_is_expected_but_not_the_value() {
        let order = json!({
            "type": "object",
            "properties": {"lines": {"items": {"$ref": "#/$defs/line"}}, "mail": {"format": "email"}},
            "required": ["lines"],
            "additionalProperties": false,
            "$defs": {"line": {"properties": {"count": {"type": "integer", "minimum": 1}}}},
        });
        for (value, expected) in [
            (json!({"lines": [{"count": 2}]}), ""),
            (json!("secret"), "- : the value is not of type \"object\""),
            (json!({}), "- : \"lines\" is a required property"),
            (
                json!({"lines": [{"count": 1}, {"count": "secret"}]}),
                "- lines.1.count: the value is not of type \"integer\"",
            ),
            (
                json!({"lines": [], "mail": "secret"}),
                "- mail: the value is not a \"email\"",
            ),
        ] {
            assert_eq!(faults(order.clone(), value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_said_of_a_hostile_value_is_short() {
        let closed =
            json!({"additionalProperties": false, "patternProperties": {"^k": {"type": "null"}}});
        let names = (0..1_000).map(|i| (format!("{i}{}", "x".repeat(1_000)), json!(1)));
        let said = faults(closed.clone(), Value::Object(names.collect()));
        assert!(said.len() < 300, "{}", said.len());
        let keys = (0..1_000).map(|i| (format!("k{i}{}", "x".repeat(1_000)), json!(1)));
        let said = faults(closed, Value::Object(keys.collect()));
        assert!(said.len() < 3_000 && said.ends_with("and more"), "{said}");

        let deep = Data::made("[".repeat(10_000) + &"]".repeat(10_000));
        let any = Schema::compile(&Data::made("true".into())).unwrap();
        assert!(any.check(&deep).is_err());
    }

    #[test]
    fn a_pattern_that_goes_back_without_end_does_not_match() {
        let slow = json!({"pattern": "^(a|aa)+(?!c)$"});
        assert_eq!(faults(slow.clone(), json!("aaaa")), "");
        assert_ne!(faults(slow, json!("a".repeat(200) + "b")), "");
    }
}
