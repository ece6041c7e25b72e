//! Schemas that list their values.

use serde_json::Value;

use super::document::View;
use super::mismatch::Mismatch;
use super::types::Types;

/// How many of them are told.
const MAX_TOLD: usize = 4;

/// The values that `schema` allows at most, if it lists them.
pub(super) fn values(schema: View<'_>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// Why none of the values that one of the two lists is allowed by the other one.
pub(super) fn mismatch(given: View<'_>, taken: View<'_>) -> Option<Mismatch> {
    let (listed, wanted) = (values(given), values(taken));
    let none = |values: &Option<Vec<&Value>>, schema| {
        let values = values.as_ref();
        values.is_some_and(|values| values.iter().all(|value| excludes(schema, value)))
    };
    if !none(&listed, taken) && !none(&wanted, given) {
        return None;
    }
    let types = [Types::of(given), Types::of(taken)];
    let words = |values: Option<Vec<&Value>>, types: Types| match values {
        Some(values) if !values.is_empty() => {
            let values = values.iter().take(MAX_TOLD).map(|value| value.to_string());
            values.collect::<Vec<_>>().join(" or ")
        }
        _ => types.to_string(),
    };
    let same_types = types[0].has(types[1]);
    let taken = match wanted {
        None if same_types => "something else".to_owned(),
        wanted => words(wanted, types[1]),
    };
    Some(Mismatch::of(words(listed, types[0]), taken))
}

/// Whether `value` is certainly not allowed by what `schema` says of itself.
fn excludes(schema: View<'_>, value: &Value) -> bool {
    if !Types::of(schema).has(Types::of_value(value)) {
        return true;
    }
    if values(schema).is_some_and(|all| !all.iter().any(|one| is_equal(one, value))) {
        return true;
    }
    let number = value.as_f64();
    let outside = number.is_some_and(|number| {
        let below = schema.number("minimum").is_some_and(|low| number < low);
        below || schema.number("maximum").is_some_and(|high| number > high)
    });
    let lacks = |name| {
        value
            .as_object()
            .is_some_and(|object| !object.contains_key(name))
    };
    outside || schema.required().any(lacks)
}

/// Whether two values may be the same: 1 and 1.0 are, and so are numbers that only differ by less than a double shows.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value)| other.get(key).is_some_and(|other| is_equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}
